"""Structure parser for TIFF files, and for tag directories (IFDs), which EXIF and multi-picture JPEGs use too."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clearcast.core.decoding.image_info import (
    DecodingError,
    ImageStructure,
    cost_error,
    damage_error,
    suppress_damage_errors,
)
from clearcast.core.errors import PictureFault

_MAX_TAGS = 4096  # per directory
_MAX_VALUES = 200_000  # per tag that is read here, such as the offsets of strips or tiles
_MAX_NUMBER_BYTES = 16 * 2**20  # of numeric tags; each number becomes a Python object
_SLACK = 64 * 1024  # bytes; tags may share small values, such as two equal resolutions

_ENTRY = np.dtype([("number", "u2"), ("type", "u2"), ("count", "u4"), ("value", "u4")])
_BIG_ENTRY = np.dtype([("number", "u2"), ("type", "u2"), ("count", "u8"), ("value", "u8")])
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_BYTE_TYPES = frozenset({1, 2, 6, 7})  # tag types of bytes and text
_INTEGER_DTYPES = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}  # by tag type

_POINTER_TAGS = frozenset({34665, 34853, 40965})  # tags that point to the EXIF, GPS and interoperability directories

_MAX_DIRECTORIES = 10_000
_MAX_SAMPLES = 6
_SMALL_TILE = 4 * 2**20  # pixels; a larger tile must not be much larger than the image
_BOUNDED_COMPRESSIONS = frozenset({1, 5, 8, 32773, 32946})  # compression: none, LZW, deflate, PackBits, old deflate

_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _COMPRESSION = 254, 255, 256, 257, 259
_STRIPS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PLANES = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 322, 323, 324, 325
_SUB_DIRECTORIES = 330
_REDUCED, _MASK = 1, 4  # bits of _KIND
_OLD_REDUCED = 2


def read_tiff_structure(data: bytes) -> ImageStructure:
    """Parse the directories of a TIFF file, and the layout of the first page's pixels."""
    reader = TiffDirectoryReader(data)
    first, following = _read(reader, reader.start)
    width, height = first.number(_WIDTH, 0), first.number(_HEIGHT, 0)
    if not width or not height:
        raise damage_error("the width or height is missing")
    samples = first.number(_SAMPLES, 1)
    if samples > _MAX_SAMPLES:
        raise DecodingError(
            PictureFault.UNSUPPORTED, f"expected 1 (grey) or 3 (colour) samples per pixel, got {samples:,}"
        )
    pages = int(not first.is_auxiliary) + _count_pages(reader, reader.start, following)
    if first.is_auxiliary and (following or _SUB_DIRECTORIES in first.tags):
        raise damage_error("the first page is a smaller copy or a mask of another page")
    _require_bounded_directories(reader, list(first.tags.values()))
    return ImageStructure(
        format="TIFF",
        width=width,
        height=height,
        frames=max(pages, 1),
        unit="page",
        truncated=_require_bounded_pieces(first, width, height, len(data)),
        bounded=first.number(_COMPRESSION, 1) in _BOUNDED_COMPRESSIONS,
    )


@dataclass(frozen=True, slots=True)
class _Tag:
    """TIFF tag: its number, the type and count of its values, and their offset in the file."""

    number: int
    type: int
    count: int
    offset: int

    @property
    def size(self) -> int:
        """Size of all values in bytes; 0 for unknown types, which readers skip."""
        return self.count * _TYPE_SIZES.get(self.type, 0)


