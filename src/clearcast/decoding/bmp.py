"""Structure parser for BMP files."""

import struct

from clearcast.decoding.records import Structure, refuse_damage

_RLE = (1, 2)  # run-length compression of 8-bit and 4-bit pixels
_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
_LONGEST_RUN = 255  # pixels encoded in two bytes


def read_structure(data: bytes) -> Structure:
    """Parse the header of a BMP file."""
    if len(data) < 54:
        raise refuse_damage("the header is truncated")
    offset, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADER_SIZES:
        raise refuse_damage(f"unknown header size of {size:,} bytes")
    if size == 12:  # OS/2
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    width, height = abs(width), abs(height)
    if compression in _RLE:
        fills = (len(data) - offset) // 2 * _LONGEST_RUN >= width * height
        reason = "" if fills else "the runs do not fill the image"
        return Structure(format="BMP", width=width, height=height, truncated=reason, bounded=False)
    stride = (width * bits + 31) // 32 * 4
    expected = offset + stride * (height - 1) + (width * bits + 7) // 8
    reason = f"expected {expected:,} bytes, got {len(data):,}" if len(data) < expected else ""
    return Structure(format="BMP", width=width, height=height, truncated=reason)
