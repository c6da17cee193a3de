"""Streaming parser of multipart forms with images; whatever exceeds a limit is rejected as soon as it arrives."""

import asyncio
import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from clearcast.station.api.memory_budget import ArrivingUpload, UploadMemoryBudget, upload_memory_error
from clearcast.station.api.problems import http_error
from clearcast.station.api.settings import UploadLimits

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


_FIELDS = ("files", "station")
_HEADER_BYTES = 16 * 1024  # of all headers of one form part
_FIELD_BYTES = 4096  # of a field that is not a file
_MALFORMED = "Cannot read the form: it is not valid multipart/form-data (RFC 7578), or is truncated"


@dataclass(kw_only=True)
class ReceivedFile:
    """File of a form.

    Attributes:
        name: as sent; "" if the sender gave none.
        size: bytes received.
        digest: SHA-256 of these bytes.
        data: the bytes; empty if there are more than an image may have.
    """

    name: str
    size: int = 0
    data: bytes = field(default=b"", repr=False)
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256, repr=False)


@dataclass(kw_only=True)
class ReceivedForm:
    """Files of a request with images, and the name of the sending station, "" if it gives none."""

    files: list[ReceivedFile] = field(default_factory=list)
    station: str = ""

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return sum(len(file.data) for file in self.files)


async def receive_form(request: Request, limits: UploadLimits, budget: UploadMemoryBudget) -> ReceivedForm:
    """Parse the form of a request while it arrives, and account for its memory.

    Raises:
        HTTPException: 415, not a form; 400, malformed; 422, unknown fields; 413, too many files; 429, the memory
            budget is exceeded.
    """
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != b"multipart/form-data":
        actual = media_type.decode("latin-1") or "no Content-Type"
        raise http_error(415, f"Expected images as multipart/form-data in the field 'files', got {actual}")
    try:
        async with asyncio.timeout(None) as timeout:
            with budget.arrival(timeout) as upload:
                return await _receive(request, options.get(b"boundary", b""), _FormReader(limits, budget, upload))
    except TimeoutError:  # dropped by the memory budget
        raise upload_memory_error() from None
    except FormParserError:
        raise http_error(400, _MALFORMED) from None


async def _receive(request: Request, boundary: bytes, reader: "_FormReader") -> ReceivedForm:
    if not boundary:
        raise http_error(400, "The header Content-Type has no boundary")
    parser = MultipartParser(boundary, reader.callbacks())
    async for chunk in request.stream():
        parser.write(chunk)
    if not reader.is_complete:
        raise http_error(400, _MALFORMED)
    if not reader.form.files:
        raise _no_files()
    return reader.form


class _FormReader:
    """Handler of the multipart parser's events: collects the form and enforces the limits."""

    def __init__(self, limits: UploadLimits, budget: UploadMemoryBudget, upload: ArrivingUpload) -> None:
        self.form = ReceivedForm()
        self.is_complete = False
        self._limits, self._budget, self._upload = limits, budget, upload
        self._header, self._value = bytearray(), bytearray()
        self._header_bytes = 0
        self._disposition = b""
        self._file: ReceivedFile | None = None
        self._content = io.BytesIO()

    def callbacks(self) -> "MultipartCallbacks":
        """Callbacks for the parser."""
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._add_to_header(self._header, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_to_header(self._value, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": lambda data, start, end: self._add_content(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._header_bytes, self._disposition = 0, b""

    def _add_to_header(self, text: bytearray, chunk: bytes) -> None:
        self._header_bytes += len(chunk)
        if self._header_bytes > _HEADER_BYTES:
            raise http_error(400, f"The headers of a form part are longer than {_HEADER_BYTES:,} bytes")
        text += chunk

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _begin_content(self) -> None:
        _, options = parse_options_header(self._disposition)
        name, file_name = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise http_error(400, "A form part has no name; give one in its header Content-Disposition")
        self._content = io.BytesIO()
        self._file = None if file_name is None else ReceivedFile(name=_decoded(file_name))
        match _decoded(name):
            case "files" if self._file:
                self._add_file(self._file)
            case "files":
                raise _no_files()
            case "station" if self._file:
                raise http_error(422, "The field 'station' must be a name, got a file")
            case "station":
                pass
            case other:
                known = " and ".join(map(repr, _FIELDS))
                raise http_error(422, f"Unknown field {other[:50]!r}; the fields are {known}")

    def _add_file(self, file: ReceivedFile) -> None:
        limit = self._limits.files
        if len(self.form.files) >= limit:
            raise http_error(413, f"Too many files; send at most {limit} per request")
        self.form.files.append(file)

    def _add_content(self, chunk: bytes) -> None:
        if self._file is None:
            if self._content.tell() + len(chunk) > _FIELD_BYTES:
                raise http_error(422, f"The field 'station' is longer than {_FIELD_BYTES:,} bytes")
            self._content.write(chunk)
            return
        self._file.size += len(chunk)
        self._file.digest.update(chunk)
        if self._file.size <= self._limits.bytes:
            self._budget.grow(self._upload, len(chunk))
            self._content.write(chunk)
        elif self._content.tell():  # it is reported as too large, and the other files are inspected
            self._upload.size -= self._content.tell()
            self._content = io.BytesIO()

    def _end_part(self) -> None:
        if self._file is None:
            self.form.station = _decoded(self._content.getvalue())
        else:
            self._file.data = self._content.getvalue()  # without a copy
        self._content = io.BytesIO()

    def _end(self) -> None:
        self.is_complete = True


def _no_files() -> Exception:
    return http_error(422, "Expected one or more image files in the field 'files', each with a file name")


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
