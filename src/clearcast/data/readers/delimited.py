"""CSV reader for files with comma, semicolon or tab as the separator."""

import csv
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from clearcast.data.readers import grid
from clearcast.data.readers.grid import CellGrid, GridRow

_SEPARATORS = ",;\t"


@contextmanager
def open_delimited(path: Path) -> Iterator[list[CellGrid]]:
    """Open a CSV as one grid per separator; only one if the first line is Excel's ``sep=;``.

    Raises:
        SheetError: the file or a line is too large.
        UnicodeDecodeError: the file is not UTF-8.
    """
    grid.require_file_size(path)
    first = next(_lines(path), "").strip("\r\n \ufeff")
    if first.casefold().startswith("sep=") and len(first) <= 5:
        yield [_Delimited(path, first[4:] or "\t", skipped=1)]
    else:
        yield [_Delimited(path, separator) for separator in _SEPARATORS]


class _Delimited(CellGrid):
    """Grid of a CSV file. Rows are numbered as in a spreadsheet, without the line ``sep=;``."""

    def __init__(self, path: Path, separator: str, skipped: int = 0) -> None:
        super().__init__()
        self._path = path
        self._separator = separator
        self._skipped = skipped

    def rows(self, columns: Collection[int] | None = None) -> Iterator[GridRow]:
        lines = _lines(self._path)
        for _ in range(self._skipped):
            next(lines, None)
        for number, row in enumerate(csv.reader(lines, delimiter=self._separator, strict=True), 1):
            filled = [index for index, text in enumerate(row) if text and not text.isspace()]
            cells = {index: row[index].strip() for index in filled if columns is None or index in columns}
            if filled:
                yield GridRow(number, cells, fields=len(row), last_field=filled[-1] + 1)


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        number = 0
        while line := file.readline(grid.MAX_LINE_TEXT + 1):
            number += 1
            if len(line) > grid.MAX_LINE_TEXT:
                grid.refuse_oversized(f"line {number} has", grid.MAX_LINE_TEXT, "characters")
            yield line
