"""The only way pixels enter and leave: decode, resize, encode. For training and for the line alike.

A picture is an ``np.ndarray`` of dtype uint8, shape (height, width, 3) in the order red, green, blue, or
(height, width) for grey; its values span 0..255. Networks get the same values divided by 255, and nothing else.
"""

import io
import re
import threading
import warnings
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearcast.errors import PictureError, PictureFault
from clearcast.file_kinds import PICTURE_SUFFIXES, OtherFiles, find_pictures

Picture = NDArray[np.uint8]

SUFFIXES = PICTURE_SUFFIXES
MAX_PIXELS = 100_000_000  # beyond this a few kilobytes could unpack to gigabytes; six times 4096 x 4096
MAX_BYTES = 512 * 1024 * 1024

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_MODES = frozenset({"L", "RGB", "P", "YCbCr"})  # of 8 bits a channel, with one meaning
_MAGIC = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|II\*\x00|MM\x00\*|RIFF....WEBP", re.DOTALL)
_END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xae\x42\x60\x82"}

_QUIET = threading.Lock()  # warnings.catch_warnings is not safe among threads


class Channels(StrEnum):
    """How many colour channels a decoded picture has."""

    RGB = "rgb"
    GREY = "grey"

    @property
    def depth(self) -> int:
        """3 for RGB, 1 for grey."""
        return 3 if self is Channels.RGB else 1


@dataclass(frozen=True)
class PictureInfo:
    """What a picture's header says; ``bits`` are those of one channel, ``mode`` is Pillow's name of the channels.

    ``width`` and ``height`` are those of the stored pixels, before a camera's EXIF orientation is applied.
    """

    format: str
    mode: str
    bits: int
    width: int
    height: int
    transparent: bool = False


def read_bytes(path: Path) -> bytes:
    """Read a picture file whole.

    Raises:
        PictureError: the file is missing, empty, no file, larger than ``MAX_BYTES``, or cannot be opened.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise PictureError(PictureFault.UNREADABLE, f"{path}: not a file; a picture file is needed")
        if size == 0:
            raise PictureError(
                PictureFault.EMPTY, f"{path}: the file is empty (0 bytes); copy or photograph the picture again"
            )
        if size > MAX_BYTES:
            raise PictureError(
                PictureFault.TOO_LARGE, f"{path}: the file has {size:,} bytes; at most {MAX_BYTES:,} are read"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise PictureError(
            PictureFault.MISSING, f"{path}: no such file; mend the path or the root folder it is relative to"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise PictureError(PictureFault.UNREADABLE, f"{path}: cannot be opened ({error})") from None


def probe(data: bytes, name: str = "picture") -> PictureInfo:
    """Read a picture's header without decoding its pixels.

    Raises:
        PictureError: not a picture of a known format, or more than ``MAX_PIXELS`` pixels.
    """
    try:
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as header:
                transparent = header.has_transparency_data
                info = PictureInfo(header.format or "", header.mode, _bits(header), *header.size, transparent)
    except Image.DecompressionBombError:
        raise PictureError(
            PictureFault.TOO_LARGE, f"{name}: the header claims too many pixels; at most {MAX_PIXELS:,} are decoded"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        if _MAGIC.match(data):
            raise PictureError(
                PictureFault.UNREADABLE,
                f"{name}: begins as a picture, but its header is cut off, damaged or of an unknown variant; copy the "
                "file again, or save it as 8-bit grey or RGB",
            ) from None
        raise PictureError(
            PictureFault.UNREADABLE, f"{name}: not a readable picture ({_reason(error)}); needed is {_known()}"
        ) from None
    if info.width * info.height > MAX_PIXELS:
        raise PictureError(
            PictureFault.TOO_LARGE,
            f"{name}: {info.width} x {info.height} pixels; at most {MAX_PIXELS:,} pixels are decoded",
        )
    return info


def decode(data: bytes, channels: Channels, name: str = "picture") -> Picture:
    """Decode a picture file's bytes to uint8 pixels of shape (height, width, 3) or, for grey, (height, width).

    A grey picture asked for in colour repeats its channel; a colour picture asked for in grey is weighted as in
    ITU-R BT.601 (0.299, 0.587, 0.114). A camera's EXIF orientation is applied.

    Raises:
        PictureError: not a picture, truncated, too many pixels, transparent, or of more than 8 bits a channel.
    """
    info = probe(data, name)
    _refuse_unknown_scale(info, name)
    if not _ends_whole(data, info.format):
        _decode_strictly(data, info.format, name)
    flag = cv2.IMREAD_COLOR_RGB if channels is Channels.RGB else cv2.IMREAD_GRAYSCALE
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise PictureError(PictureFault.UNREADABLE, f"{name}: cannot be decoded ({_reason(error)})") from None
    if pixels is None:
        raise PictureError(
            PictureFault.UNREADABLE, f"{name}: cannot be decoded; damaged, or an unknown variant of {info.format}"
        )
    return np.asarray(pixels, np.uint8)


def load(path: Path, channels: Channels) -> Picture:
    """Read and decode one picture file; see ``read_bytes`` and ``decode``."""
    return decode(read_bytes(path), channels, str(path))


def resize(picture: Picture, height: int, width: int) -> Picture:
    """Resize to (height, width): area averaging where it shrinks, which keeps noise free of aliasing; else linear."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    scaled = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)


