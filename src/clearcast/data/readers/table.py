"""Selected columns of a sheet of any format: selection of the reader, header detection, and their lines.

The header is the first row with the names of the wanted columns, on any worksheet.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from clearcast.core.errors import MissingDependencyError, SheetError, first_error_line
from clearcast.data.readers.delimited import open_delimited
from clearcast.data.readers.grid import CellGrid, GridRow, SheetNote, TableLine, find_hidden_notes, read_table_lines
from clearcast.data.readers.parquet import open_parquet
from clearcast.data.readers.xls import is_encrypted_package, open_xls
from clearcast.data.readers.xlsx import open_xlsx

_TableOpener = Callable[[Path], AbstractContextManager[list[CellGrid]]]

_HEADER_SEARCH_ROWS = 50  # non-empty rows that are searched for the header
_NO_WORKBOOK = "only a workbook has worksheets; leave out --worksheet"
_OLE_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP_SIGNATURE = b"PK"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")

_UNSUPPORTED: Mapping[str, str] = {
    ".ods": "OpenDocument sheets are not supported; save it as .xlsx, or as 'CSV UTF-8'",
    ".xlsb": "binary workbooks are not supported; save it as .xlsx, or as 'CSV UTF-8'",
    ".numbers": "sheets of Numbers are not supported; export it as .xlsx, or as CSV",
}


@dataclass(frozen=True, kw_only=True)
class ColumnTable:
    """Selected columns of a table.

    Attributes:
        columns: their names, as requested.
        lines: the rows below the header that are not empty, with cells in the order of ``columns``.
        worksheet: name of the worksheet; empty for other formats.
        is_first: whether it is the first worksheet.
        header_row: row number of the header.
        notes: notes for the user about reading the table.
    """

    columns: tuple[str, ...]
    lines: tuple[TableLine, ...]
    worksheet: str = ""
    is_first: bool = True
    header_row: int = 1
    notes: tuple[SheetNote, ...] = ()

    def place(self) -> str:
        """Describe the location of the table, such as ``worksheet 'Labels', header in row 3, rows 4 to 15``."""
        worksheet = f"worksheet {self.worksheet!r}, " if self.worksheet else ""
        numbers = [line.number for line in self.lines if any(line.cells)]
        rows = f", rows {min(numbers)} to {max(numbers)}" if numbers else ""
        return f"{worksheet}header in row {self.header_row}{rows}"


@dataclass(frozen=True, kw_only=True)
class _HeaderLocation:
    """Location of a table: its grid and header row."""

    grid: CellGrid
    header: GridRow
    is_first: bool
    notes: tuple[SheetNote, ...] = ()

    @property
    def names(self) -> dict[int, str]:
        """The column names, by column index."""
        return self.header.cells


@dataclass(frozen=True)
class _Head:
    """The first rows of a grid, and the error that ended reading, if any."""

    grid: CellGrid
    rows: list[GridRow]
    failure: Exception | None = None


def read_columns(
    path: Path, wanted: Sequence[str], *, optional: Sequence[str] = (), worksheet: str | None = None, hint: str = ""
) -> ColumnTable:
    """Read selected columns of an .xlsx, .xlsm, .xls, .csv or .parquet file.

    The header is the first row with all wanted names, among the first rows of each worksheet. Merged cells are filled.
    Memory is bounded, whatever the file declares or unpacks to.

    Args:
        path: the file.
        wanted: the column names; case and spaces are ignored.
        optional: columns that are read if they exist.
        worksheet: the worksheet to read; None searches all of them.
        hint: end of the message about missing columns, such as how to name others.

    Raises:
        SheetError: the file has another format, is damaged, encrypted or too large, a column is missing or not unique,
            or there is no such worksheet.
        MissingDependencyError: the format requires an optional package.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_READERS:
        raise SheetError(f"{path}: {_UNSUPPORTED.get(suffix) or _suffix_message(suffix)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with TABLE_READERS[suffix](path) as grids:
                found = _find_header(grids, wanted, worksheet, hint)
                return _read_table(found, wanted, optional)
    except SheetError as error:
        raise SheetError(f"{path}: {error}") from None
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading {suffix} requires a package that is not installed ({error}); "
            "install it with: pip install 'clearcast[parquet]'"
        ) from None
    except UnicodeDecodeError as error:
        raise SheetError(
            f"{path}: not UTF-8 text; save the sheet again as 'CSV UTF-8' ({_describe_byte(error)})"
        ) from None
    except Exception as error:  # the readers raise many types for a damaged file
        raise SheetError(
            f"{path}: cannot be read as {suffix} ({first_error_line(error)}); save the sheet again"
        ) from None


def _read_table(found: _HeaderLocation, wanted: Sequence[str], optional: Sequence[str]) -> ColumnTable:
    present = Counter(map(normalise_column_name, found.names.values()))
    columns = (*wanted, *(name for name in optional if present[normalise_column_name(name)]))
    for name in columns:
        if (count := present[normalise_column_name(name)]) > 1:
            raise SheetError(f"{count} columns are named {name!r}; expected one: rename or remove the others")
    places = {normalise_column_name(name): place for place, name in reversed(found.names.items())}
    order = [places[normalise_column_name(name)] for name in columns]
    lines = read_table_lines(found.grid, found.header, order)
    return ColumnTable(
        columns=columns,
        lines=lines,
        worksheet=found.grid.name,
        is_first=found.is_first,
        header_row=found.header.number,
        notes=(*found.notes, *find_hidden_notes(found.grid, lines, dict(zip(order, columns, strict=True)))),
    )


def normalise_column_name(name: str) -> str:
    """Normalise a column name for comparison: case and spaces are ignored.

    >>> normalise_column_name(" Noisy  Image")
    'noisy image'
    """
    return " ".join(name.casefold().split())


