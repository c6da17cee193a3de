"""Lines of a table below its header, with merged cells filled."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clearcast.data.tables import limits
from clearcast.data.tables.grid import NO_FAULTS, Area, Grid, GridRow

_MAX_FILLED = 20_000_000  # cells visited while merged cells are filled
_SHOWN = 10  # row numbers that a note lists


class Note(NamedTuple):
    """Note for the user about reading a sheet: its kind, and a message."""

    kind: str
    message: str


class Line(NamedTuple):
    """A line of a table.

    Attributes:
        number: row number, from 1.
        cells: text of each wanted column; "" for an empty cell.
        faults: reason why a cell has no text, by its index in ``cells``, as the predicate of a sentence about the cell.
        hidden: whether the row is hidden.
        surplus: message if the line has more cells than the header, so that cells may be shifted; else "".
    """

    number: int
    cells: tuple[str, ...]
    faults: Mapping[int, str] = NO_FAULTS
    hidden: bool = False
    surplus: str = ""


def read_lines(grid: Grid, header: GridRow, places: Sequence[int]) -> tuple[Line, ...]:
    """Read the rows below a header that are not empty, also those without text in the wanted columns.

    Args:
        grid: the grid of cells.
        header: the header row.
        places: indices of the wanted columns.

    Raises:
        SheetError: there are too many rows or characters.
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
            limits.refuse("the wanted columns have", limits.MOST_TEXT, "characters")
    _fill_merged(lines, grid.merged, header.number, places)
    return tuple(lines)


def _line(row: GridRow, header: GridRow, places: Sequence[int]) -> Line:
    cells = tuple(row.cells.get(place, "") for place in places)
    surplus = ""
    if row.last_field > header.fields:
        surplus = f"the line has {row.fields} cells, but the header {header.fields}, so cells may be in wrong columns"
    faults = {at: row.faults[place] for at, place in enumerate(places) if place in row.faults} if row.faults else {}
    return Line(row.number, cells, faults or NO_FAULTS, row.hidden, surplus)


def _fill_merged(lines: list[Line], merged: Sequence[Area], header: int, places: Sequence[int]) -> None:
    """Fill the cells of merged blocks with the text of their first cell, except in otherwise empty rows."""
    numbers = [line.number for line in lines]
    visited = 0
    for area in merged:
        covered = [at for at, place in enumerate(places) if area.left <= place <= area.right]
        first = bisect_left(numbers, area.top)
        if not covered or area.left not in places or area.top <= header or numbers[first : first + 1] != [area.top]:
            continue
        source, at = lines[first], list(places).index(area.left)
        span = range(first, bisect_right(numbers, area.bottom))
        visited += len(span) * len(covered)
        if visited > _MAX_FILLED:
            limits.refuse("merged cells cover", _MAX_FILLED, "cells")
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
    """Report hidden rows and columns that are used.

    Args:
        grid: the grid, after iterating over its rows.
        lines: its lines.
        columns: names of the wanted columns, by column index.
    """
    notes = []
    used = [line for line in lines if any(line.cells)]
    if hidden := [str(line.number) for line in used if line.hidden]:
        more = f" and {len(hidden) - _SHOWN} more" if len(hidden) > _SHOWN else ""
        message = (
            f"{len(hidden)} of {len(used)} rows are hidden (by a filter or by hand) but used: rows "
            f"{', '.join(hidden[:_SHOWN])}{more}; delete them to exclude them"
        )
        notes.append(Note("hidden rows", message))
    if names := [name for place, name in columns.items() if place in grid.hidden_columns]:
        message = f"hidden columns are used: {', '.join(map(repr, names))}"
        notes.append(Note("hidden columns", message))
    return notes