def encode(picture: Picture, suffix: str, *, jpeg_quality: int = 95) -> bytes:
    """Encode uint8 pixels of shape (height, width) or (height, width, 3) in RGB order to the format of ``suffix``."""
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if suffix.lower() in {".jpg", ".jpeg"} else []
    done, data = cv2.imencode(suffix, pixels, options)
    assert done, f"OpenCV could not encode {picture.shape} {picture.dtype} as {suffix}"
    return bytes(data)


def save(path: Path, picture: Picture, *, jpeg_quality: int = 95) -> None:
    """Write a picture in the format of the path's suffix, making the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(picture, path.suffix, jpeg_quality=jpeg_quality))


def find(folder: Path, others: OtherFiles | None = None) -> list[Path]:
    """All picture files below a folder, sorted by path; see ``file_kinds``. Other files are counted in ``others``."""
    return find_pictures(folder, others)


def _refuse_unknown_scale(info: PictureInfo, name: str) -> None:
    """8 bits a channel have one meaning; 12 bits in a 16-bit file, floats, inks or transparency do not."""
    if info.bits > 8:
        raise PictureError(
            PictureFault.UNSUPPORTED,
            f"{name}: {info.format} with {info.bits} bits a channel, whose full scale (10, 12, 16 bits?) the file does "
            "not state; convert it to 8-bit grey or RGB with the scale of your camera",
        )
    if info.transparent:
        raise PictureError(
            PictureFault.UNSUPPORTED,
            f"{name}: {info.format} with transparency (mode {info.mode}); save it without, as 8-bit grey or RGB",
        )
    if info.mode not in _MODES:
        raise PictureError(
            PictureFault.UNSUPPORTED, f"{name}: {info.format} of mode {info.mode}; save it as 8-bit grey or RGB"
        )


def _bits(header: Image.Image) -> int:
    """Pillow reduces 16-bit colour to 8 bits without a word; only the raw mode of its decoder still tells."""
    if header.mode in {"I", "F"}:
        return 32
    raw = " ".join(str(tile[3]) for tile in getattr(header, "tile", []))
    return 16 if header.mode.startswith("I;16") or ";16" in raw else 8


def _ends_whole(data: bytes, form: str) -> bool:
    mark = _END_MARKS.get(form)
    return mark is not None and data[-64:].rstrip(b"\x00").endswith(mark)


def _decode_strictly(data: bytes, form: str, name: str) -> None:
    """OpenCV fills the missing rest of a truncated JPEG with grey and says nothing; Pillow refuses it.

    Pillow in turn takes zeros, with which a broken copy fills up, for the rest; only the end mark tells.
    """
    try:
        if not _has_end(data, form):
            raise EOFError("it has no end mark")
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, EOFError, Warning) as error:
        raise PictureError(
            PictureFault.TRUNCATED, f"{name}: truncated or damaged ({_reason(error)}); copy the file again"
        ) from None


def _has_end(data: bytes, form: str) -> bool:
    """Whether an end mark follows the pixels, where the format has one.

    In a JPEG it counts behind the start of the first scan: what goes before, such as a thumbnail, has marks of its own.
    """
    if form not in {"JPEG", "MPO"}:
        return _END_MARKS.get(form, b"") in data
    place = 2
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != b"\xda":
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return data.find(_END_MARKS["JPEG"], place) >= 0


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "no picture format recognised" if "cannot identify" in text else text


def _known() -> str:
    return "a JPEG, PNG, BMP, TIFF or WebP file"