def _open_workbook(path: Path) -> AbstractContextManager[list[CellGrid]]:
    """Open a workbook by its signature: many programs give old workbooks the new suffix, or vice versa."""
    with path.open("rb") as file:
        begin = file.read(8)
    if begin == _OLE_SIGNATURE:
        if is_encrypted_package(path):
            raise SheetError("the workbook is password-protected; save it without a password")
        return open_xls(path)
    return open_xlsx(path) if begin.startswith(_ZIP_SIGNATURE) or path.suffix.lower() != ".xls" else open_xls(path)


def _suffix_message(suffix: str) -> str:
    return f"expected a sheet that ends in {', '.join(TABLE_READERS)}, got {suffix or 'a name without a suffix'}"


def _describe_byte(error: UnicodeDecodeError) -> str:
    if error.object[:2] in _UTF_16_MARKS:
        return "it is UTF-16"
    byte = error.object[error.start]
    guess = bytes((byte,)).decode("cp1252", "replace")
    return f"byte 0x{byte:02X}, perhaps {guess!r} of Windows-1252" if guess.isprintable() else f"byte 0x{byte:02X}"


def _quote_names(names: Iterable[str]) -> str:
    """Format names for a message."""
    return ", ".join(map(repr, names))


def _find_header(grids: Sequence[CellGrid], wanted: Sequence[str], worksheet: str | None, hint: str) -> _HeaderLocation:
    """Find the first header, on visible worksheets before hidden ones.

    A worksheet that cannot be read is skipped, and reported in a note, if another one has the header.

    Raises:
        SheetError: no row has all wanted names, or there is no such worksheet.
        Exception: no readable row has all wanted names, and a worksheet is damaged.
    """
    chosen = sorted(_select_grids(grids, worksheet), key=lambda grid: not grid.visible)
    heads = [_read_head(grid) for grid in chosen]
    names = {normalise_column_name(name) for name in wanted}
    found = [
        (head.grid, row)
        for head in heads
        for row in head.rows
        if names <= set(map(normalise_column_name, row.cells.values()))
    ]
    if not found:
        raise next((head.failure for head in heads if head.failure), None) or _missing_columns_error(
            heads, wanted, hint
        )
    grid, header = found[0]
    others = list(dict.fromkeys(other.name for other, _ in found if other is not grid and other.name))
    return _HeaderLocation(
        grid=grid, header=header, is_first=grid is grids[0] or not grid.name, notes=_make_notes(grid, others, heads)
    )


def _select_grids(grids: Sequence[CellGrid], worksheet: str | None) -> Sequence[CellGrid]:
    if worksheet is None:
        return grids
    if found := [
        grid for grid in grids if grid.name and normalise_column_name(grid.name) == normalise_column_name(worksheet)
    ]:
        return [next((grid for grid in found if grid.name == worksheet), found[0])]
    existing = _quote_names(grid.name for grid in grids if grid.name)
    raise SheetError(f"no worksheet {worksheet!r}; the workbook has {existing}" if existing else _NO_WORKBOOK)


def _read_head(grid: CellGrid) -> _Head:
    rows: list[GridRow] = []
    try:
        rows.extend(islice(grid.rows(), _HEADER_SEARCH_ROWS))
    except Exception as error:  # a damaged file, for which many types are raised, or the wrong separator
        return _Head(grid, rows, error)
    return _Head(grid, rows)


def _missing_columns_error(heads: Sequence[_Head], wanted: Sequence[str], hint: str) -> SheetError:
    """Return the error for missing columns, about the likely header: the row with most wanted names, or most cells."""
    names = {normalise_column_name(name) for name in wanted}
    rows = [(head.grid, row) for head in heads for row in head.rows]
    if not rows:
        return SheetError(f"no column {_quote_names(wanted)}; the sheet has no columns{hint}")
    grid, row = max(
        rows,
        key=lambda each: (len(names & set(map(normalise_column_name, each[1].cells.values()))), len(each[1].cells)),
    )
    existing = set(map(normalise_column_name, row.cells.values()))
    missing = [name for name in wanted if normalise_column_name(name) not in existing]
    where = [f"row {row.number}"] if row.number > 1 else []
    where += [f"worksheet {grid.name!r}"] if len(heads) > 1 and grid.name else []
    has = f"the sheet has {_quote_names(row.cells.values())}" + (f" in {' of '.join(where)}" if where else "")
    if len(heads) > 1 and grid.name:
        has += f"; searched the first {_HEADER_SEARCH_ROWS} rows of {_quote_names(head.grid.name for head in heads)}"
    return SheetError(f"no column {_quote_names(missing)}; {has}{hint}")


def _make_notes(grid: CellGrid, others: Sequence[str], heads: Sequence[_Head]) -> tuple[SheetNote, ...]:
    notes = []
    for head in heads:
        if head.failure and head.grid.name and head.grid is not grid:
            message = f"worksheet {head.grid.name!r} cannot be read and is skipped ({head.failure})"
            notes.append(SheetNote("damaged worksheet", message))
    if not grid.visible:
        notes.append(
            SheetNote(
                "hidden worksheet", f"worksheet {grid.name!r} is hidden but used; choose another with --worksheet"
            )
        )
    if others:
        message = (
            f"the columns are also on worksheet {_quote_names(others)}, which is not used; choose with --worksheet"
        )
        notes.append(SheetNote("several worksheets", message))
    return tuple(notes)


TABLE_READERS: Mapping[str, _TableOpener] = {
    ".xlsx": _open_workbook,
    ".xls": _open_workbook,
    ".csv": open_delimited,
    ".parquet": open_parquet,
    ".xlsm": _open_workbook,
}
