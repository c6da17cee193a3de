"""The only way pixels enter and leave: decode, resize, encode. For training and for the line alike.

A picture is an ``np.ndarray`` of dtype uint8, shape (height, width, 3) in the order red, green, blue, or
(height, width) for grey; its values span 0..255. Networks get the same values divided by 255, and nothing else.
"""

from pathlib import Path

import cv2
import numpy as np

from clearcast.decoding.isolation import decode_apart
from clearcast.decoding.pixels import read_header, read_pixels
from clearcast.decoding.records import Channels as Channels
from clearcast.decoding.records import DecodingError, Structure
from clearcast.decoding.records import Picture as Picture
from clearcast.decoding.records import PictureInfo as PictureInfo
from clearcast.decoding.structure import read_structure
from clearcast.errors import PictureError, PictureFault, first_line
from clearcast.file_kinds import PICTURE_SUFFIXES, OtherFiles, find_pictures

SUFFIXES = PICTURE_SUFFIXES
MAX_PIXELS = 100_000_000  # beyond this a few kilobytes could unpack to gigabytes; six times 4096 x 4096
MAX_SIDE = 2**20  # pixels; OpenCV decodes no more
MAX_BYTES = 512 * 1024 * 1024

_LONGEST_SIDES = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # pixels, of the libraries that encode
_LONGEST_SIDE = 1_000_000  # of libpng
_MODES = frozenset({"L", "RGB", "P", "YCbCr"})  # of 8 bits a channel, with one meaning
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA"})  # the same with an alpha channel


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
    except (OSError, ValueError, MemoryError) as error:  # ValueError: a NUL byte in the path
        raise PictureError(PictureFault.UNREADABLE, f"{path}: cannot be opened ({first_line(error)})") from None


def probe(data: bytes, name: str = "picture") -> PictureInfo:
    """Read a picture's header without decoding its pixels.

    Raises:
        PictureError: not a picture of a known format, more than ``MAX_PIXELS`` pixels, several pictures in one file, or
            a structure that would take far more work or memory than its pixels explain.
    """
    return _examine(data, name)[1]


def decode(data: bytes, channels: Channels, name: str = "picture") -> Picture:
    """Decode a picture file's bytes to uint8 pixels of shape (height, width, 3) or, for grey, (height, width).

    A grey picture asked for in colour repeats its channel; a colour picture asked for in grey is weighted as in
    ITU-R BT.601 (0.299, 0.587, 0.114). A camera's EXIF orientation is applied. An alpha channel is left out if it is
    255 everywhere.

    Raises:
        PictureError: not a picture, truncated, too many pixels, partly transparent, of more than 8 bits a channel, or
            whatever else ``probe`` or a decoder finds wrong with it.
    """
    structure, info = _examine(data, name)
    _refuse_unknown_scale(info, name)
    if structure.truncated:
        raise PictureError(
            PictureFault.TRUNCATED, f"{name}: truncated or damaged ({structure.truncated}); copy the file again"
        )
    try:
        if structure.bounded:
            return read_pixels(data, channels, strictly=structure.goes_on, transparent=info.transparent)
        return decode_apart(data, structure, channels, strictly=structure.goes_on, transparent=info.transparent)
    except DecodingError as error:
        raise PictureError(error.fault, f"{name}: {error}") from None
    except Exception as error:  # decoders raise what they like; whatever it is, it is this file's fault alone
        raise PictureError(PictureFault.UNREADABLE, f"{name}: cannot be decoded ({first_line(error)})") from error


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
    """Encode uint8 pixels of shape (height, width) or (height, width, 3) in RGB order to the format of ``suffix``.

    Raises:
        PictureError: the format holds no pictures of this size; see ``shrink_to_fit``.
    """
    height, width = picture.shape[:2]
    longest = _longest_side(suffix)
    if max(height, width) > longest:
        raise PictureError(
            PictureFault.TOO_LARGE,
            f"{width} x {height} pixels; a {suffix} file holds at most {longest:,} pixels a side, .png holds more",
        )
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if suffix.lower() in {".jpg", ".jpeg"} else []
    try:
        done, data = cv2.imencode(suffix, pixels, options)
    except cv2.error as error:
        raise PictureError(
            PictureFault.UNSUPPORTED, f"{width} x {height} pixels cannot be written as {suffix} ({first_line(error)})"
        ) from None
    if not done:
        raise PictureError(PictureFault.UNSUPPORTED, f"{width} x {height} pixels cannot be written as {suffix}")
    return bytes(data)


