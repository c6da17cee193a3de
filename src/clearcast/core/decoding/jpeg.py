"""Structure parser for JPEG files: their segments, and further images in the same file.

Further images are listed in the index of a multi-picture file (MPF), or concatenated, as in motion JPEG.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from clearcast.core.decoding.image_info import ImageStructure, cost_error, damage_error, suppress_damage_errors
from clearcast.core.decoding.tiff import TiffDirectoryReader, require_bounded_exif

_MAX_SCANS = 100
_MAX_SEGMENTS = 4000  # without scans: a colour profile has up to 255, and each scan can have tables
_MAX_EXIF = 4 * 2**20  # bytes; a segment has 64 kB, and there should be one

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # without stuffed bytes, restart markers and padding
_HUFFMAN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive
_OTHER_FRAMES = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_STANDALONE = frozenset({0x01, 0xD8})  # markers without a length
_SCAN, _END, _APP1, _APP2 = 0xDA, 0xD9, 0xE1, 0xE2

_INDEX_TAG = 0xB002  # tag of the index that lists the images
_INDEX_ENTRY = 16  # bytes: type and flags, size, offset, two numbers that are not used here
_MAX_LISTED = 100
_MAX_FOLLOWING = 100_000  # images in a file without an index; a minute of film has 1,500
_PADDING = re.compile(rb"[\x00\xff]{0,64}?(?=\xff\xd8\xff)")
_HEAD = 2**20  # bytes read of a further image
_KIND = 0xFFFFFF  # bits of the type in an entry
_VIEWS = frozenset({0x020001, 0x020002, 0x020003})  # panorama, disparity, angles
_PRIMARY, _UNDEFINED = 0x030000, 0x000000

_MAX_WORK = 1_000_000_000  # pixels times scans; takes some seconds
_MAX_PADDING = 64  # bytes after the end marker


@dataclass
class _Segments:
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


def read_jpeg_structure(data: bytes) -> ImageStructure:
    """Parse the segments of a JPEG file, and those of further images in it."""
    segments = _read_segments(data)
    require_bounded_exif(b"".join(segments.exif))
    if segments.size is None:
        raise damage_error("the frame header is missing")
    width, height = segments.size
    return ImageStructure(
        format="JPEG",
        width=width,
        height=height,
        frames=_count_images(data, segments),
        unit="image",
        truncated="" if segments.end else "the end marker is missing",
        bounded=segments.huffman and width * height * max(segments.scans, 1) <= _MAX_WORK,
        has_trailing_data=segments.end is not None and len(data) - segments.end > _MAX_PADDING,
    )


def _read_segments(data: bytes, start: int = 0) -> _Segments:
    """Parse the segments from the start marker at offset ``start`` to its end marker.

    Raises:
        DecodingError: there are more segments, scans or EXIF data than the limits allow.
    """
    segments = _Segments()
    for kind, begin, end in _iterate_segments(data, start + 2):
        if kind == _END:
            segments.end = end
            break
        _add_segment(segments, kind, data, begin, end)
    return segments


def _iterate_segments(data: bytes, position: int) -> Iterator[tuple[int, int, int]]:
    """Iterate over the marker, begin and end of each segment; skip the entropy-coded pixels."""
    while found := _MARKER.search(data, position):
        kind, position = data[found.end() - 1], found.end()
        if kind == _END:
            yield kind, position, position
        elif kind not in _STANDALONE:
            length = int.from_bytes(data[position : position + 2])
            if length < 2:
                raise damage_error("a segment has no length")
            yield kind, position + 2, position + length
            position += length


def _add_segment(segments: _Segments, kind: int, data: bytes, begin: int, end: int) -> None:
    segments.scans += kind == _SCAN
    segments.segments += kind != _SCAN
    if segments.scans > _MAX_SCANS:
        raise cost_error(f"more than {_MAX_SCANS} scans")
    if segments.segments > _MAX_SEGMENTS:
        raise cost_error(f"more than {_MAX_SEGMENTS:,} segments")
    if kind in _HUFFMAN_FRAMES | _OTHER_FRAMES and end - begin >= 6 and end <= len(data):
        height, width = struct.unpack_from(">HH", data, begin + 1)
        segments.size = width, height
        segments.huffman &= kind in _HUFFMAN_FRAMES
    elif kind == _APP1:
        _add_exif(segments, data[begin:end])
    elif kind == _APP2 and data.startswith(b"MPF\0", begin):
        segments.index, segments.index_offset = data[begin + 4 : end], begin + 4
    segments.has_gain_map |= kind in {_APP1, _APP2} and _declares_gain_map(data[begin:end])


def _add_exif(segments: _Segments, content: bytes) -> None:
    if content.startswith(b"Exif\0\0"):
        segments.exif.append(content.removeprefix(b"Exif\0\0"))
        if sum(map(len, segments.exif)) > _MAX_EXIF:
            raise cost_error(f"more than {_MAX_EXIF:,} bytes of EXIF")


def _declares_gain_map(content: bytes) -> bool:
    return any(mark in content for mark in (b"hdrgm:", b"HDRGainMap", b"urn:iso:std:iso:ts:21496:-1"))


def _count_images(data: bytes, first: _Segments) -> int:
    """Count the images in a JPEG file, without previews, gain maps, depth maps and originals of the same image.

    Args:
        data: the whole file.
        first: the segments of its first image.
    """
    if not first.index:
        return 1 + _count_following(data, first)
    return 1 + sum(_is_own_image(kind, data, position, first) for kind, position in list(_list_index(first))[1:])


def _count_following(data: bytes, first: _Segments) -> int:
    """Count the concatenated images after the first one that have its size."""
    count, last = 0, first
    while last.end is not None and not last.has_gain_map and (padding := _PADDING.match(data, last.end)):
        last = _read_segments(data, padding.end())
        if last.size != first.size or last.has_gain_map:
            break
        count += 1
        if count >= _MAX_FOLLOWING:
            raise cost_error(f"more than {_MAX_FOLLOWING:,} concatenated images")
    return count


def _list_index(first: _Segments) -> Iterator[tuple[int, int]]:
    """Iterate over the type and file offset of each image in the index."""
    with suppress_damage_errors():
        reader = TiffDirectoryReader(first.index)
        tags, _ = reader.read(reader.start)
        entries = next((tag for tag in tags if tag.number == _INDEX_TAG), None)
        if entries is None:
            return
        count = min(entries.size, len(first.index) - entries.offset) // _INDEX_ENTRY
        if count > _MAX_LISTED:
            raise cost_error(f"the index lists {count:,} images; the limit is {_MAX_LISTED}")
        order = "<" if first.index.startswith(b"II") else ">"
        for number in range(count):
            kind, _, position = struct.unpack_from(f"{order}III", first.index, entries.offset + number * _INDEX_ENTRY)
            yield kind & _KIND, first.index_offset + position


def _is_own_image(kind: int, data: bytes, position: int, first: _Segments) -> bool:
    """Whether an image in the index is a separate image.

    Phones list gain maps and depth maps with an undefined type, and some programs list further images so. A gain map is
    labelled as such, or smaller than its image.
    """
    if kind != _UNDEFINED:
        return kind in _VIEWS or kind == _PRIMARY
    if first.has_gain_map or data[position : position + 2] != b"\xff\xd8":
        return False
    with suppress_damage_errors():
        other = _read_segments(data[position : position + _HEAD])
        return other.size == first.size and not other.has_gain_map
    return False
