"""Interface of the table readers: a grid of cells, such as a worksheet or a CSV, read row by row."""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

NO_FAULTS: Mapping[int, str] = {}
LAST_ROW, LAST_COLUMN = 2**20, 2**14  # of a worksheet, from 1
UNCALCULATED = "has a formula that was never calculated; open the workbook in Excel or LibreOffice and save it"


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
    faults: Mapping[int, str] = NO_FAULTS
    hidden: bool = False
    fields: int = 0
    last_field: int = 0


class Area(NamedTuple):
    """A block of merged cells; row numbers from 1, column indices from 0, all inclusive."""

    top: int
    left: int
    bottom: int
    right: int


class Grid(ABC):
    """A grid of cells.

    Attributes:
        name: name of the worksheet; empty for other formats.
        visible: whether the worksheet is visible.
        merged, hidden_columns: merged and hidden cells of a worksheet; available after iterating over its rows.
    """

    def __init__(self, name: str = "", *, visible: bool = True) -> None:
        self.name = name
        self.visible = visible
        self.merged: list[Area] = []
        self.hidden_columns: set[int] = set()

    @abstractmethod
    def rows(self, columns: Collection[int] | None = None) -> Iterator[GridRow]:
        """Iterate over the rows that are not empty; each call starts at the first row.

        Args:
            columns: indices of the columns to read; None reads all.
        """


def number_text(number: float) -> str:
    """Format a number as a person would type it: 1.0 as '1'.

    >>> number_text(1.0), number_text(0.25)
    ('1', '0.25')
    """
    return str(int(number)) if math.isfinite(number) and number == int(number) else str(number)
