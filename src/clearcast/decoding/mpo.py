"""Count of the images in a JPEG file: multi-picture files with an index (CIPA DC-007, "MPO"), and concatenated images.

Concatenated images without an index are Motion JPEG, or joined files.
"""

import re
import struct
from collections.abc import Iterator

from clearcast.decoding.directories import DirectoryReader
from clearcast.decoding.records import refuse_cost, suppress_damage
from clearcast.decoding.segments import Segments, read_segments

_ENTRIES = 0xB002  # tag of the index that lists the images
_ENTRY = 16  # bytes: type and flags, size, offset, two numbers that are not used here
_MAX_LISTED = 100
_MAX_FOLLOWING = 100_000  # images in a file without an index; a minute of film has 1,500
_PADDING = re.compile(rb"[\x00\xff]{0,64}?(?=\xff\xd8\xff)")
_HEAD = 2**20  # bytes read of a further image
_KIND = 0xFFFFFF
_VIEWS = frozenset({0x020001, 0x020002, 0x020003})  # panorama, disparity, angles
_PRIMARY, _UNDEFINED = 0x030000, 0x000000


def count_pictures(data: bytes, first: Segments) -> int:
    """Count the images in a JPEG file, without previews, gain maps, depth maps and originals of the same image.

    Args:
        data: the whole file.
        first: the segments of its first image.
    """
    if not first.index:
        return 1 + _count_following(data, first)
    return 1 + sum(_is_own_image(kind, data, place, first) for kind, place in list(_list_index(first))[1:])


def _count_following(data: bytes, first: Segments) -> int:
    """Count the concatenated images after the first one that have its size."""
    count, last = 0, first
    while last.end is not None and not last.has_gain_map and (padding := _PADDING.match(data, last.end)):
        last = read_segments(data, padding.end())
        if last.size != first.size or last.has_gain_map:
            break
        count += 1
        if count >= _MAX_FOLLOWING:
            raise refuse_cost(f"more than {_MAX_FOLLOWING:,} concatenated images")
    return count


def _list_index(first: Segments) -> Iterator[tuple[int, int]]:
    """Iterate over the type and file offset of each image in the index."""
    with suppress_damage():
        reader = DirectoryReader(first.index)
        tags, _ = reader.read(reader.start)
        entries = next((tag for tag in tags if tag.number == _ENTRIES), None)
        if entries is None:
            return
        count = min(entries.size, len(first.index) - entries.offset) // _ENTRY
        if count > _MAX_LISTED:
            raise refuse_cost(f"the index lists {count:,} images; the limit is {_MAX_LISTED}")
        order = "<" if first.index.startswith(b"II") else ">"
        for number in range(count):
            kind, _, place = struct.unpack_from(f"{order}III", first.index, entries.offset + number * _ENTRY)
            yield kind & _KIND, first.index_offset + place


def _is_own_image(kind: int, data: bytes, place: int, first: Segments) -> bool:
    """Whether an image in the index is a separate image.

    Phones list gain maps and depth maps with an undefined type, and some programs list further images so. A gain map is
    labelled as such, or smaller than its image.
    """
    if kind != _UNDEFINED:
        return kind in _VIEWS or kind == _PRIMARY
    if first.has_gain_map or data[place : place + 2] != b"\xff\xd8":
        return False
    with suppress_damage():
        other = read_segments(data[place : place + _HEAD])
        return other.size == first.size and not other.has_gain_map
    return False
