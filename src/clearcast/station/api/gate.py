"""What is looked at before a picture is decoded: how many bytes, what kind of file, how many pixels, which name.

A file's kind is what its first bytes say, whatever its name or its sender claim. A file of two kinds, such as a JPEG
with a program behind it, is taken as the picture it begins as, and is given back as nothing else.
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
_KINDS = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/bmp": re.compile(rb"BM"),
    "image/tiff": re.compile(rb"II[*+]\x00|MM\x00[*+]"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # control, format (such as turned text), halves, private


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A file that does not get to the desk.

    Attributes:
        upload: what came.
        status: the HTTP status that says why.
        reason: the same in words.
    """

    upload: Upload
    status: int
    reason: str


def sift(file: BinaryIO, name: str | None, station: str, limits: Limits) -> Upload | Refusal:
    """Read a file that was sent, and say whether the desk shall have it.

    Args:
        file: at its beginning; of at most ``limits.bytes`` bytes.
        name: what the sender calls it.
        station: which station sent it.
        limits: of pixels.
    """
    upload = Upload(data=file.read(), name=clean(name or "", LONGEST_NAME) or _UNNAMED, station=station)
    name = upload.name
    if not upload.data:
        return Refusal(upload=upload, status=422, reason=f"{name}: the file is empty (0 bytes); send the picture again")
    if kind_of(upload.data) is None:
        reason = f"{name}: not a picture; needed is a JPEG, PNG, BMP, TIFF or WebP file"
        return Refusal(upload=upload, status=415, reason=reason)
    try:
        info = imaging.probe(upload.data, name)
    except PictureError as error:
        status = 413 if error.fault is PictureFault.TOO_LARGE else 422
        return Refusal(upload=upload, status=status, reason=str(error))
    if info.width * info.height > limits.pixels:
        reason = f"{name}: has {info.width} x {info.height} pixels; {_most(limits)}"
        return Refusal(upload=upload, status=413, reason=reason)
    return upload


def too_large(name: str, size: int, station: str, limits: Limits) -> Refusal:
    """The refusal of a file of so many bytes, which were not kept; ``name`` is what the sender calls it."""
    upload = Upload(data=b"", name=clean(name, LONGEST_NAME) or _UNNAMED, station=station)
    reason = f"{upload.name}: the file has {size:,} bytes; at most {limits.bytes:,} are taken"
    return Refusal(upload=upload, status=413, reason=reason)


def _most(limits: Limits) -> str:
    return f"at most {limits.pixels:,} pixels are taken: send a smaller picture, or the part of it that matters"


def kind_of(data: bytes) -> str | None:
    r"""The media type that a file's first bytes stand for; None where they stand for no picture.

    >>> kind_of(b"\xff\xd8\xff\xe0"), kind_of(b"<svg onload='alert(1)'/>")
    ('image/jpeg', None)
    """
    return next((kind for kind, mark in _KINDS.items() if mark.match(data)), None)


def clean(text: str, longest: int) -> str:
    r"""A name as it is logged: the last part of a path, on one line, without signs that nobody sees.

    >>> clean("..\\..\\Windows/system.ini\x00", 255)
    'system.ini'
    """
    seen = "".join(sign for sign in text if unicodedata.category(sign) not in _UNSEEN)
    parts = [part.strip() for part in re.split(r"[\\/]", seen)]
    last = next((part for part in reversed(parts) if part not in {"", ".", ".."}), "")
    return last[:longest].strip()
