"""Streaming reader for .xlsx and .xlsm workbooks, with memory only for used rows and wanted columns."""

import posixpath
import re
import struct
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from clearcast.core.errors import SheetError
from clearcast.data.readers import grid
from clearcast.data.readers.grid import CellGrid, GridRow
from clearcast.data.readers.worksheet import (
    NumberFormats,
    WorksheetParser,
    XmlElement,
    feed_xml,
    local_tag,
    new_xml_parser,
    read_xml_elements,
    xml_attribute,
)

_BUILTIN_DATES = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
_NOT_A_DATE = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.|_.|\*.|General', re.IGNORECASE)
_TAIL = 2**16 + 100  # bytes; contains the end record of a zip archive
_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def open_xlsx(path: Path) -> Iterator[list[CellGrid]]:
    """Open the worksheets of a workbook.

    Raises:
        SheetError: the workbook is encrypted, too large, or has no worksheet.
        Exception: the workbook is damaged.
    """
    grid.require_file_size(path)
    _require_small_directory(path)
    with zipfile.ZipFile(path) as archive:
        yield list(_Workbook(archive).worksheets())


def _require_small_directory(path: Path) -> None:
    """Check the size of the archive's central directory, which zipfile reads into memory."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        tail = file.read()
    for mark, at, kind in ((b"PK\5\6", 12, "<I"), (b"PK\6\6", 40, "<Q")):
        index = tail.rfind(mark)
        if index < 0 or len(tail) < index + at + struct.calcsize(kind):
            continue
        if struct.unpack_from(kind, tail, index + at)[0] > grid.MAX_SMALL_PART_BYTES:
            grid.refuse_oversized("the workbook has", grid.MAX_PARTS, "parts")


class _Workbook:
    """The parts of a workbook.

    Attributes:
        strings: the shared strings.
        formats: the number formats.

    Raises:
        SheetError, Exception: a part that the worksheets share is damaged or too large.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        infos = archive.infolist()
        if len(infos) > grid.MAX_PARTS:
            grid.refuse_oversized("the workbook has", grid.MAX_PARTS, "parts")
        self._parts = {info.filename.replace("\\", "/").lstrip("/").casefold(): info for info in infos}
        self._path = self._target_of("", "officeDocument") or "xl/workbook.xml"
        self._related = self._relations(self._path)
        self.strings = self._read_shared_strings()
        self.formats = self._read_number_formats()

    def worksheets(self) -> Iterator[CellGrid]:
        """Iterate over the worksheets that exist in the file, in their order, without chart sheets."""
        described = self._elements(self._path)
        names = [attributes for tag, attributes in described if tag == "sheet"]
        missing = []
        for attributes in names:
            kind, target = self._related.get(xml_attribute(attributes, "id"), ("", ""))
            name = attributes.get("name", "")
            if kind == "worksheet" and target.casefold() in self._parts:
                yield _Worksheet(self, target, name, visible=attributes.get("state", "visible") == "visible")
            elif kind != "chartsheet":
                missing.append(name)
        if len(missing) == len(names):
            raise SheetError(f"the workbook has no worksheet ({len(missing)} of {len(names)} are missing in the file)")

    def open(self, part: str, limit: int) -> IO[bytes]:
        """Open a part; its bytes are unpacked while they are read."""
        info = self._parts.get(part.casefold())
        if info is None:
            raise SheetError(f"the workbook has no part {part}")
        if info.flag_bits & 1:
            raise SheetError("the workbook is password-protected; save it without a password")
        if info.compress_type not in _DEFLATED:
            raise SheetError(f"the workbook's part {part} has an unsupported compression; save the sheet again")
        if info.file_size > limit:
            grid.refuse_oversized(f"the workbook's part {part} unpacks to", limit // 2**20, "MB")
        return self._archive.open(info)

    def _read_shared_strings(self) -> list[str]:
        part = next((target for kind, target in self._related.values() if kind == "sharedStrings"), "")
        if part.casefold() not in self._parts:
            return []
        with self.open(part, grid.MAX_STRING_BYTES) as stream:
            parser = _SharedStringsParser()
            for _ in feed_xml(parser.expat, stream, grid.MAX_STRING_BYTES, "the shared strings of the workbook"):
                pass
            return parser.strings

    def _read_number_formats(self) -> NumberFormats:
        part = next((target for kind, target in self._related.values() if kind == "styles"), "")
        dates = _date_styles(self._elements(part)) if part.casefold() in self._parts else frozenset()
        described = self._elements(self._path)
        settings = {tag: attributes for tag, attributes in described if tag in ("workbookPr", "calcPr")}
        return NumberFormats(
            dates=dates,
            from_1904=settings.get("workbookPr", {}).get("date1904") in ("1", "true"),
            stale=settings.get("calcPr", {}).get("fullCalcOnLoad") in ("1", "true"),
        )

    def _elements(self, part: str) -> list[XmlElement]:
        with self.open(part, grid.MAX_SMALL_PART_BYTES) as stream:
            return read_xml_elements(stream, f"the workbook's part {part}")

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Return the type and path of the parts that a part refers to, by relationship id."""
        folder, name = posixpath.split(part)
        rels = posixpath.join(folder, "_rels", f"{name}.rels")
        if rels.casefold() not in self._parts:
            return {}
        return {
            each.get("Id", ""): (
                each.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, each.get("Target", ""))).lstrip("/"),
            )
            for tag, each in self._elements(rels)
            if tag == "Relationship"
        }

    def _target_of(self, part: str, wanted: str) -> str | None:
        return next((target for kind, target in self._relations(part).values() if kind == wanted), None)


class _Worksheet(CellGrid):
    def __init__(self, workbook: _Workbook, part: str, name: str, *, visible: bool) -> None:
        super().__init__(name, visible=visible)
        self._workbook = workbook
        self._part = part

    def rows(self, columns: Collection[int] | None = None) -> Iterator[GridRow]:
        parser = WorksheetParser(self._workbook.strings, self._workbook.formats, columns)
        what = f"the worksheet {self.name!r}"
        with self._workbook.open(self._part, grid.MAX_PART_BYTES) as stream:
            for _ in feed_xml(parser.expat, stream, grid.MAX_PART_BYTES, what):
                yield from parser.take_rows()
        self.merged, self.hidden_columns = parser.merged, parser.hidden_columns


class _SharedStringsParser:
    """Parser that collects the shared strings of a workbook, without phonetic hints."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self.expat = new_xml_parser()
        self.expat.StartElementHandler = self._start
        self.expat.EndElementHandler = self._end
        self.expat.CharacterDataHandler = self._data
        self._pieces: list[str] = []
        self._is_phonetic = self._is_text = False

    def _start(self, tag: str, _: dict[str, str]) -> None:
        name = local_tag(tag)
        self._is_phonetic = self._is_phonetic or name == "rPh"
        self._is_text = name == "t" and not self._is_phonetic
        if name == "si":
            self._pieces = []

    def _end(self, tag: str) -> None:
        name, self._is_text = local_tag(tag), False
        if name == "rPh":
            self._is_phonetic = False
        elif name == "si":
            self.strings.append("".join(self._pieces))
            if len(self.strings) > grid.MAX_STRINGS:
                grid.refuse_oversized("the workbook has", grid.MAX_STRINGS, "strings")

    def _data(self, text: str) -> None:
        if self._is_text:
            self._pieces.append(text)


def _date_styles(styles: list[XmlElement]) -> frozenset[str]:
    """Return the indices of the cell styles for dates."""
    own = {each.get("numFmtId"): each.get("formatCode", "") for tag, each in styles if tag == "numFmt"}
    dates = {str(number) for number in _BUILTIN_DATES} - own.keys()
    dates |= {str(number) for number, code in own.items() if re.search("[dmyhs]", _NOT_A_DATE.sub("", code).lower())}
    begin = next((index for index, (tag, _) in enumerate(styles) if tag == "cellXfs"), len(styles))
    end = next((index for index, (tag, _) in enumerate(styles) if index > begin and tag == "cellStyles"), len(styles))
    cells = [each for tag, each in styles[begin:end] if tag == "xf"]
    return frozenset(str(index) for index, each in enumerate(cells) if each.get("numFmtId") in dates)
