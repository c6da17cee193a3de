"""Grids of cells: the common interface of all readers, their size limits, and the lines of a table.

The limits prevent denial of service by memory or time (zip bombs).
"""

import math
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from clearcast.core.errors import SheetError

MAX_FILE_BYTES = 2**30
MAX_XLS_BYTES = 2**27  # an .xls of 65,536 rows and many columns
MAX_PART_BYTES = 2**30  # an unpacked worksheet, which is streamed
MAX_STRING_BYTES = 2**28  # the unpacked shared strings of a workbook, which are in memory
MAX_SMALL_PART_BYTES = 2**24
MAX_PARTS = 50_000
MAX_STRINGS = 4_000_000
MAX_CELLS = 20_000_000  # of a worksheet, including empty cells that only have a format
MAX_CELL_TEXT = 100_000  # characters; Excel itself allows 32,767
MAX_LINE_TEXT = 2**20  # characters in a line of a CSV
MAX_LINES = 2_000_000
MAX_TEXT = 2**28  # characters in all wanted cells
MAX_MERGED = 100_000

NO_CELL_FAULTS: Mapping[int, str] = {}
LAST_ROW, LAST_COLUMN = 2**20, 2**14  # of a worksheet, from 1
UNCALCULATED_FAULT = "has a formula that was never calculated; open the workbook in Excel or LibreOffice and save it"

_MAX_FILLED = 20_000_000  # cells visited while merged cells are filled
_SHOWN_ROWS = 10  # row numbers that a note lists


class GridRow(NamedTuple):
    """A row that is not empty.

    Attributes:
        number: row number, from 1.
        cells: trimmed text of the cells that are not empty, by column index from 0.
        faults: reason why a cell has no text, by column index, as the predicate of a sentence about the cell.
        hidden: whether the row is hidden.
        fields: number of cells in a line of text, 0 in other formats, where cells beside the table are allowed.
        last_field: number of the last cell in a line of text that is not empty, from 1.
    """

    number: int
    cells: dict[int, str]
    faults: Mapping[int, str] = NO_CELL_FAULTS
    hidden: bool = False
    fields: int = 0
    last_field: int = 0


class MergedCells(NamedTuple):
    """A block of merged cells; row numbers from 1, column indices from 0, all inclusive."""

    top: int
    left: int
    bottom: int
    right: int


class CellGrid(ABC):
    """A grid of cells.

    Attributes:
        name: name of the worksheet; empty for other formats.
        visible: whether the worksheet is visible.
        merged, hidden_columns: merged and hidden cells of a worksheet; available after iterating over its rows.
    """

    def __init__(self, name: str = "", *, visible: bool = True) -> None:
        self.name = name
        self.visible = visible
        self.merged: list[MergedCells] = []
        self.hidden_columns: set[int] = set()

    @abstractmethod
    def rows(self, columns: Collection[int] | None = None) -> Iterator[GridRow]:
        """Iterate over the rows that are not empty; each call starts at the first row.

        Args:
            columns: indices of the columns to read; None reads all.
        """


class SheetNote(NamedTuple):
    """Note for the user about reading a sheet: its kind, and a message."""

    kind: str
    message: str


class TableLine(NamedTuple):
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
    faults: Mapping[int, str] = NO_CELL_FAULTS
    hidden: bool = False
    surplus: str = ""


def refuse_oversized(what: str, limit: int, unit: str) -> NoReturn:
    """Refuse a sheet that exceeds a limit.

    Raises:
        SheetError: always.
    """
    raise SheetError(
        f"{what} more than {limit:,} {unit}, which is the limit; save only the list of images as a new sheet, or as "
        "'CSV UTF-8'"
    )


