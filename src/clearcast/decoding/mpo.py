"""JPEG files that hold further pictures: an index in the first one says so (CIPA DC-007, "MPO"), or they follow it.

Pictures that follow each other without an index are Motion JPEG, or files that were joined.
"""

import re
import struct
from collections.abc import Iterator

from clearcast.decoding.directories import DirectoryReader
from clearcast.decoding.records import refuse_cost, suppress_damage
from clearcast.decoding.segments import Segments, read_segments

_ENTRIES = 0xB002  # the tag of the index that lists the pictures
_ENTRY = 16  # bytes: kind and flags, size, place, two numbers that do not matter here
_MOST_LISTED = 100
_MOST_FOLLOWING = 100_000  # pictures in a file without an index; a minute of film has 1,500
_FILLING = re.compile(rb"[\x00\xff]{0,64}?(?=\xff\xd8\xff)")
_HEAD = 2**20  # bytes of a further picture that are looked at
_KIND = 0xFFFFFF
_VIEWS = frozenset({0x020001, 0x020002, 0x020003})  # panorama, disparity, angles
_PRIMARY, _UNDEFINED = 0x030000, 0x000000


def count_pictures(data: bytes, first: Segments) -> int:
    """How many pictures a JPEG holds, not counting previews, gain maps, depths and originals of the same picture.

    Args:
        data: the whole file.
        first: the segments of its first picture.
    """
    if not first.index:
        return 1 + _count_following(data, first)
    return 1 + sum(_is_picture(kind, data, place, first) for kind, place in list(_listed(first))[1:])


def _count_following(data: bytes, first: Segments) -> int:
    """How many pictures of the first one's size stand one behind the other after its end."""
    count, last = 0, first
    while last.end is not None and not last.has_gain_map and (filling := _FILLING.match(data, last.end)):
        last = read_segments(data, filling.end())
        if last.size != first.size or last.has_gain_map:
            break
        count += 1
        if count >= _MOST_FOLLOWING:
            raise refuse_cost(f"more than {_MOST_FOLLOWING:,} pictures follow each other")
    return count


def _listed(first: Segments) -> Iterator[tuple[int, int]]:
    """Each listed picture's kind, and its place in the file."""
    with suppress_damage():
        reader = DirectoryReader(first.index)
        tags, _ = reader.read(reader.start)
        entries = next((tag for tag in tags if tag.number == _ENTRIES), None)
        if entries is None:
            return
        count = min(entries.size, len(first.index) - entries.place) // _ENTRY
        if count > _MOST_LISTED:
            raise refuse_cost(f"it lists {count:,} pictures; at most {_MOST_LISTED} are looked at")
        order = "<" if first.index.startswith(b"II") else ">"
        for number in range(count):
            kind, _, place = struct.unpack_from(f"{order}III", first.index, entries.place + number * _ENTRY)
            yield kind & _KIND, first.index_place + place


def _is_picture(kind: int, data: bytes, place: int, first: Segments) -> bool:
    """Whether a listed picture shows something of its own.

    Phones list gain maps and depths, and some programs further pictures, as of no defined kind. A gain map is named
    as such, or smaller than its picture.
    """
    if kind != _UNDEFINED:
        return kind in _VIEWS or kind == _PRIMARY
    if first.has_gain_map or data[place : place + 2] != b"\xff\xd8":
        return False
    with suppress_damage():
        other = read_segments(data[place : place + _HEAD])
        return other.size == first.size and not other.has_gain_map
    return False
