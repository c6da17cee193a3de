"""Reading the pictures of a request: not more of them than fit into memory, and what is wrong with each."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from clearcast.station.api.gate import LONGEST_STATION, Refusal, clean, sift
from clearcast.station.api.problems import refused, retry_after
from clearcast.station.api.station import Limits, Station
from clearcast.station.desk import Upload
from clearcast.station.records import Entry

_FIELDS = ("files", "station")


class Held:
    """Counts bytes of pictures that are in memory. Used in the event loop alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold so many bytes for a while; a request alone always may.

        Raises:
            HTTPException: 429, they do not fit just now.
        """
        if self._bytes and self._bytes + size > self._most:
            reason = "Too many pictures are being read just now; send them again in a moment"
            raise refused(429, reason, headers=retry_after(1))
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size


async def read_form(request: Request) -> FormData:
    """The form of a request with pictures; large files are on the disk then, not in memory.

    Raises:
        HTTPException: 415, no form; 400, one that is broken; 408 and 413 while it streams in.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise refused(
            415, f"Pictures are sent as multipart/form-data, in the field 'files'; this is {kind or 'nothing'}"
        )
    try:
        return await request.form(max_files=1000, max_fields=8, max_part_size=4096)
    except UnicodeError:  # some of the encodings that a sender may name fail in a way of their own
        raise refused(400, "The names in this form are not of the encoding that it says; leave 'charset' out") from None


def files_of(form: FormData, limits: Limits) -> list[UploadFile]:
    """The files of a form, in their order.

    Raises:
        HTTPException: 422, there are none, or other fields; 413, there are too many.
    """
    strange = sorted(set(form) - set(_FIELDS))
    if strange:
        raise refused(422, f"Unknown field {strange[0][:50]!r}; the fields are {' and '.join(map(repr, _FIELDS))}")
    files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
    if not files or len(files) < len(form.getlist("files")):
        raise refused(422, "Needed is the field 'files', with one picture file or several, each with a file name")
    if len(files) > limits.files:
        raise refused(413, f"{len(files)} files; at most {limits.files} are taken at once, send the others after these")
    return files


def station_name(form: FormData, station: Station) -> str:
    """Which station sent it, as the form says; else this one.

    Raises:
        HTTPException: 422, a file instead of a name, or too long a one.
    """
    said = form.get("station", "")
    if not isinstance(said, str):
        raise refused(422, "The field 'station' is a name, not a file")
    if len(said) > LONGEST_STATION:
        raise refused(422, f"The station's name has {len(said)} characters; at most {LONGEST_STATION} are taken")
    return clean(said, LONGEST_STATION) or station.name


async def sift_all(files: Sequence[UploadFile], name: str, limits: Limits) -> list[Upload | Refusal]:
    """Read the files and look at each, off the event loop."""
    return await run_in_threadpool(lambda: [sift(file.file, file.filename, name, limits) for file in files])


def entry_of(refusal: Refusal, station: Station) -> Entry:
    """What is logged of a file that did not get to the desk; its bytes are not kept."""
    upload, state = refusal.upload, station.desk.state()
    return Entry(
        at=time.time_ns() // 1_000_000,
        name=upload.name,
        station=upload.station,
        sha256=hashlib.sha256(upload.data).hexdigest(),
        size=len(upload.data),
        width=None,
        height=None,
        verdict=None,
        p_defect=None,
        threshold=state.threshold,
        noise_type=None,
        noise_level="",
        p_noise=None,
        ms=None,
        model=state.model or "",
        error=refusal.reason,
    )