def require_file_size(path: Path, limit: int | None = None) -> None:
    """Check that a file has at most ``limit`` bytes (default ``MAX_FILE_BYTES``).

    Raises:
        SheetError: the file is larger.
    """
    limit = MAX_FILE_BYTES if limit is None else limit
    if path.stat().st_size > limit:
        refuse_oversized("the file has", limit // 2**20, "MB")


def format_number_cell(number: float) -> str:
    """Format a number as a person would type it: 1.0 as '1'.

    >>> format_number_cell(1.0), format_number_cell(0.25)
    ('1', '0.25')
    """
    return str(int(number)) if math.isfinite(number) and number == int(number) else str(number)


def read_table_lines(grid: CellGrid, header: GridRow, indices: Sequence[int]) -> tuple[TableLine, ...]:
    """Read the rows below a header that are not empty, also those without text in the wanted columns.

    Args:
        grid: the grid of cells.
        header: the header row.
        indices: indices of the wanted columns.

    Raises:
        SheetError: there are too many rows or characters.
    """
    lines: list[TableLine] = []
    characters = 0
    for row in grid.rows(frozenset(indices)):
        if row.number <= header.number:
            continue
        line = _to_table_line(row, header, indices)
        lines.append(line)
        characters += sum(map(len, line.cells))
        if len(lines) > MAX_LINES:
            refuse_oversized("the table has", MAX_LINES, "rows")
        if characters > MAX_TEXT:
            refuse_oversized("the wanted columns have", MAX_TEXT, "characters")
    _fill_merged(lines, grid.merged, header.number, indices)
    return tuple(lines)


def _to_table_line(row: GridRow, header: GridRow, indices: Sequence[int]) -> TableLine:
    cells = tuple(row.cells.get(index, "") for index in indices)
    surplus = ""
    if row.last_field > header.fields:
        surplus = f"the line has {row.fields} cells, but the header {header.fields}, so cells may be in wrong columns"
    faults = {at: row.faults[index] for at, index in enumerate(indices) if index in row.faults} if row.faults else {}
    return TableLine(row.number, cells, faults or NO_CELL_FAULTS, row.hidden, surplus)


def _fill_merged(lines: list[TableLine], merged: Sequence[MergedCells], header: int, indices: Sequence[int]) -> None:
    """Fill the cells of merged blocks with the text of their first cell, except in otherwise empty rows."""
    numbers = [line.number for line in lines]
    visited = 0
    for area in merged:
        covered = [at for at, index in enumerate(indices) if area.left <= index <= area.right]
        first = bisect_left(numbers, area.top)
        if not covered or area.left not in indices or area.top <= header or numbers[first : first + 1] != [area.top]:
            continue
        source, at = lines[first], list(indices).index(area.left)
        span = range(first, bisect_right(numbers, area.bottom))
        visited += len(span) * len(covered)
        if visited > _MAX_FILLED:
            refuse_oversized("merged cells cover", _MAX_FILLED, "cells")
        for index in span:
            lines[index] = _fill_line(lines[index], covered, source.cells[at], source.faults.get(at))


def _fill_line(line: TableLine, covered: Sequence[int], text: str, fault: str | None) -> TableLine:
    empty = [at for at in covered if not line.cells[at] and at not in line.faults]
    if not empty or not any(line.cells):
        return line
    cells = tuple(text if at in empty else cell for at, cell in enumerate(line.cells))
    faults = {**line.faults, **dict.fromkeys(empty, fault)} if fault else line.faults
    return line._replace(cells=cells, faults=faults)


def find_hidden_notes(grid: CellGrid, lines: Sequence[TableLine], columns: Mapping[int, str]) -> list[SheetNote]:
    """Report hidden rows and columns that are used.

    Args:
        grid: the grid, after iterating over its rows.
        lines: its lines.
        columns: names of the wanted columns, by column index.
    """
    notes = []
    used = [line for line in lines if any(line.cells)]
    if hidden := [str(line.number) for line in used if line.hidden]:
        more = f" and {len(hidden) - _SHOWN_ROWS} more" if len(hidden) > _SHOWN_ROWS else ""
        message = (
            f"{len(hidden)} of {len(used)} rows are hidden (by a filter or by hand) but used: rows "
            f"{', '.join(hidden[:_SHOWN_ROWS])}{more}; delete them to exclude them"
        )
        notes.append(SheetNote("hidden rows", message))
    if names := [name for index, name in columns.items() if index in grid.hidden_columns]:
        message = f"hidden columns are used: {', '.join(map(repr, names))}"
        notes.append(SheetNote("hidden columns", message))
    return notes
