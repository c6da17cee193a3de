"""Pixel decoding with OpenCV, and header parsing with Pillow; without warnings about damaged images.

libjpeg and libpng write these warnings to C's ``stderr``. OpenCV cannot turn them off, and a camera whose files are
slightly damaged would fill the log. So the C library's variable ``stderr`` points to the null device while images are
decoded. Python, the C++ library, fault handlers and child processes write to the file descriptor and are not affected.
"""

import ctypes
import functools
import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from PIL import Image

from clearcast.core.decoding.image_info import Channels, DecodingError, ImageArray, ImageHeader, ImageStructure
from clearcast.core.errors import PictureFault, first_error_line

_PILLOW_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_STDERR_LOCK = threading.Lock()  # guards _decoding_threads and C's stderr
_decoding_threads = 0  # number of threads inside _suppress_native_stderr
_WARNINGS_LOCK = threading.Lock()  # warnings.catch_warnings is not thread-safe


def read_image_header(data: bytes, structure: ImageStructure) -> ImageHeader:
    """Read the channels and bit depth from the header. The caller has checked that the structure is bounded."""
    if structure.format == "WEBP":  # Pillow would set up a decoder for all pixels
        mode = "RGBA" if structure.transparent else "RGB"
        return ImageHeader("WEBP", mode, 8, structure.width, structure.height, structure.transparent)
    with _open(data) as header:
        transparent = header.has_transparency_data
        return ImageHeader(header.format or "", header.mode, _bits(header), *header.size, transparent)


def _bits(header: Image.Image) -> int:
    """Return the bits per channel. Pillow silently reduces 16-bit colour to 8 bits; only the raw mode shows it."""
    if header.mode in {"I", "F"}:
        return 32
    raw = " ".join(str(tile[3]) for tile in getattr(header, "tile", []))
    return 16 if header.mode.startswith("I;16") or ";16" in raw else 8


def _open(data: bytes) -> Image.Image:
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)


def decode_pixels(data: bytes, channels: Channels, *, strictly: bool, transparent: bool) -> ImageArray:
    """Decode pixels, with the EXIF orientation applied.

    Args:
        data: the bytes of a file of a known format.
        channels: channels of the result; see ``imaging.decode_image``.
        strictly: refuse a JPEG whose pixels end too early; OpenCV would fill it with grey.
        transparent: whether the file has transparency; the image is refused if any pixel is transparent.

    Raises:
        DecodingError: the image cannot be decoded.
    """
    _silence_opencv()
    if strictly:
        _require_complete(data)
    flag = cv2.IMREAD_COLOR_RGB if channels is Channels.RGB else cv2.IMREAD_GRAYSCALE
    with _suppress_native_stderr():
        if transparent:
            _require_opaque(data)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if pixels is None:
        raise DecodingError(
            PictureFault.UNREADABLE, "cannot be decoded (damaged, or of an unknown variant); save the image again"
        )
    return np.asarray(pixels, np.uint8)


def _require_complete(data: bytes) -> None:
    try:
        with _open(data) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DecodingError(
            PictureFault.TRUNCATED, f"truncated or damaged ({first_error_line(error)}); copy the file again"
        ) from None


def _require_opaque(data: bytes) -> None:
    """Refuse transparent pixels, whose colour is undefined; an alpha channel of 255 everywhere is accepted."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is not None and decoded.ndim == 3 and decoded.shape[2] == 4:
        opaque = cv2.minMaxLoc(cv2.extractChannel(decoded, 3))[0] == 255
    else:  # OpenCV drops some transparency, such as one transparent grey level
        with _open(data) as image:
            opaque = image.convert("RGBA").getchannel("A").getextrema() == (255, 255)
    if not opaque:
        raise DecodingError(
            PictureFault.UNSUPPORTED,
            "some of its pixels are transparent, so their colour is undefined; save it without transparency, as 8-bit "
            "grey or RGB",
        )


@functools.cache
def _silence_opencv() -> None:
    """Turn off OpenCV's log output about damaged files: the raised error reports them."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@contextmanager
def _suppress_native_stderr() -> Iterator[None]:
    """Discard what C code writes to ``stderr`` within the block; do nothing if the C library is not glibc."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(step: int) -> None:
    """Count threads in and out; redirect ``stderr`` for the first, and restore it after the last."""
    global _decoding_threads
    with _STDERR_LOCK:
        _decoding_threads += step
        streams = _streams()
        if streams:
            variable, standard, null = streams
            variable.value = null if _decoding_threads else standard


@functools.cache
def _streams() -> tuple[ctypes.c_void_p, int | None, int | None] | None:
    """Return the variable ``stderr``, its stream, and a null stream; None if the variable cannot be changed."""
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return None
        library = ctypes.CDLL(None)
        variable = ctypes.c_void_p.in_dll(library, "stderr")
    except (AttributeError, ValueError, OSError):  # another system or C library, which may keep it read-only
        return None
    library.fopen.restype = ctypes.c_void_p
    null = library.fopen(os.devnull.encode(), b"w")
    return (variable, variable.value, null) if null else None
