"""Parser for the segments of JPEG files."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from clearcast.decoding.records import refuse_cost, refuse_damage

_MAX_SCANS = 100
_MAX_SEGMENTS = 4000  # without scans: a colour profile has up to 255, and each scan can have tables
_MAX_EXIF = 4 * 2**20  # bytes; a segment has 64 kB, and there should be one

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # without stuffed bytes, restart markers and padding
_HUFFMAN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive
_OTHER_FRAMES = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_STANDALONE = frozenset({0x01, 0xD8})  # markers without a length
_SCAN, _END, _APP1, _APP2 = 0xDA, 0xD9, 0xE1, 0xE2


@dataclass
class Segments:
    """Summary of a JPEG's segments. ``end`` is the offset after the end marker; None if there is no end marker."""

    size: tuple[int, int] | None = None
    huffman: bool = True  # whether all frames use Huffman coding, which all decoders support
    segments: int = 0
    scans: int = 0
    exif: list[bytes] = field(default_factory=list)
    index: bytes = b""  # of a multi-picture file
    index_offset: int = 0
    has_gain_map: bool = False
    end: int | None = None


def read_segments(data: bytes, start: int = 0) -> Segments:
    """Parse the segments from the start marker at offset ``start`` to its end marker.

    Raises:
        DecodingError: there are more segments, scans or EXIF data than the limits allow.
    """
    segments = Segments()
    for kind, begin, end in _iterate_segments(data, start + 2):
        if kind == _END:
            segments.end = end
            break
        _add_segment(segments, kind, data, begin, end)
    return segments


def _iterate_segments(data: bytes, place: int) -> Iterator[tuple[int, int, int]]:
    """Iterate over the marker, begin and end of each segment; skip the entropy-coded pixels."""
    while found := _MARKER.search(data, place):
        kind, place = data[found.end() - 1], found.end()
        if kind == _END:
            yield kind, place, place
        elif kind not in _STANDALONE:
            length = int.from_bytes(data[place : place + 2])
            if length < 2:
                raise refuse_damage("a segment has no length")
            yield kind, place + 2, place + length
            place += length


def _add_segment(segments: Segments, kind: int, data: bytes, begin: int, end: int) -> None:
    segments.scans += kind == _SCAN
    segments.segments += kind != _SCAN
    if segments.scans > _MAX_SCANS:
        raise refuse_cost(f"more than {_MAX_SCANS} scans")
    if segments.segments > _MAX_SEGMENTS:
        raise refuse_cost(f"more than {_MAX_SEGMENTS:,} segments")
    if kind in _HUFFMAN_FRAMES | _OTHER_FRAMES and end - begin >= 6 and end <= len(data):
        height, width = struct.unpack_from(">HH", data, begin + 1)
        segments.size = width, height
        segments.huffman &= kind in _HUFFMAN_FRAMES
    elif kind == _APP1:
        _add_exif(segments, data[begin:end])
    elif kind == _APP2 and data.startswith(b"MPF\0", begin):
        segments.index, segments.index_offset = data[begin + 4 : end], begin + 4
    segments.has_gain_map |= kind in {_APP1, _APP2} and _declares_gain_map(data[begin:end])


def _add_exif(segments: Segments, content: bytes) -> None:
    if content.startswith(b"Exif\0\0"):
        segments.exif.append(content.removeprefix(b"Exif\0\0"))
        if sum(map(len, segments.exif)) > _MAX_EXIF:
            raise refuse_cost(f"more than {_MAX_EXIF:,} bytes of EXIF")


def _declares_gain_map(content: bytes) -> bool:
    return any(mark in content for mark in (b"hdrgm:", b"HDRGainMap", b"urn:iso:std:iso:ts:21496:-1"))
