"""Validation of uploads before decoding: size in bytes, media type, size in pixels, name.

The media type follows from a file's first bytes, not from its name or its sender. A file of two types, such as a JPEG
with a program appended, counts as the image that it begins with, and is served only as that.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import BinaryIO

from clearcast import imaging
from clearcast.errors import PictureError, PictureFault
from clearcast.station.api.station import Limits
from clearcast.station.desk import Upload

LONGEST_NAME = 255
LONGEST_STATION = 100
_UNNAMED = "picture"
_SIGNATURES = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/bmp": re.compile(rb"BM"),
    "image/tiff": re.compile(rb"II[*+]\x00|MM\x00[*+]"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # control, format (bidi too), surrogates, private use


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Upload that was rejected before inspection.

    Attributes:
        upload: the upload.
        status: HTTP status.
        reason: message for people.
    """

    upload: Upload
    status: int
    reason: str


def sift(file: BinaryIO, name: str | None, station: str, limits: Limits) -> Upload | Refusal:
    """Read an uploaded file and check that it can be inspected.

    Args:
        file: positioned at its beginning; at most ``limits.bytes`` long.
        name: as sent.
        station: name of the sending station.
        limits: on pixels.
    """
    upload = Upload(data=file.read(), name=clean(name or "", LONGEST_NAME) or _UNNAMED, station=station)
    name = upload.name
    if not upload.data:
        return Refusal(upload=upload, status=422, reason=f"{name}: the file is empty (0 bytes); send the image again")
    if kind_of(upload.data) is None:
        reason = f"{name}: not an image; expected a JPEG, PNG, BMP, TIFF or WebP file"
        return Refusal(upload=upload, status=415, reason=reason)
    try:
        info = imaging.probe(upload.data, name)
    except PictureError as error:
        status = 413 if error.fault is PictureFault.TOO_LARGE else 422
        return Refusal(upload=upload, status=status, reason=str(error))
    if info.width * info.height > limits.pixels:
        reason = (
            f"{name}: {info.width} x {info.height} pixels exceed the limit of {limits.pixels:,}; send a smaller image, "
            "or only the relevant region"
        )
        return Refusal(upload=upload, status=413, reason=reason)
    return upload


def too_large(name: str, size: int, station: str, limits: Limits) -> Refusal:
    """Reject a file that exceeds the byte limit and whose bytes were not kept.

    Args:
        name: as sent.
        size: in bytes.
        station: name of the sending station.
        limits: on bytes.
    """
    upload = Upload(data=b"", name=clean(name, LONGEST_NAME) or _UNNAMED, station=station)
    reason = f"{upload.name}: {size:,} bytes exceed the limit of {limits.bytes:,}; send a smaller file"
    return Refusal(upload=upload, status=413, reason=reason)


def kind_of(data: bytes) -> str | None:
    r"""Detect the media type of an image from its first bytes; None if it is not a known image format.

    >>> kind_of(b"\xff\xd8\xff\xe0"), kind_of(b"<svg onload='alert(1)'/>")
    ('image/jpeg', None)
    """
    return next((media_type for media_type, signature in _SIGNATURES.items() if signature.match(data)), None)


def clean(text: str, longest: int) -> str:
    r"""Sanitise a name for the log: the last component of a path, on one line, without invisible characters.

    >>> clean("..\\..\\Windows/system.ini\x00", 255)
    'system.ini'
    """
    visible = "".join(character for character in text if unicodedata.category(character) not in _INVISIBLE)
    parts = [part.strip() for part in re.split(r"[\\/]", visible)]
    last = next((part for part in reversed(parts) if part not in {"", ".", ".."}), "")
    return last[:longest].strip()
