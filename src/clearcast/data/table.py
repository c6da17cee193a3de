"""Table reader: selected columns of a spreadsheet or CSV/Parquet file as numbered lines of text."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from clearcast.data.tables.delimited import open_delimited
from clearcast.data.tables.finding import Found, find_header, plain
from clearcast.data.tables.grid import Grid
from clearcast.data.tables.lines import Line, Note, notes_about, read_lines
from clearcast.data.tables.parquet import open_parquet
from clearcast.data.tables.xls import is_encrypted_package, open_xls
from clearcast.data.tables.xlsx import open_xlsx
from clearcast.errors import MissingDependencyError, SheetError, first_line

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")

Opener = Callable[[Path], AbstractContextManager[list[Grid]]]


@dataclass(frozen=True, kw_only=True)
class Table:
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
    lines: tuple[Line, ...]
    worksheet: str = ""
    is_first: bool = True
    header_row: int = 1
    notes: tuple[Note, ...] = ()

    def place(self) -> str:
        """Describe the location of the table, such as ``worksheet 'Labels', header in row 3, rows 4 to 15``."""
        worksheet = f"worksheet {self.worksheet!r}, " if self.worksheet else ""
        numbers = [line.number for line in self.lines if any(line.cells)]
        rows = f", rows {min(numbers)} to {max(numbers)}" if numbers else ""
        return f"{worksheet}header in row {self.header_row}{rows}"


def read_table(
    path: Path, wanted: Sequence[str], *, optional: Sequence[str] = (), worksheet: str | None = None, hint: str = ""
) -> Table:
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
    if suffix not in READERS:
        raise SheetError(f"{path}: {_UNSUPPORTED.get(suffix) or _unsupported_suffix(suffix)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with READERS[suffix](path) as grids:
                found = find_header(grids, wanted, worksheet, hint)
                return _build(found, wanted, optional)
    except SheetError as error:
        raise SheetError(f"{path}: {error}") from None
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading {suffix} requires a package that is not installed ({error}); "
            "install it with: pip install 'clearcast[parquet]'"
        ) from None
    except UnicodeDecodeError as error:
        raise SheetError(f"{path}: not UTF-8 text; save the sheet again as 'CSV UTF-8' ({_bad_byte(error)})") from None
    except Exception as error:  # the readers raise many types for a damaged file
        raise SheetError(f"{path}: cannot be read as {suffix} ({first_line(error)}); save the sheet again") from None


def _build(found: Found, wanted: Sequence[str], optional: Sequence[str]) -> Table:
    present = Counter(map(plain, found.names.values()))
    columns = (*wanted, *(name for name in optional if present[plain(name)]))
    for name in columns:
        if (count := present[plain(name)]) > 1:
            raise SheetError(f"{count} columns are named {name!r}; expected one: rename or remove the others")
    places = {plain(name): place for place, name in reversed(found.names.items())}
    order = [places[plain(name)] for name in columns]
    lines = read_lines(found.grid, found.header, order)
    return Table(
        columns=columns,
        lines=lines,
        worksheet=found.grid.name,
        is_first=found.is_first,
        header_row=found.header.number,
        notes=(*found.notes, *notes_about(found.grid, lines, dict(zip(order, columns, strict=True)))),
    )


def _unsupported_suffix(suffix: str) -> str:
    return f"expected a sheet that ends in {', '.join(READERS)}, got {suffix or 'a name without a suffix'}"


def _open_workbook(path: Path) -> AbstractContextManager[list[Grid]]:
    """Open a workbook by its signature: many programs give old workbooks the new suffix, or vice versa."""
    with path.open("rb") as file:
        begin = file.read(8)
    if begin == _OLE:
        if is_encrypted_package(path):
            raise SheetError("the workbook is password-protected; save it without a password")
        return open_xls(path)
    return open_xlsx(path) if begin.startswith(_ZIP) or path.suffix.lower() != ".xls" else open_xls(path)


def _bad_byte(error: UnicodeDecodeError) -> str:
    if error.object[:2] in _UTF_16_MARKS:
        return "it is UTF-16"
    byte = error.object[error.start]
    guess = bytes((byte,)).decode("cp1252", "replace")
    return f"byte 0x{byte:02X}, perhaps {guess!r} of Windows-1252" if guess.isprintable() else f"byte 0x{byte:02X}"


_UNSUPPORTED: Mapping[str, str] = {
    ".ods": "OpenDocument sheets are not supported; save it as .xlsx, or as 'CSV UTF-8'",
    ".xlsb": "binary workbooks are not supported; save it as .xlsx, or as 'CSV UTF-8'",
    ".numbers": "sheets of Numbers are not supported; export it as .xlsx, or as CSV",
}
READERS: Mapping[str, Opener] = {
    ".xlsx": _open_workbook,
    ".xls": _open_workbook,
    ".csv": open_delimited,
    ".parquet": open_parquet,
    ".xlsm": _open_workbook,
}
