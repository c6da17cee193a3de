"""Images: reading, decoding, resizing, encoding and writing, shared by training and inspection.

An image is a uint8 array of shape (height, width, 3) in RGB order, or (height, width) for grey, with values 0..255.
Networks get these values divided by 255, without further normalisation.
"""

from pathlib import Path

import cv2
import numpy as np

from clearcast.core.decoding.image_info import Channels, DecodingError, ImageArray, ImageHeader, ImageStructure
from clearcast.core.decoding.isolation import decode_in_sandbox
from clearcast.core.decoding.pixels import decode_pixels, read_image_header
from clearcast.core.decoding.structure import read_image_structure
from clearcast.core.errors import PictureError, PictureFault, first_error_line

MAX_IMAGE_PIXELS = 100_000_000  # six times 4096 x 4096; a few kilobytes can unpack to gigabytes
MAX_IMAGE_SIDE = 2**20  # pixels; OpenCV's limit
MAX_IMAGE_BYTES = 512 * 1024 * 1024

_LONGEST_SIDES = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # pixels; limits of the encoders
_LONGEST_SIDE = 1_000_000  # pixels; limit of libpng
_MODES = frozenset({"L", "RGB", "P", "YCbCr"})  # 8 bits per channel, with a defined scale
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA"})  # the same with an alpha channel


def read_image_bytes(path: Path) -> bytes:
    """Read all bytes of an image file.

    Raises:
        PictureError: the file is missing, empty, not a regular file, larger than ``MAX_IMAGE_BYTES``, or cannot be
            opened.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise PictureError(PictureFault.UNREADABLE, f"{path}: not a regular file; expected an image file")
        if size == 0:
            raise PictureError(
                PictureFault.EMPTY, f"{path}: the file is empty (0 bytes); copy it or take the image again"
            )
        if size > MAX_IMAGE_BYTES:
            raise PictureError(
                PictureFault.TOO_LARGE, f"{path}: the file has {size:,} bytes; the limit is {MAX_IMAGE_BYTES:,}"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise PictureError(
            PictureFault.MISSING, f"{path}: no such file; correct the path or the root folder that it is relative to"
        ) from None
    except (OSError, ValueError, MemoryError) as error:  # ValueError: a NUL byte in the path
        raise PictureError(PictureFault.UNREADABLE, f"{path}: cannot be opened ({first_error_line(error)})") from None


def probe_image(data: bytes, name: str = "image") -> ImageHeader:
    """Read an image's header without decoding its pixels.

    Raises:
        PictureError: the format is unknown, the image has more than ``MAX_IMAGE_PIXELS`` pixels, the file holds several
            images, or decoding it would take far more time or memory than its pixels justify.
    """
    return _examine(data, name)[1]


def decode_image(data: bytes, channels: Channels, name: str = "image") -> ImageArray:
    """Decode the bytes of an image file to uint8 pixels of shape (height, width, 3) or, for grey, (height, width).

    Grey is converted to colour by repeating the channel, colour to grey with the weights of ITU-R BT.601 (0.299, 0.587,
    0.114). The EXIF orientation is applied. An alpha channel is dropped if it is 255 everywhere.

    Raises:
        PictureError: the image is truncated, partly transparent, has more than 8 bits per channel, or is refused by
            ``probe_image`` or a decoder.
    """
    structure, header = _examine(data, name)
    _refuse_unknown_scale(header, name)
    if structure.truncated:
        raise PictureError(
            PictureFault.TRUNCATED, f"{name}: truncated or damaged ({structure.truncated}); copy the file again"
        )
    strictly = structure.has_trailing_data
    try:
        if structure.bounded:
            return decode_pixels(data, channels, strictly=strictly, transparent=header.transparent)
        return decode_in_sandbox(data, structure, channels, strictly=strictly, transparent=header.transparent)
    except DecodingError as error:
        raise PictureError(error.fault, f"{name}: {error}") from None
    except Exception as error:  # decoders raise many types for a damaged file
        raise PictureError(PictureFault.UNREADABLE, f"{name}: cannot be decoded ({first_error_line(error)})") from error


def load_image(path: Path, channels: Channels) -> ImageArray:
    """Read and decode one image file; see ``read_image_bytes`` and ``decode_image``."""
    return decode_image(read_image_bytes(path), channels, str(path))


def resize_image(image: ImageArray, height: int, width: int) -> ImageArray:
    """Resize to (height, width): by area averaging if it shrinks (no aliasing of noise), else linear interpolation."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)


