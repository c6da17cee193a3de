"""Checks of uploads before decoding, and of the station names that come with them."""

import io
import re
import threading
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from clearcast.core import imaging
from clearcast.core.errors import PictureError, PictureFault
from clearcast.station.api.multipart import ReceivedFile, ReceivedForm
from clearcast.station.api.problems import http_error
from clearcast.station.api.settings import Station, UploadLimits
from clearcast.station.log import InspectionLog
from clearcast.station.records import InspectionEntry
from clearcast.station.service import ImageUpload

MAX_STATION_NAMES = 1000  # of stations in a log, which keeps counts by minute, verdict and noise type for each
_MAX_NAME_LENGTH = 255
_MAX_STATION_LENGTH = 100
_UNNAMED = "picture"  # name of an image whose sender gives none
_SIGNATURES = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/bmp": re.compile(rb"BM"),
    "image/tiff": re.compile(rb"II[*+]\x00|MM\x00[*+]"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # control, format (bidi too), surrogates, private use


@dataclass(frozen=True, kw_only=True)
class RejectedUpload:
    """Upload that was rejected before inspection.

    Attributes:
        upload: the upload.
        status: HTTP status.
        reason: message for people.
    """

    upload: ImageUpload
    status: int
    reason: str


def check_upload(file: BinaryIO, name: str | None, station: str, limits: UploadLimits) -> ImageUpload | RejectedUpload:
    """Read an uploaded file and check that it can be inspected.

    Args:
        file: positioned at its beginning; at most ``limits.bytes`` long.
        name: as sent.
        station: name of the sending station.
        limits: on pixels.
    """
    upload = ImageUpload(
        data=file.read(), name=sanitise_name(name or "", _MAX_NAME_LENGTH) or _UNNAMED, station=station
    )
    name = upload.name
    if not upload.data:
        reason = f"{name}: the file is empty (0 bytes); send the image again"
        return RejectedUpload(upload=upload, status=422, reason=reason)
    if detect_media_type(upload.data) is None:
        reason = f"{name}: not an image; expected a JPEG, PNG, BMP, TIFF or WebP file"
        return RejectedUpload(upload=upload, status=415, reason=reason)
    try:
        info = imaging.probe_image(upload.data, name)
    except PictureError as error:
        status = 413 if error.fault is PictureFault.TOO_LARGE else 422
        return RejectedUpload(upload=upload, status=status, reason=str(error))
    if info.width * info.height > limits.pixels:
        reason = (
            f"{name}: {info.width} x {info.height} pixels exceed the limit of {limits.pixels:,}; send a smaller image, "
            "or only the relevant region"
        )
        return RejectedUpload(upload=upload, status=413, reason=reason)
    return upload


def reject_oversized(name: str, size: int, station: str, limits: UploadLimits) -> RejectedUpload:
    """Reject a file that exceeds the byte limit and whose bytes were not kept.

    Args:
        name: as sent.
        size: in bytes.
        station: name of the sending station.
        limits: on bytes.
    """
    upload = ImageUpload(data=b"", name=sanitise_name(name, _MAX_NAME_LENGTH) or _UNNAMED, station=station)
    reason = f"{upload.name}: {size:,} bytes exceed the limit of {limits.bytes:,}; send a smaller file"
    return RejectedUpload(upload=upload, status=413, reason=reason)


def detect_media_type(data: bytes) -> str | None:
    r"""Detect the media type of an image from its first bytes; None if it is not a known image format.

    >>> detect_media_type(b"\xff\xd8\xff\xe0"), detect_media_type(b"<svg onload='alert(1)'/>")
    ('image/jpeg', None)
    """
    return next((media_type for media_type, signature in _SIGNATURES.items() if signature.match(data)), None)


def sanitise_name(text: str, longest: int) -> str:
    r"""Sanitise a name for the log: the last component of a path, on one line, without invisible characters.

    >>> sanitise_name("..\\..\\Windows/system.ini\x00", 255)
    'system.ini'
    """
    visible = "".join(character for character in text if unicodedata.category(character) not in _INVISIBLE)
    parts = [part.strip() for part in re.split(r"[\\/]", visible)]
    last = next((part for part in reversed(parts) if part not in {"", ".", ".."}), "")
    return last[:longest].strip()


class StationNameRegistry:
    """Registry of station names: admits those in the log, and new ones up to ``MAX_STATION_NAMES`` in total."""

    def __init__(self, log: InspectionLog) -> None:
        self._log = log
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def admit(self, name: str) -> None:
        """Check a name; for an unknown one, the log is read.

        Raises:
            HTTPException: 422, the log has too many names already.
            LogUnavailable: the log is not available.
        """
        if not name or name in self._known:
            return
        with self._lock:
            self._known.update(self._log.stations())
            if name not in self._known and len(self._known) >= MAX_STATION_NAMES:
                raise http_error(
                    422,
                    f"The station {name!r} is new, but the log has {len(self._known):,} station names already; the "
                    f"limit is {MAX_STATION_NAMES:,}. Use one of those, and distinguish parts by their file names",
                )
            self._known.add(name)


def resolve_station_name(form: ReceivedForm, station: Station) -> str:
    """Return the name of the station that sent a form; by default this one.

    Raises:
        HTTPException: 422, the name is too long.
    """
    name = form.station
    if len(name) > _MAX_STATION_LENGTH:
        raise http_error(422, f"The station's name has {len(name)} characters; the limit is {_MAX_STATION_LENGTH}")
    return sanitise_name(name, _MAX_STATION_LENGTH) or station.name


def check_uploads(files: Sequence[ReceivedFile], name: str, limits: UploadLimits) -> list[ImageUpload | RejectedUpload]:
    """Check all files of a form before decoding."""
    return [_check(file, name, limits) for file in files]


def _check(file: ReceivedFile, name: str, limits: UploadLimits) -> ImageUpload | RejectedUpload:
    if file.size > limits.bytes:
        return reject_oversized(file.name, file.size, name, limits)
    return check_upload(io.BytesIO(file.data), file.name, name, limits)


def make_rejected_entry(rejected: RejectedUpload, file: ReceivedFile, station: Station) -> InspectionEntry:
    """Create the log entry of a rejected file; its bytes are not stored."""
    upload, state = rejected.upload, station.service.state()
    return InspectionEntry(
        at=time.time_ns() // 1_000_000,
        name=upload.name,
        station=upload.station,
        sha256=file.digest.hexdigest(),
        size=file.size,
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
        error=rejected.reason,
    )
