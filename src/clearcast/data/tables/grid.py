"""A grid of cells, such as a worksheet or a CSV, read row by row."""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

NO_FAULTS: Mapping[int, str] = {}
LAST_ROW, LAST_COLUMN = 2**20, 2**14  # of a worksheet, counted from 1
UNCALCULATED = "holds a formula that was never calculated; open the workbook in Excel or LibreOffice and save it"


class GridRow(NamedTuple):
    """A row with an entry.

    Attributes:
        number: counted from 1, as spreadsheets do.
        cells: the trimmed text of cells that are not empty, by column from 0.
        faults: why a cell has no text, by column: what to say after "the cell".
        hidden: whether a spreadsheet shows the row.
        fields: how many cells a line of text has, and the last of them that is not empty, counted from 1; 0 in other
            formats, in which cells beside the table are no mistake.
    """

    number: int
    cells: dict[int, str]
    faults: Mapping[int, str] = NO_FAULTS
    hidden: bool = False
    fields: int = 0
    last_field: int = 0


class Area(NamedTuple):
    """A block of merged cells; rows counted from 1, columns from 0, all inclusive."""

    top: int
    left: int
    bottom: int
    right: int


class Grid(ABC):
    """A table of cells.

    Attributes:
        name: that of a worksheet, else empty.
        visible: whether a spreadsheet shows it.
        merged, hidden_columns: of a worksheet; they are known when its rows have been gone through.
    """

    def __init__(self, name: str = "", *, visible: bool = True) -> None:
        self.name = name
        self.visible = visible
        self.merged: list[Area] = []
        self.hidden_columns: set[int] = set()

    @abstractmethod
    def rows(self, columns: Collection[int] | None = None) -> Iterator[GridRow]:
        """The rows with an entry, from the first; anew at each call.

        Args:
            columns: give only these; None gives all.
        """


def number_text(number: float) -> str:
    """A number as a person would have typed it: 1.0 is '1'.

    >>> number_text(1.0), number_text(0.25)
    ('1', '0.25')
    """
    return str(int(number)) if math.isfinite(number) and number == int(number) else str(number)
