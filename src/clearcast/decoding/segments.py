"""The segments of JPEG files."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from clearcast.decoding.records import refuse_cost, refuse_damage

_MOST_SCANS = 100
_MOST_SEGMENTS = 4000  # besides scans: a colour profile has up to 255, tables come once a scan
_MOST_EXIF = 4 * 2**20  # bytes; one segment has 64 kB, and there should be one

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # no stuffed byte, no restart, no filling
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive; all with Huffman's codes
_OTHER_FRAMES = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_SINGLE = frozenset({0x01, 0xD8})  # markers without a length
_SCAN, _END, _APP1, _APP2 = 0xDA, 0xD9, 0xE1, 0xE2


@dataclass
class Segments:
    """What was met on the way through a JPEG. ``end``: where its end mark ends; None if it has none."""

    size: tuple[int, int] | None = None
    usual: bool = True
    segments: int = 0
    scans: int = 0
    exif: list[bytes] = field(default_factory=list)
    index: bytes = b""  # of a multi-picture file
    index_place: int = 0
    has_gain_map: bool = False
    end: int | None = None


def read_segments(data: bytes, start: int = 0) -> Segments:
    """Walk from a start mark, at the place ``start``, to the end mark that belongs to it.

    Raises:
        DecodingError: there are more segments, scans or EXIF than a picture has.
    """
    met = Segments()
    for kind, begin, end in _segments(data, start + 2):
        if kind == _END:
            met.end = end
            break
        _note(met, kind, data, begin, end)
    return met


def _segments(data: bytes, place: int) -> Iterator[tuple[int, int, int]]:
    """Each segment's marker, and where its content begins and ends; pixels are passed over."""
    while found := _MARKER.search(data, place):
        kind, place = data[found.end() - 1], found.end()
        if kind == _END:
            yield kind, place, place
        elif kind not in _SINGLE:
            length = int.from_bytes(data[place : place + 2])
            if length < 2:
                raise refuse_damage("a segment has no length")
            yield kind, place + 2, place + length
            place += length


def _note(met: Segments, kind: int, data: bytes, begin: int, end: int) -> None:
    met.scans += kind == _SCAN
    met.segments += kind != _SCAN
    if met.scans > _MOST_SCANS:
        raise refuse_cost(f"more than {_MOST_SCANS} scans")
    if met.segments > _MOST_SEGMENTS:
        raise refuse_cost(f"more than {_MOST_SEGMENTS:,} segments")
    if kind in _FRAMES | _OTHER_FRAMES and end - begin >= 6 and end <= len(data):
        height, width = struct.unpack_from(">HH", data, begin + 1)
        met.size = width, height
        met.usual &= kind in _FRAMES
    elif kind == _APP1:
        _note_exif(met, data[begin:end])
    elif kind == _APP2 and data.startswith(b"MPF\0", begin):
        met.index, met.index_place = data[begin + 4 : end], begin + 4
    met.has_gain_map |= kind in {_APP1, _APP2} and _names_gain_map(data[begin:end])


def _note_exif(met: Segments, content: bytes) -> None:
    if content.startswith(b"Exif\0\0"):
        met.exif.append(content.removeprefix(b"Exif\0\0"))
        if sum(map(len, met.exif)) > _MOST_EXIF:
            raise refuse_cost(f"more than {_MOST_EXIF:,} bytes of EXIF")


def _names_gain_map(content: bytes) -> bool:
    return any(mark in content for mark in (b"hdrgm:", b"HDRGainMap", b"urn:iso:std:iso:ts:21496:-1"))