def shrink_to_fit(picture: Picture, suffix: str) -> Picture:
    """A picture as it is or, if it is too long for the format of ``suffix``, shrunk to the largest size that fits."""
    height, width = picture.shape[:2]
    scale = _longest_side(suffix) / max(height, width)
    return resize(picture, max(1, int(scale * height)), max(1, int(scale * width))) if scale < 1 else picture


def save(path: Path, picture: Picture, *, jpeg_quality: int = 95) -> None:
    """Write a picture in the format of the path's suffix, making the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(picture, path.suffix, jpeg_quality=jpeg_quality))


def find(folder: Path, others: OtherFiles | None = None) -> list[Path]:
    """All picture files below a folder, sorted by path; see ``file_kinds``. Other files are counted in ``others``."""
    return find_pictures(folder, others)


def _longest_side(suffix: str) -> int:
    return _LONGEST_SIDES.get(suffix.lower(), _LONGEST_SIDE)


def _examine(data: bytes, name: str) -> tuple[Structure, PictureInfo]:
    """What a file's structure and header say, if it is one picture, of a size that is decoded."""
    try:
        structure = read_structure(data)
        if structure:
            _refuse_size(structure.width, structure.height)
            info = read_header(data, structure)
            _refuse_size(info.width, info.height)
            _refuse_several(structure)
            return structure, info
    except DecodingError as error:
        raise PictureError(error.fault, f"{name}: {error}") from None
    except Exception:  # Pillow raises AssertionError, struct.error, RecursionError and more for damaged headers
        raise PictureError(
            PictureFault.UNREADABLE,
            f"{name}: begins as a picture, but its header is cut off, damaged or of an unknown variant; copy the "
            "file again, or save it as 8-bit grey or RGB",
        ) from None
    raise PictureError(
        PictureFault.UNREADABLE,
        f"{name}: not a readable picture (no picture format recognised); expected a JPEG, PNG, BMP, TIFF or WebP file",
    )


def _refuse_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DecodingError(
            PictureFault.TOO_LARGE, f"{width} x {height} pixels; at most {MAX_PIXELS:,} pixels are decoded"
        )
    if max(width, height) > MAX_SIDE:
        raise DecodingError(
            PictureFault.TOO_LARGE, f"{width} x {height} pixels; at most {MAX_SIDE:,} pixels a side are decoded"
        )


def _refuse_several(structure: Structure) -> None:
    """One file is one inspection; whatever is not looked at must not pass as looked at."""
    if structure.frames > 1:
        unit = structure.unit
        raise DecodingError(
            PictureFault.UNSUPPORTED,
            f"a {structure.format} with {structure.frames} {unit}s, of which only one would be looked at; save each "
            f"{unit} as a file of its own",
        )


def _refuse_unknown_scale(info: PictureInfo, name: str) -> None:
    """8 bits a channel have one meaning; 12 bits in a 16-bit file, floats and inks do not."""
    if info.bits > 8:
        raise PictureError(
            PictureFault.UNSUPPORTED,
            f"{name}: {info.format} with {info.bits} bits a channel, whose full scale (10, 12, 16 bits?) the file does "
            "not state; convert it to 8-bit grey or RGB with the scale of your camera",
        )
    if info.mode not in _MODES | _ALPHA_MODES:
        raise PictureError(
            PictureFault.UNSUPPORTED, f"{name}: {info.format} of mode {info.mode}; save it as 8-bit grey or RGB"
        )
