"""Multipart forms with pictures, parsed while they arrive: whatever is too much is refused as soon as it shows."""

import asyncio
import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from clearcast.station.api.budget import MemoryBudget, Upload, too_full
from clearcast.station.api.problems import refused
from clearcast.station.api.station import Limits

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FIELDS = ("files", "station")
_HEADER_BYTES = 16 * 1024  # of all headers of one part
_FIELD_BYTES = 4096  # of a field that is no file
_BROKEN = "The form cannot be read: it is not multipart/form-data as RFC 7578 has it, or ends too early"


@dataclass(kw_only=True)
class ReceivedFile:
    """A file of a form.

    Attributes:
        name: what the sender calls it; "" where it has no name.
        size: bytes that came.
        digest: SHA-256 of these bytes.
        data: the bytes; empty where there were more than a picture may have.
    """

    name: str
    size: int = 0
    data: bytes = field(default=b"", repr=False)
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256, repr=False)


@dataclass(kw_only=True)
class ReceivedForm:
    """What came in a request with pictures; ``station``: "" where it names none."""

    files: list[ReceivedFile] = field(default_factory=list)
    station: str = ""

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return sum(len(file.data) for file in self.files)


async def receive_form(request: Request, limits: Limits, budget: MemoryBudget) -> ReceivedForm:
    """Parse the form of a request while it arrives; what it holds in memory is counted meanwhile.

    Raises:
        HTTPException: 415, no form; 400, a broken one; 422, fields that are not known; 413, too many files; 429, it
            does not fit into memory beside the others.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        said = kind.decode("latin-1") or "nothing"
        raise refused(415, f"Pictures are sent as multipart/form-data, in the field 'files'; this is {said}")
    try:
        async with asyncio.timeout(None) as timeout:
            with budget.arrival(timeout) as upload:
                return await _receive(request, options.get(b"boundary", b""), _FormReader(limits, budget, upload))
    except TimeoutError:  # it gave way to others
        raise too_full() from None
    except FormParserError:
        raise refused(400, _BROKEN) from None


async def _receive(request: Request, boundary: bytes, reader: "_FormReader") -> ReceivedForm:
    if not boundary:
        raise refused(400, "The header Content-Type names no boundary")
    parser = MultipartParser(boundary, reader.callbacks())
    async for chunk in request.stream():
        parser.write(chunk)
    if not reader.is_whole:
        raise refused(400, _BROKEN)
    if not reader.form.files:
        raise _no_files()
    return reader.form


class _FormReader:
    """Takes what the parser finds."""

    def __init__(self, limits: Limits, budget: MemoryBudget, upload: Upload) -> None:
        self.form = ReceivedForm()
        self.is_whole = False
        self._limits, self._budget, self._upload = limits, budget, upload
        self._header, self._value = bytearray(), bytearray()
        self._header_bytes = 0
        self._disposition = b""
        self._file: ReceivedFile | None = None
        self._content = io.BytesIO()

    def callbacks(self) -> "MultipartCallbacks":
        """What the parser calls."""
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._grow(self._header, data[start:end]),
            "on_header_value": lambda data, start, end: self._grow(self._value, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": lambda data, start, end: self._add(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._header_bytes, self._disposition = 0, b""

    def _grow(self, text: bytearray, piece: bytes) -> None:
        self._header_bytes += len(piece)
        if self._header_bytes > _HEADER_BYTES:
            raise refused(400, f"The headers of a part of the form are longer than {_HEADER_BYTES:,} bytes")
        text += piece

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _begin_content(self) -> None:
        _, options = parse_options_header(self._disposition)
        name, file_name = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise refused(400, "A part of the form has no name; it is given by its header Content-Disposition")
        self._content = io.BytesIO()
        self._file = None if file_name is None else ReceivedFile(name=_decoded(file_name))
        match _decoded(name):
            case "files" if self._file:
                self._take(self._file)
            case "files":
                raise _no_files()
            case "station" if self._file:
                raise refused(422, "The field 'station' is a name, not a file")
            case "station":
                pass
            case other:
                known = " and ".join(map(repr, _FIELDS))
                raise refused(422, f"Unknown field {other[:50]!r}; the fields are {known}")

    def _take(self, file: ReceivedFile) -> None:
        most = self._limits.files
        if len(self.form.files) >= most:
            raise refused(413, f"More than {most} files; at most {most} are taken at once, send the others after these")
        self.form.files.append(file)

    def _add(self, piece: bytes) -> None:
        if self._file is None:
            if self._content.tell() + len(piece) > _FIELD_BYTES:
                raise refused(422, f"The field 'station' is longer than {_FIELD_BYTES:,} bytes")
            self._content.write(piece)
            return
        self._file.size += len(piece)
        self._file.digest.update(piece)
        if self._file.size <= self._limits.bytes:
            self._budget.grow(self._upload, len(piece))
            self._content.write(piece)
        elif self._content.tell():  # it is answered as too large, and the other files are inspected
            self._upload.size -= self._content.tell()
            self._content = io.BytesIO()

    def _end_part(self) -> None:
        if self._file is None:
            self.form.station = _decoded(self._content.getvalue())
        else:
            self._file.data = self._content.getvalue()  # without a copy
        self._content = io.BytesIO()

    def _end(self) -> None:
        self.is_whole = True


def _no_files() -> Exception:
    return refused(422, "Needed is the field 'files', with one picture file or several, each with a file name")


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
