"""Structure parser for image files: selects the parser by the file's signature, and parses BMP and WebP itself."""

import re
import struct
from collections.abc import Iterator

from clearcast.core.decoding import jpeg, png, tiff
from clearcast.core.decoding.image_info import ImageStructure, cost_error, damage_error
from clearcast.core.decoding.tiff import require_bounded_exif

_BMP_RLE = (1, 2)  # run-length compression of 8-bit and 4-bit pixels
_BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
_BMP_LONGEST_RUN = 255  # pixels encoded in two bytes

_WEBP_MAX_CHUNKS = 10_000
_WEBP_ANIMATED, _WEBP_ALPHA = 0x02, 0x10  # flags of an extended file


def _read_bmp_structure(data: bytes) -> ImageStructure:
    """Parse the header of a BMP file."""
    if len(data) < 54:
        raise damage_error("the header is truncated")
    offset, size = struct.unpack_from("<II", data, 10)
    if size not in _BMP_HEADER_SIZES:
        raise damage_error(f"unknown header size of {size:,} bytes")
    if size == 12:  # OS/2
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    width, height = abs(width), abs(height)
    if compression in _BMP_RLE:
        fills = (len(data) - offset) // 2 * _BMP_LONGEST_RUN >= width * height
        reason = "" if fills else "the runs do not fill the image"
        return ImageStructure(format="BMP", width=width, height=height, truncated=reason, bounded=False)
    stride = (width * bits + 31) // 32 * 4
    expected = offset + stride * (height - 1) + (width * bits + 7) // 8
    reason = f"expected {expected:,} bytes, got {len(data):,}" if len(data) < expected else ""
    return ImageStructure(format="BMP", width=width, height=height, truncated=reason)


def _read_webp_structure(data: bytes) -> ImageStructure:
    """Parse the chunks of a WebP file.

    Lossless pixels, also of an alpha channel, can use tables of any size, so the cost of decoding is not bounded.
    """
    sizes, kinds = list[tuple[int, int]](), list[bytes]()
    transparent = animated = False
    for kind, content in _webp_chunks(data):
        kinds.append(kind)
        if size := _webp_size(kind, content):
            sizes.append(size)
        if kind == b"VP8X" and size:
            animated, transparent = bool(content[0] & _WEBP_ANIMATED), bool(content[0] & _WEBP_ALPHA)
        elif kind == b"VP8L" and size:
            transparent |= bool(_to_int(content[1:5]) >> 28 & 1)
        elif kind == b"EXIF":
            require_bounded_exif(bytes(content).removeprefix(b"Exif\0\0"))
    if not sizes:
        raise damage_error("the file contains no image")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    expected = 8 + int.from_bytes(data[4:8], "little")
    return ImageStructure(
        format="WEBP",
        width=width,
        height=height,
        frames=kinds.count(b"ANMF") if animated else 1,
        truncated=f"expected {expected:,} bytes, got {len(data):,}" if len(data) < expected else "",
        bounded=b"VP8 " in kinds and not {b"VP8L", b"ALPH", b"ANMF"} & set(kinds),
        transparent=transparent or b"ALPH" in kinds,
    )


def _webp_size(kind: bytes, content: memoryview) -> tuple[int, int] | None:
    """Return the width and height that a chunk declares; None if it declares none."""
    match kind:
        case b"VP8X" if len(content) >= 10:
            return 1 + _to_int(content[4:7]), 1 + _to_int(content[7:10])
        case b"VP8 " if len(content) >= 10:
            width, height = struct.unpack_from("<HH", content, 6)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if len(content) >= 5:
            bits = _to_int(content[1:5])
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, position, count = memoryview(data), 12, 0
    while position + 8 <= len(data):
        count += 1
        if count > _WEBP_MAX_CHUNKS:
            raise cost_error(f"more than {_WEBP_MAX_CHUNKS:,} chunks")
        kind, size = struct.unpack_from("<4sI", data, position)
        yield kind, view[position + 8 : position + 8 + size]
        position += 8 + size + size % 2


def _to_int(content: memoryview) -> int:
    return int.from_bytes(content, "little")


_PARSERS = (
    (re.compile(rb"\xff\xd8\xff"), jpeg.read_jpeg_structure),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), png.read_png_structure),
    (re.compile(rb"II[*+]\x00|MM\x00[*+]"), tiff.read_tiff_structure),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _read_webp_structure),
    (re.compile(rb"BM"), _read_bmp_structure),
)


def read_image_structure(data: bytes) -> ImageStructure | None:
    """Parse the structure of a file from its headers and lists; None if its first bytes belong to no known format.

    Time and memory are bounded by a small multiple of reading the file's bytes once.

    Raises:
        DecodingError: the structure is damaged, or decoding would cost far more than the image's size justifies.
    """
    parse = next((parse for signature, parse in _PARSERS if signature.match(data)), None)
    return parse(data) if parse else None
