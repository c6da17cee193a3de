"""Structure parser for WebP files."""

import struct
from collections.abc import Iterator

from clearcast.decoding.exif import require_bounded_exif
from clearcast.decoding.records import Structure, refuse_cost, refuse_damage

_MAX_CHUNKS = 10_000
_ANIMATED, _ALPHA = 0x02, 0x10  # flags of an extended file


def read_structure(data: bytes) -> Structure:
    """Parse the chunks of a WebP file.

    Lossless pixels, also of an alpha channel, can use tables of any size, so the cost of decoding is not bounded.
    """
    sizes: list[tuple[int, int]] = []
    kinds: list[bytes] = []
    transparent = animated = False
    for kind, content in _chunks(data):
        kinds.append(kind)
        if size := _image_size(kind, content):
            sizes.append(size)
        if kind == b"VP8X" and size:
            animated, transparent = bool(content[0] & _ANIMATED), bool(content[0] & _ALPHA)
        elif kind == b"VP8L" and size:
            transparent |= bool(_number(content[1:5]) >> 28 & 1)
        elif kind == b"EXIF":
            require_bounded_exif(bytes(content).removeprefix(b"Exif\0\0"))
    if not sizes:
        raise refuse_damage("the file contains no image")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    expected = 8 + int.from_bytes(data[4:8], "little")
    return Structure(
        format="WEBP",
        width=width,
        height=height,
        frames=kinds.count(b"ANMF") if animated else 1,
        truncated=f"expected {expected:,} bytes, got {len(data):,}" if len(data) < expected else "",
        bounded=b"VP8 " in kinds and not {b"VP8L", b"ALPH", b"ANMF"} & set(kinds),
        transparent=transparent or b"ALPH" in kinds,
    )


def _image_size(kind: bytes, content: memoryview) -> tuple[int, int] | None:
    """Return the width and height that a chunk declares; None if it declares none."""
    match kind:
        case b"VP8X" if len(content) >= 10:
            return 1 + _number(content[4:7]), 1 + _number(content[7:10])
        case b"VP8 " if len(content) >= 10:
            width, height = struct.unpack_from("<HH", content, 6)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if len(content) >= 5:
            bits = _number(content[1:5])
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, place, count = memoryview(data), 12, 0
    while place + 8 <= len(data):
        count += 1
        if count > _MAX_CHUNKS:
            raise refuse_cost(f"more than {_MAX_CHUNKS:,} chunks")
        kind, size = struct.unpack_from("<4sI", data, place)
        yield kind, view[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _number(content: memoryview) -> int:
    return int.from_bytes(content, "little")
