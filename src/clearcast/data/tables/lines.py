"""The lines of a table below its header, with merged cells filled."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clearcast.data.tables import limits
from clearcast.data.tables.grid import NO_FAULTS, Area, Grid, GridRow

_MOST_FILLED = 20_000_000  # looks at a cell while filling merged ones
_SHOWN = 10  # row numbers that a note lists


class Note(NamedTuple):
    """Something that a person should know of how a sheet was read: its kind, and a sentence."""

    kind: str
    message: str


class Line(NamedTuple):
    """A row of a table.

    Attributes:
        number: the row, counted from 1.
        cells: the text of each wanted column, empty if the cell is.
        faults: why a cell has no text, by its place in ``cells``: what to say after "the cell".
        hidden: whether a spreadsheet hides the row.
        surplus: why no cell can be trusted, or empty.
    """

    number: int
    cells: tuple[str, ...]
    faults: Mapping[int, str] = NO_FAULTS
    hidden: bool = False
    surplus: str = ""


def read_lines(grid: Grid, header: GridRow, places: Sequence[int]) -> tuple[Line, ...]:
    """The rows below a header with an entry, also if it is in no wanted column.

    Args:
        grid: has the rows.
        header: their names.
        places: the wanted columns.

    Raises:
        SheetError: there are more than are read.
    """
    lines: list[Line] = []
    characters = 0
    for row in grid.rows(frozenset(places)):
        if row.number <= header.number:
            continue
        line = _line(row, header, places)
        lines.append(line)
        characters += sum(map(len, line.cells))
        if len(lines) > limits.MOST_LINES:
            limits.refuse("the table has", limits.MOST_LINES, "rows")
        if characters > limits.MOST_TEXT:
            limits.refuse("the wanted columns hold", limits.MOST_TEXT, "characters")
    _fill_merged(lines, grid.merged, header.number, places)
    return tuple(lines)


def _line(row: GridRow, header: GridRow, places: Sequence[int]) -> Line:
    cells = tuple(row.cells.get(place, "") for place in places)
    surplus = ""
    if row.last_field > header.fields:
        surplus = f"the line has {row.fields} cells where the header has {header.fields}, so that none can be trusted"
    faults = {at: row.faults[place] for at, place in enumerate(places) if place in row.faults} if row.faults else {}
    return Line(row.number, cells, faults or NO_FAULTS, row.hidden, surplus)


def _fill_merged(lines: list[Line], merged: Sequence[Area], header: int, places: Sequence[int]) -> None:
    """Give each cell of a merged block what its first cell holds; but not in rows that have no other entry."""
    numbers = [line.number for line in lines]
    looks = 0
    for area in merged:
        covered = [at for at, place in enumerate(places) if area.left <= place <= area.right]
        first = bisect_left(numbers, area.top)
        if not covered or area.left not in places or area.top <= header or numbers[first : first + 1] != [area.top]:
            continue
        source, at = lines[first], list(places).index(area.left)
        span = range(first, bisect_right(numbers, area.bottom))
        looks += len(span) * len(covered)
        if looks > _MOST_FILLED:
            limits.refuse("merged cells cover", _MOST_FILLED, "cells")
        for place in span:
            lines[place] = _filled(lines[place], covered, source.cells[at], source.faults.get(at))


def _filled(line: Line, covered: Sequence[int], text: str, fault: str | None) -> Line:
    empty = [at for at in covered if not line.cells[at] and at not in line.faults]
    if not empty or not any(line.cells):
        return line
    cells = tuple(text if at in empty else cell for at, cell in enumerate(line.cells))
    faults = {**line.faults, **dict.fromkeys(empty, fault)} if fault else line.faults
    return line._replace(cells=cells, faults=faults)


def notes_about(grid: Grid, lines: Sequence[Line], columns: Mapping[int, str]) -> list[Note]:
    """What a spreadsheet hides of what was read.

    Args:
        grid: has been gone through.
        lines: its rows.
        columns: the names of the wanted columns, by their places.
    """
    notes = []
    used = [line for line in lines if any(line.cells)]
    if hidden := [str(line.number) for line in used if line.hidden]:
        more = f" and {len(hidden) - _SHOWN} more" if len(hidden) > _SHOWN else ""
        message = (
            f"{len(hidden)} of {len(used)} rows are hidden (by a filter or by hand), and are used all the same: rows "
            f"{', '.join(hidden[:_SHOWN])}{more}; delete them if they should not be"
        )
        notes.append(Note("hidden rows", message))
    if names := [name for place, name in columns.items() if place in grid.hidden_columns]:
        message = f"hidden, and used all the same: column {', '.join(map(repr, names))}"
        notes.append(Note("hidden columns", message))
    return notes
