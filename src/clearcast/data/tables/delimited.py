"""CSV with comma, semicolon or tab, by the country in which it was written."""

import codecs
import csv
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from clearcast.data.tables import limits
from clearcast.data.tables.grid import Grid, GridRow

_SEPARATORS = ",;\t"
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@contextmanager
def open_delimited(path: Path) -> Iterator[list[Grid]]:
    """The file as it reads with each separator; with one only, if its first line is ``sep=;``, as Excel writes it.

    Raises:
        SheetError: it is larger than is read, or a line is.
        UnicodeDecodeError: it is neither UTF-8 nor marked as UTF-16.
    """
    limits.require_file_size(path)
    with path.open("rb") as file:
        encoding = _MARKS.get(file.read(2), "utf-8-sig")
    first = next(_lines(path, encoding), "").strip("\r\n \ufeff")
    if first.casefold().startswith("sep=") and len(first) <= 5:
        yield [_Delimited(path, encoding, first[4:] or "\t", skipped=1)]
    else:
        yield [_Delimited(path, encoding, separator) for separator in _SEPARATORS]


class _Delimited(Grid):
    """Rows are counted as a spreadsheet shows them: without the line ``sep=;``."""

    def __init__(self, path: Path, encoding: str, separator: str, skipped: int = 0) -> None:
        super().__init__()
        self._path = path
        self._encoding = encoding
        self._separator = separator
        self._skipped = skipped

    def rows(self, columns: Collection[int] | None = None) -> Iterator[GridRow]:
        lines = _lines(self._path, self._encoding)
        for _ in range(self._skipped):
            next(lines, None)
        for number, row in enumerate(csv.reader(lines, delimiter=self._separator, strict=True), 1):
            filled = [place for place, text in enumerate(row) if text and not text.isspace()]
            cells = {place: row[place].strip() for place in filled if columns is None or place in columns}
            if filled:
                yield GridRow(number, cells, fields=len(row), last_field=filled[-1] + 1)


def _lines(path: Path, encoding: str) -> Iterator[str]:
    with path.open(encoding=encoding, newline="") as file:
        number = 0
        while line := file.readline(limits.MOST_LINE_TEXT + 1):
            number += 1
            if len(line) > limits.MOST_LINE_TEXT:
                limits.refuse(f"line {number} has", limits.MOST_LINE_TEXT, "characters")
            yield line
