"""Header detection: find the first row, on any worksheet, with the names of the wanted columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from clearcast.data.tables.grid import Grid, GridRow
from clearcast.data.tables.lines import Note
from clearcast.errors import SheetError

HEAD_ROWS = 50  # non-empty rows that are searched for the header


@dataclass(frozen=True, kw_only=True)
class Found:
    """Location of a table: its grid and header row."""

    grid: Grid
    header: GridRow
    is_first: bool
    notes: tuple[Note, ...] = ()

    @property
    def names(self) -> dict[int, str]:
        """The column names, by column index."""
        return self.header.cells


@dataclass(frozen=True)
class _Head:
    """The first rows of a grid, and the error that ended reading, if any."""

    grid: Grid
    rows: list[GridRow]
    failure: Exception | None = None


def plain(name: str) -> str:
    """Normalise a column name for comparison: case and spaces are ignored.

    >>> plain(" Noisy  Image")
    'noisy image'
    """
    return " ".join(name.casefold().split())


def quoted(names: Iterable[str]) -> str:
    """Format names for a message."""
    return ", ".join(map(repr, names))


def find_header(grids: Sequence[Grid], wanted: Sequence[str], worksheet: str | None, hint: str) -> Found:
    """Find the first header, on visible worksheets before hidden ones.

    A worksheet that cannot be read is skipped, and reported in a note, if another one has the header.

    Raises:
        SheetError: no row has all wanted names, or there is no such worksheet.
        Exception: no readable row has all wanted names, and a worksheet is damaged.
    """
    chosen = sorted(_chosen(grids, worksheet), key=lambda grid: not grid.visible)
    heads = [_head(grid) for grid in chosen]
    names = {plain(name) for name in wanted}
    found = [(head.grid, row) for head in heads for row in head.rows if names <= set(map(plain, row.cells.values()))]
    if not found:
        raise next((head.failure for head in heads if head.failure), None) or _missing(heads, wanted, hint)
    grid, header = found[0]
    others = list(dict.fromkeys(other.name for other, _ in found if other is not grid and other.name))
    return Found(
        grid=grid, header=header, is_first=grid is grids[0] or not grid.name, notes=_notes(grid, others, heads)
    )


def _chosen(grids: Sequence[Grid], worksheet: str | None) -> Sequence[Grid]:
    if worksheet is None:
        return grids
    if found := [grid for grid in grids if grid.name and plain(grid.name) == plain(worksheet)]:
        return [next((grid for grid in found if grid.name == worksheet), found[0])]
    existing = quoted(grid.name for grid in grids if grid.name)
    raise SheetError(f"no worksheet {worksheet!r}; the workbook has {existing}" if existing else _NO_WORKBOOK)


_NO_WORKBOOK = "only a workbook has worksheets; leave out --worksheet"


def _head(grid: Grid) -> _Head:
    rows: list[GridRow] = []
    try:
        rows.extend(islice(grid.rows(), HEAD_ROWS))
    except Exception as error:  # a damaged file, for which many types are raised, or the wrong separator
        return _Head(grid, rows, error)
    return _Head(grid, rows)


def _missing(heads: Sequence[_Head], wanted: Sequence[str], hint: str) -> SheetError:
    """Return the error for missing columns, about the likeliest header: the row with most wanted names, else cells."""
    names = {plain(name) for name in wanted}
    rows = [(head.grid, row) for head in heads for row in head.rows]
    if not rows:
        return SheetError(f"no column {quoted(wanted)}; the sheet has no columns{hint}")
    grid, row = max(rows, key=lambda each: (len(names & set(map(plain, each[1].cells.values()))), len(each[1].cells)))
    existing = set(map(plain, row.cells.values()))
    missing = [name for name in wanted if plain(name) not in existing]
    where = [f"row {row.number}"] if row.number > 1 else []
    where += [f"worksheet {grid.name!r}"] if len(heads) > 1 and grid.name else []
    has = f"the sheet has {quoted(row.cells.values())}" + (f" in {' of '.join(where)}" if where else "")
    if len(heads) > 1 and grid.name:
        has += f"; searched the first {HEAD_ROWS} rows of {quoted(head.grid.name for head in heads)}"
    return SheetError(f"no column {quoted(missing)}; {has}{hint}")


def _notes(grid: Grid, others: Sequence[str], heads: Sequence[_Head]) -> tuple[Note, ...]:
    notes = []
    for head in heads:
        if head.failure and head.grid.name and head.grid is not grid:
            message = f"worksheet {head.grid.name!r} cannot be read and is skipped ({head.failure})"
            notes.append(Note("damaged worksheet", message))
    if not grid.visible:
        notes.append(
            Note("hidden worksheet", f"worksheet {grid.name!r} is hidden but used; choose another with --worksheet")
        )
    if others:
        message = f"the columns are also on worksheet {quoted(others)}, which is not used; choose with --worksheet"
        notes.append(Note("several worksheets", message))
    return tuple(notes)
