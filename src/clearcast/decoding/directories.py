"""Parser for TIFF tag directories (IFDs), which EXIF and the index of multi-picture JPEGs use too."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clearcast.decoding.records import refuse_cost, refuse_damage

_MAX_TAGS = 4096  # per directory
_MAX_VALUES = 200_000  # per tag that is read here, such as the offsets of strips or tiles
_MAX_NUMBER_BYTES = 16 * 2**20  # of numeric tags; each number becomes a Python object
_SLACK = 64 * 1024  # bytes; tags may share small values, such as two equal resolutions

_ENTRY = np.dtype([("number", "u2"), ("type", "u2"), ("count", "u4"), ("value", "u4")])
_BIG_ENTRY = np.dtype([("number", "u2"), ("type", "u2"), ("count", "u8"), ("value", "u8")])
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_BYTES = frozenset({1, 2, 6, 7})  # tag types of bytes and text
_INTEGER_DTYPES = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}  # by tag type


@dataclass(frozen=True, slots=True)
class Tag:
    """TIFF tag: its number, the type and count of its values, and their offset in the file."""

    number: int
    type: int
    count: int
    offset: int

    @property
    def size(self) -> int:
        """Size of all values in bytes; 0 for unknown types, which readers skip."""
        return self.count * _SIZES.get(self.type, 0)


class DirectoryReader:
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
            raise refuse_damage("no TIFF header")
        self._big = version == 43
        self._claimed_bytes = 0
        self._number_bytes = 0

    @property
    def start(self) -> int:
        """Offset of the first directory."""
        return self._unpack("Q", 8) if self._big else self._unpack("I", 4)

    def read(self, offset: int) -> tuple[list[Tag], int]:
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
            raise refuse_damage("a tag directory exceeds the file")
        if count > _MAX_TAGS:
            raise refuse_cost(f"{count:,} tags in one directory; the limit is {_MAX_TAGS:,}")
        self._claim(count * size)
        tags = list(self._tags(offset + head, count))
        return tags, self._unpack(pointer, end) if end + struct.calcsize(pointer) <= len(self._data) else 0

    def values(self, tag: Tag | None) -> list[int]:
        """Return the integers of a tag; an empty list if the tag is missing or of another type."""
        if tag is None or tag.type not in _INTEGER_DTYPES:
            return []
        if tag.count > _MAX_VALUES:
            raise refuse_cost(f"{tag.count:,} numbers in one tag; the limit is {_MAX_VALUES:,}")
        if tag.offset + tag.size > len(self._data):
            raise refuse_damage("the values of a tag lie outside the file")
        dtype = np.dtype(_INTEGER_DTYPES[tag.type]).newbyteorder(self._order)
        return [int(value) for value in np.frombuffer(self._data, dtype, tag.count, tag.offset)]

    def _tags(self, begin: int, count: int) -> Iterator[Tag]:
        entry, pointer, inline = (_BIG_ENTRY, "Q", 8) if self._big else (_ENTRY, "I", 4)  # bytes within the tag itself
        entries = np.frombuffer(self._data, entry.newbyteorder(self._order), count, begin)
        for position, (number, kind, values, _) in enumerate(entries.tolist(), 1):
            offset = begin + position * entry.itemsize - inline
            tag = Tag(number, kind, values, offset)
            if tag.size > inline:
                tag = Tag(number, kind, values, self._unpack(pointer, offset))
                self._claim(max(0, min(tag.size, len(self._data) - tag.offset)), numbers=kind not in _BYTES)
            yield tag

    def _claim(self, size: int, *, numbers: bool = False) -> None:
        self._claimed_bytes += size
        self._number_bytes += size if numbers else 0
        if self._claimed_bytes > len(self._data) + _SLACK:
            raise refuse_cost(f"the tags overlap: they claim more than the {len(self._data):,} bytes of the file")
        if self._number_bytes > _MAX_NUMBER_BYTES:
            raise refuse_cost(f"the tags hold more than {_MAX_NUMBER_BYTES:,} bytes of numbers")

    def _unpack(self, kind: str, offset: int) -> int:
        try:
            (value,) = struct.unpack_from(self._order + kind, self._data, offset)
        except struct.error:
            raise refuse_damage("a tag directory exceeds the file") from None
        return int(value)
