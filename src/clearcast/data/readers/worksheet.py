"""Streaming XML parsers for the parts of a workbook, with size limits and without document types and entities.

``WorksheetParser`` collects the rows of a worksheet.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO
from xml.parsers import expat

from clearcast.core.errors import SheetError
from clearcast.data.readers import grid
from clearcast.data.readers.grid import (
    LAST_COLUMN,
    LAST_ROW,
    NO_CELL_FAULTS,
    UNCALCULATED_FAULT,
    GridRow,
    MergedCells,
    format_number_cell,
)

XmlElement = tuple[str, dict[str, str]]
"""Tag without its namespace prefix, and attributes."""

_CHUNK = 2**16  # bytes
_FREQUENT = frozenset(("c", "v", "row", "t", "is"))  # frequent tags, which nearly all programs write without a prefix
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")  # escape of characters that XML does not allow
_AREA = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7}):\$?([A-Z]{1,3})\$?([0-9]{1,7})")


def new_xml_parser() -> expat.XMLParserType:
    """Create a parser that refuses document types, against entity expansion attacks; workbooks have none."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def feed_xml(parser: expat.XMLParserType, stream: IO[bytes], limit: int, what: str) -> Iterator[None]:
    """Parse a stream in chunks; yield after each, so that the caller can take the results.

    Raises:
        SheetError: the stream has more than ``limit`` bytes.
        ExpatError: the stream is not XML.
    """
    read = 0
    while chunk := stream.read(_CHUNK):
        read += len(chunk)
        if read > limit:
            grid.refuse_oversized(f"{what} unpacks to", limit // 2**20, "MB")
        parser.Parse(chunk, False)
        yield
    parser.Parse(b"", True)
    yield


def read_xml_elements(stream: IO[bytes], what: str) -> list[XmlElement]:
    """Read all elements of a small part, in document order."""
    found: list[XmlElement] = []
    parser = new_xml_parser()
    parser.StartElementHandler = lambda tag, attributes: found.append((local_tag(tag), attributes))
    for _ in feed_xml(parser, stream, grid.MAX_SMALL_PART_BYTES, what):
        pass
    return found


def local_tag(tag: str) -> str:
    """Return a tag without its namespace prefix."""
    return tag.rpartition(":")[2]


def xml_attribute(attributes: dict[str, str], name: str) -> str:
    """Return an attribute, with or without a namespace prefix; "" if there is none."""
    return attributes.get(name) or next((value for key, value in attributes.items() if local_tag(key) == name), "")


def _refuse_doctype(*_: object) -> None:
    raise SheetError("the workbook's XML has a document type, which is not allowed; save the sheet again")


@dataclass(frozen=True, kw_only=True)
class NumberFormats:
    """Number formats of a workbook.

    Attributes:
        dates: indices of the cell styles for dates.
        from_1904: whether days are counted from 1904 and not from 1900.
        stale: whether formulas are recalculated when the workbook is opened: a stored result of 0 may be a placeholder.
    """

    dates: frozenset[str] = frozenset()
    from_1904: bool = False
    stale: bool = False


class WorksheetParser:
    """Parser that collects rows while XML is fed to ``expat``; ``take_rows`` returns the complete ones.

    Args:
        strings: the shared strings that cells refer to.
        formats: the number formats.
        columns: indices of the columns to collect, from 0; None collects all.
    """

    def __init__(self, strings: Sequence[str], formats: NumberFormats, columns: Collection[int] | None) -> None:
        self.merged: list[MergedCells] = []
        self.hidden_columns: set[int] = set()
        self.expat = new_xml_parser()
        self.expat.StartElementHandler = self._start
        self.expat.EndElementHandler = self._end
        self.expat.CharacterDataHandler = self._data
        self._strings, self._formats, self._columns = strings, formats, columns
        self._rows: list[GridRow] = []
        self._row, self._column, self._cell_count, self._hidden = 0, -1, 0, False
        self._cells: dict[int, str] = {}
        self._faults: dict[int, str] = {}
        self._cell: dict[str, str] | None = None  # attributes of the current cell, if it is wanted
        self._text: list[str] = []
        self._length = 0
        self._collecting = self._formula = self._phonetic = self._has_others = False
        self._indices_by_letters: dict[str, int] = {}

    def take_rows(self) -> list[GridRow]:
        """Return the complete rows, each once."""
        rows, self._rows = self._rows, []
        return rows

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag if tag in _FREQUENT else local_tag(tag)
        if name == "c":
            self._start_cell(attributes)
        elif name in ("v", "t"):
            self._collecting = not self._phonetic
        elif name == "row":
            self._start_row(attributes)
        elif name == "f":
            self._formula = True
        elif name == "rPh":
            self._phonetic = True
        elif name == "mergeCell":
            self._add_merged(attributes.get("ref", ""))
        elif name == "col" and attributes.get("hidden") in ("1", "true"):
            first, last = int(attributes.get("min", 0)), int(attributes.get("max", 0))
            self.hidden_columns.update(range(max(first, 1) - 1, min(last, LAST_COLUMN)))

    def _end(self, tag: str) -> None:
        name = tag if tag in _FREQUENT else local_tag(tag)
        if name == "c":
            if self._text or self._formula:
                self._end_cell()
        elif name in ("v", "t"):
            self._collecting = False
        elif name == "rPh":
            self._phonetic = False
        elif name == "row" and (self._cells or self._faults or self._has_others):
            self._rows.append(GridRow(self._row, self._cells, self._faults or NO_CELL_FAULTS, self._hidden))

    def _data(self, text: str) -> None:
        if self._collecting and self._cell is None:
            self._has_others = True
        elif self._collecting:
            self._length += len(text)
            if self._length > grid.MAX_CELL_TEXT:
                grid.refuse_oversized(f"a cell of row {self._row} has", grid.MAX_CELL_TEXT, "characters")
            self._text.append(text)

    def _start_row(self, attributes: dict[str, str]) -> None:
        self._row = int(attributes["r"]) if "r" in attributes else self._row + 1
        if not 1 <= self._row <= LAST_ROW:
            raise SheetError(f"the worksheet has a row {self._row:,}; the limit is {LAST_ROW:,}")
        self._column = -1
        self._hidden = attributes.get("hidden") in ("1", "true")
        self._cells, self._faults, self._has_others = {}, {}, False

    def _start_cell(self, attributes: dict[str, str]) -> None:
        self._cell_count += 1
        if self._cell_count > grid.MAX_CELLS:
            grid.refuse_oversized("the worksheet has", grid.MAX_CELLS, "cells")
        if "r" in attributes:
            letters = attributes["r"].rstrip("0123456789")
            index = self._indices_by_letters.get(letters)
            if index is None:
                index = self._indices_by_letters[letters] = _column_index(letters)
            self._column = index
        else:
            self._column += 1
        self._cell = attributes if self._columns is None or self._column in self._columns else None
        self._formula = False
        if self._text:
            self._text, self._length = [], 0

    def _end_cell(self) -> None:
        """Store the content of the cell; a cell with neither a value nor a formula is not stored."""
        if self._cell is None:
            return
        cell, text = self._cell, "".join(self._text)
        kind = cell.get("t", "n")
        if self._formula and self._is_uncalculated(text, kind):
            self._faults[self._column] = UNCALCULATED_FAULT
        elif kind == "e":
            self._faults[self._column] = f"has the error {text.strip()}; correct its formula"
        elif text and (displayed := self._displayed(text, kind, cell.get("s", "")).strip()):
            self._cells[self._column] = displayed

    def _is_uncalculated(self, text: str, kind: str) -> bool:
        if not text.strip():
            return kind != "str"  # the type of an empty text as a result
        return self._formats.stale and kind == "n" and text.strip() == "0"

    def _displayed(self, text: str, kind: str, style: str) -> str:
        if kind == "s":
            return _unescape(self._strings[_string_index(text, len(self._strings))])
        if kind == "b":
            return str(text.strip() in ("1", "true"))
        if kind == "n":
            return self._number(text, is_date=style in self._formats.dates)
        return _unescape(text)

    def _number(self, text: str, *, is_date: bool) -> str:
        try:
            number = float(text)
        except ValueError:
            return text
        if is_date and 0 <= number < 2_958_466:  # the year 10000
            first = datetime(1904, 1, 1) if self._formats.from_1904 else datetime(1899, 12, 30)
            return str(first + timedelta(seconds=round(86_400 * number)))
        return format_number_cell(number)

    def _add_merged(self, reference: str) -> None:
        if len(self.merged) >= grid.MAX_MERGED:
            grid.refuse_oversized("the worksheet has", grid.MAX_MERGED, "merged cells")
        if found := _AREA.fullmatch(reference):
            left, top, right, bottom = found.groups()
            self.merged.append(MergedCells(int(top), _column_index(left), int(bottom), _column_index(right)))


def _column_index(letters: str) -> int:
    index = 0
    for letter in letters.upper():
        index = 26 * index + ord(letter) - ord("A") + 1
    if not (letters.isascii() and letters.isalpha() and 1 <= index <= LAST_COLUMN):
        raise SheetError(f"the worksheet has a cell in column {letters[:10]!r}; the last allowed is XFD")
    return index - 1


def _string_index(text: str, count: int) -> int:
    index = int(text)
    if not 0 <= index < count:
        raise SheetError(f"a cell refers to string {index}, but the workbook has {count}; save the sheet again")
    return index


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text