class TiffDirectoryReader:
    """Reader of tag directories that limits the total size of the tags.

    If the tags claim more bytes than the file has, they share bytes, and copying them would take many times the file's
    size.

    Args:
        data: a file, or a part of one, that begins with a TIFF header.

    Raises:
        DecodingError: there is no TIFF header.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order: Literal["<", ">"] = ">" if data.startswith(b"MM") else "<"
        version = self._unpack("H", 2)
        if data[:2] not in {b"II", b"MM"} or version not in {42, 43}:
            raise damage_error("no TIFF header")
        self._big = version == 43
        self._claimed_bytes = 0
        self._number_bytes = 0

    @property
    def start(self) -> int:
        """Offset of the first directory."""
        return self._unpack("Q", 8) if self._big else self._unpack("I", 4)

    def read(self, offset: int) -> tuple[list[_Tag], int]:
        """Read the directory at an offset.

        Returns:
            The tags, and the offset of the next directory; 0 if this is the last one.

        Raises:
            DecodingError: the directory exceeds the file, or all tags read so far claim more bytes than the file has.
        """
        head, size, pointer = (8, _BIG_ENTRY.itemsize, "Q") if self._big else (2, _ENTRY.itemsize, "I")
        count = self._unpack("Q" if self._big else "H", offset)
        end = offset + head + count * size
        if end > len(self._data):
            raise damage_error("a tag directory exceeds the file")
        if count > _MAX_TAGS:
            raise cost_error(f"{count:,} tags in one directory; the limit is {_MAX_TAGS:,}")
        self._claim(count * size)
        tags = list(self._tags(offset + head, count))
        return tags, self._unpack(pointer, end) if end + struct.calcsize(pointer) <= len(self._data) else 0

    def values(self, tag: _Tag | None) -> list[int]:
        """Return the integers of a tag; an empty list if the tag is missing or of another type."""
        if tag is None or tag.type not in _INTEGER_DTYPES:
            return []
        if tag.count > _MAX_VALUES:
            raise cost_error(f"{tag.count:,} numbers in one tag; the limit is {_MAX_VALUES:,}")
        if tag.offset + tag.size > len(self._data):
            raise damage_error("the values of a tag lie outside the file")
        dtype = np.dtype(_INTEGER_DTYPES[tag.type]).newbyteorder(self._order)
        return [int(value) for value in np.frombuffer(self._data, dtype, tag.count, tag.offset)]

    def _tags(self, begin: int, count: int) -> Iterator[_Tag]:
        entry, pointer, inline = (_BIG_ENTRY, "Q", 8) if self._big else (_ENTRY, "I", 4)  # bytes within the tag itself
        entries = np.frombuffer(self._data, entry.newbyteorder(self._order), count, begin)
        for position, (number, kind, values, _) in enumerate(entries.tolist(), 1):
            offset = begin + position * entry.itemsize - inline
            tag = _Tag(number, kind, values, offset)
            if tag.size > inline:
                tag = _Tag(number, kind, values, self._unpack(pointer, offset))
                self._claim(max(0, min(tag.size, len(self._data) - tag.offset)), numbers=kind not in _BYTE_TYPES)
            yield tag

    def _claim(self, size: int, *, numbers: bool = False) -> None:
        self._claimed_bytes += size
        self._number_bytes += size if numbers else 0
        if self._claimed_bytes > len(self._data) + _SLACK:
            raise cost_error(f"the tags overlap: they claim more than the {len(self._data):,} bytes of the file")
        if self._number_bytes > _MAX_NUMBER_BYTES:
            raise cost_error(f"the tags hold more than {_MAX_NUMBER_BYTES:,} bytes of numbers")

    def _unpack(self, kind: str, offset: int) -> int:
        try:
            (value,) = struct.unpack_from(self._order + kind, self._data, offset)
        except struct.error:
            raise damage_error("a tag directory exceeds the file") from None
        return int(value)


def _require_bounded_directories(reader: TiffDirectoryReader, tags: Sequence[_Tag]) -> None:
    """Check that the directories which tags point to can be read in bounded time and memory.

    Damaged EXIF is accepted, since the pixels can still be valid.

    Raises:
        DecodingError: reading the directories would cost far more than the data's size justifies.
    """
    pending = _directory_offsets(reader, tags)
    visited = set(pending)
    with suppress_damage_errors():
        while pending:
            new = _directory_offsets(reader, reader.read(pending.pop())[0]) - visited
            pending |= new
            visited |= new


def require_bounded_exif(data: bytes) -> None:
    """Check the same for an EXIF block, which begins with a TIFF header.

    Raises:
        DecodingError: reading the block would cost far more than its size justifies.
    """
    with suppress_damage_errors():
        reader = TiffDirectoryReader(data)
        tags, _ = reader.read(reader.start)
        _require_bounded_directories(reader, tags)


def _directory_offsets(reader: TiffDirectoryReader, tags: Sequence[_Tag]) -> set[int]:
    return {value for tag in tags if tag.number in _POINTER_TAGS for value in reader.values(tag)[:1]}


@dataclass(frozen=True)
class _Directory:
    """Tags of a directory, read as numbers."""

    reader: TiffDirectoryReader
    tags: dict[int, _Tag]

    def numbers(self, number: int) -> list[int]:
        return self.reader.values(self.tags.get(number))

    def number(self, number: int, default: int) -> int:
        return next(iter(self.numbers(number)), default)

    @property
    def is_auxiliary(self) -> bool:
        """Whether the page is a smaller copy or a mask of another page."""
        return bool(self.number(_KIND, 0) & (_REDUCED | _MASK)) or self.number(_OLD_KIND, 0) == _OLD_REDUCED


def _read(reader: TiffDirectoryReader, position: int) -> tuple[_Directory, int]:
    tags, following = reader.read(position)
    named = {tag.number: tag for tag in tags}
    if len(named) < len(tags):
        raise damage_error("a tag occurs twice")
    return _Directory(reader, named), following


def _count_pages(reader: TiffDirectoryReader, first: int, position: int) -> int:
    """Count the pages after the first one."""
    visited, pages = {first}, 0
    while position:
        if position in visited:
            raise damage_error("the list of pages is circular")
        if len(visited) >= _MAX_DIRECTORIES:
            raise cost_error(f"more than {_MAX_DIRECTORIES:,} pages")
        visited.add(position)
        directory, position = _read(reader, position)
        pages += not directory.is_auxiliary
    return pages


def _require_bounded_pieces(directory: _Directory, width: int, height: int, size: int) -> str:
    """Check the number and size of strips or tiles; return why the file is truncated, or ""."""
    if directory.number(_TILE_WIDTH, 0):
        across, down = directory.number(_TILE_WIDTH, 0), directory.number(_TILE_HEIGHT, 0)
        positions, sizes = directory.numbers(_TILES), directory.numbers(_TILE_SIZES)
    else:
        across, down = width, min(directory.number(_ROWS_PER_STRIP, height), height)
        positions, sizes = directory.numbers(_STRIPS), directory.numbers(_STRIP_SIZES)
    if not across or not down:
        raise damage_error("the tiles or strips have no size")
    if across * down > max(_SMALL_TILE, 4 * width * height):
        raise cost_error(f"tiles of {across:,} x {down:,} pixels for an image of {width:,} x {height:,}")
    planes = directory.number(_SAMPLES, 1) if directory.number(_PLANES, 1) == 2 else 1
    expected = -(-width // across) * -(-height // down) * planes
    if len(positions) > expected or len(sizes) > expected:
        raise cost_error(f"expected {expected:,} strips or tiles, got {max(len(positions), len(sizes)):,}")
    return _require_distinct_bytes(positions, sizes, expected, size, packed=directory.number(_COMPRESSION, 1) != 1)


def _require_distinct_bytes(
    positions: Sequence[int], sizes: Sequence[int], expected: int, size: int, *, packed: bool
) -> str:
    """Check that strips or tiles do not share bytes; return why the file is truncated, or ""."""
    if len(positions) < expected or (packed and len(sizes) < expected):
        return f"expected {expected:,} strips or tiles, got {min(len(positions), len(sizes)):,}"
    if any(position + length > size for position, length in zip(positions, sizes or [0] * expected, strict=False)):
        return "strips or tiles lie outside the file"
    if sum(sizes) > size:
        raise cost_error("strips or tiles share bytes")
    return ""
