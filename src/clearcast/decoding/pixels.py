"""Headers by Pillow and pixels by OpenCV; both raise what they like, so this is called through ``imaging`` alone."""

import functools
import io
import threading
import warnings

import cv2
import numpy as np
from PIL import Image

from clearcast.decoding.messages import native_messages_dropped
from clearcast.decoding.records import Channels, DecodingError, Picture, PictureInfo, Structure
from clearcast.errors import PictureFault, first_line

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_QUIET = threading.Lock()  # warnings.catch_warnings is not safe among threads


def read_header(data: bytes, structure: Structure) -> PictureInfo:
    """Read what the header says of channels and bits. The structure must have been found to be bounded."""
    if structure.format == "WEBP":  # Pillow would prepare a decoder for all pixels
        mode = "RGBA" if structure.transparent else "RGB"
        return PictureInfo("WEBP", mode, 8, structure.width, structure.height, structure.transparent)
    with _open(data) as header:
        transparent = header.has_transparency_data
        return PictureInfo(header.format or "", header.mode, _bits(header), *header.size, transparent)


def read_pixels(data: bytes, channels: Channels, *, strictly: bool, transparent: bool) -> Picture:
    """Decode pixels, with a camera's orientation applied.

    Args:
        data: a file of a known format.
        channels: of the result; see ``imaging.decode``.
        strictly: refuse a JPEG whose pixels end too early, which OpenCV fills up with grey.
        transparent: whether the file has transparency; it is refused if any pixel uses it.

    Raises:
        DecodingError: it cannot be decoded so.
    """
    _silence_opencv()
    if strictly:
        _require_whole(data)
    flag = cv2.IMREAD_COLOR_RGB if channels is Channels.RGB else cv2.IMREAD_GRAYSCALE
    with native_messages_dropped():
        if transparent:
            _require_opaque(data)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if pixels is None:
        raise DecodingError(
            PictureFault.UNREADABLE, "cannot be decoded; damaged, or of an unknown variant: save it anew"
        )
    return np.asarray(pixels, np.uint8)


def _require_whole(data: bytes) -> None:
    try:
        with _open(data) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DecodingError(
            PictureFault.TRUNCATED, f"truncated or damaged ({first_line(error)}); copy the file again"
        ) from None


def _require_opaque(data: bytes) -> None:
    """An alpha channel of nothing but 255 says nothing; any other leaves open what the pixels below it mean."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is not None and decoded.ndim == 3 and decoded.shape[2] == 4:
        opaque = cv2.minMaxLoc(cv2.extractChannel(decoded, 3))[0] == 255
    else:  # OpenCV drops some, such as one transparent grey level
        with _open(data) as picture:
            opaque = picture.convert("RGBA").getchannel("A").getextrema() == (255, 255)
    if not opaque:
        raise DecodingError(
            PictureFault.UNSUPPORTED,
            "some of its pixels are transparent, so what they show is open; save it without transparency, as 8-bit "
            "grey or RGB",
        )


def _open(data: bytes) -> Image.Image:
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data), formats=FORMATS)


@functools.cache
def _silence_opencv() -> None:
    """What it would write to the terminal about damaged files is an error of the picture, which is told once."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _bits(header: Image.Image) -> int:
    """Pillow reduces 16-bit colour to 8 bits without a word; only the raw mode of its decoder still tells."""
    if header.mode in {"I", "F"}:
        return 32
    raw = " ".join(str(tile[3]) for tile in getattr(header, "tile", []))
    return 16 if header.mode.startswith("I;16") or ";16" in raw else 8