def encode_image(image: ImageArray, suffix: str, *, jpeg_quality: int = 95) -> bytes:
    """Encode uint8 pixels of shape (height, width) or (height, width, 3) in RGB order to the format of ``suffix``.

    Raises:
        PictureError: the image is too large for the format; see ``shrink_to_fit``.
    """
    height, width = image.shape[:2]
    longest = _longest_side(suffix)
    if max(height, width) > longest:
        raise PictureError(
            PictureFault.TOO_LARGE,
            f"{width} x {height} pixels; {suffix} allows at most {longest:,} pixels per side; use .png",
        )
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if suffix.lower() in {".jpg", ".jpeg"} else []
    try:
        done, data = cv2.imencode(suffix, pixels, options)
    except cv2.error as error:
        raise PictureError(
            PictureFault.UNSUPPORTED, f"cannot encode {width} x {height} pixels as {suffix} ({first_error_line(error)})"
        ) from None
    if not done:
        raise PictureError(PictureFault.UNSUPPORTED, f"cannot encode {width} x {height} pixels as {suffix}")
    return bytes(data)


def shrink_to_fit(image: ImageArray, suffix: str) -> ImageArray:
    """Shrink an image to the largest size that the format of ``suffix`` allows; return it unchanged if it fits."""
    height, width = image.shape[:2]
    scale = _longest_side(suffix) / max(height, width)
    return resize_image(image, max(1, int(scale * height)), max(1, int(scale * width))) if scale < 1 else image


def save_image(path: Path, image: ImageArray, *, jpeg_quality: int = 95) -> None:
    """Write an image in the format of the path's suffix, and create missing parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(image, path.suffix, jpeg_quality=jpeg_quality))


def _longest_side(suffix: str) -> int:
    return _LONGEST_SIDES.get(suffix.lower(), _LONGEST_SIDE)


def _examine(data: bytes, name: str) -> tuple[ImageStructure, ImageHeader]:
    """Read a file's structure and header; refuse several images in a file and images that are too large."""
    try:
        structure = read_image_structure(data)
        if structure:
            _refuse_size(structure.width, structure.height)
            header = read_image_header(data, structure)
            _refuse_size(header.width, header.height)
            _refuse_several(structure)
            return structure, header
    except DecodingError as error:
        raise PictureError(error.fault, f"{name}: {error}") from None
    except Exception:  # Pillow raises AssertionError, struct.error, RecursionError and more for damaged headers
        raise PictureError(
            PictureFault.UNREADABLE,
            f"{name}: the image header is truncated, damaged or of an unknown variant; copy the file again, or save it "
            "as 8-bit grey or RGB",
        ) from None
    raise PictureError(
        PictureFault.UNREADABLE,
        f"{name}: unknown image format; expected a JPEG, PNG, BMP, TIFF or WebP file",
    )


def _refuse_size(width: int, height: int) -> None:
    if width * height > MAX_IMAGE_PIXELS:
        raise DecodingError(
            PictureFault.TOO_LARGE, f"{width} x {height} pixels; the limit is {MAX_IMAGE_PIXELS:,} pixels"
        )
    if max(width, height) > MAX_IMAGE_SIDE:
        raise DecodingError(
            PictureFault.TOO_LARGE, f"{width} x {height} pixels; the limit is {MAX_IMAGE_SIDE:,} pixels per side"
        )


def _refuse_several(structure: ImageStructure) -> None:
    """Refuse a file of several images: only one would be inspected, and the others would pass unnoticed."""
    if structure.frames > 1:
        unit = structure.unit
        raise DecodingError(
            PictureFault.UNSUPPORTED,
            f"{structure.format} file with {structure.frames} {unit}s, of which only one would be inspected; save each "
            f"{unit} as a separate file",
        )


def _refuse_unknown_scale(header: ImageHeader, name: str) -> None:
    """Refuse pixel types whose full scale the file does not state, such as 12 bits in 16, floats and CMYK."""
    if header.bits > 8:
        raise PictureError(
            PictureFault.UNSUPPORTED,
            f"{name}: {header.format} with {header.bits} bits per channel; the full scale (10, 12 or 16 bits) is "
            "unknown: convert it to 8-bit grey or RGB with your camera's scale",
        )
    if header.mode not in _MODES | _ALPHA_MODES:
        raise PictureError(
            PictureFault.UNSUPPORTED, f"{name}: {header.format} of mode {header.mode}; save it as 8-bit grey or RGB"
        )
