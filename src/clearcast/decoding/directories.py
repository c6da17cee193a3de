"""Directories of tags, as TIFF files, EXIF and the index of a multi-picture JPEG hold them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clearcast.decoding.records import refuse_cost, refuse_damage

_MOST_TAGS = 4096  # of one directory
_MOST_VALUES = 200_000  # of a tag that is read here, such as the places of strips or tiles
_MOST_NUMBERS = 16 * 2**20  # bytes of tags that hold numbers; each becomes an object in Python
_SLACK = 64 * 1024  # bytes; small values that are shared, such as two equal resolutions, harm nobody

_ENTRY = np.dtype([("number", "u2"), ("type", "u2"), ("count", "u4"), ("value", "u4")])
_BIG_ENTRY = np.dtype([("number", "u2"), ("type", "u2"), ("count", "u8"), ("value", "u8")])
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_BYTES = frozenset({1, 2, 6, 7})  # types of tags that hold bytes or text
_WHOLE_NUMBERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}  # as NumPy calls them


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag: its number, the type and count of its values, and where in the file they are."""

    number: int
    type: int
    count: int
    place: int

    @property
    def size(self) -> int:
        """Bytes of all values; 0 for unknown types, which readers skip."""
        return self.count * _SIZES.get(self.type, 0)


class DirectoryReader:
    """Reads directories, and counts the bytes that all tags claim to hold.

    Where these are more than the file has, they share bytes, and a reader that copies them would take many times the
    file's size.

    Args:
        data: a file, or a part of one, that begins with a TIFF header.

    Raises:
        DecodingError: it does not begin so.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order: Literal["<", ">"] = ">" if data.startswith(b"MM") else "<"
        version = self._unpack("H", 2)
        if data[:2] not in {b"II", b"MM"} or version not in {42, 43}:
            raise refuse_damage("no TIFF header")
        self._big = version == 43
        self._claimed = 0
        self._numbers = 0

    @property
    def start(self) -> int:
        """Where the first directory begins."""
        return self._unpack("Q", 8) if self._big else self._unpack("I", 4)

    def read(self, place: int) -> tuple[list[Tag], int]:
        """Read the directory at a place.

        Returns:
            its tags, and where the next directory begins; 0 if it is the last.

        Raises:
            DecodingError: it leads out of the file, or all tags so far claim more bytes than the file has.
        """
        head, size, pointer = (8, _BIG_ENTRY.itemsize, "Q") if self._big else (2, _ENTRY.itemsize, "I")
        count = self._unpack("Q" if self._big else "H", place)
        end = place + head + count * size
        if end > len(self._data):
            raise refuse_damage("a list of tags leads out of the file")
        if count > _MOST_TAGS:
            raise refuse_cost(f"{count:,} tags in one directory; at most {_MOST_TAGS:,} are read")
        self._claim(count * size)
        tags = list(self._tags(place + head, count))
        return tags, self._unpack(pointer, end) if end + struct.calcsize(pointer) <= len(self._data) else 0

    def values(self, tag: Tag | None) -> list[int]:
        """The whole numbers of a tag; none if it is missing or holds something else."""
        if tag is None or tag.type not in _WHOLE_NUMBERS:
            return []
        if tag.count > _MOST_VALUES:
            raise refuse_cost(f"a tag of {tag.count:,} numbers; at most {_MOST_VALUES:,} are read")
        if tag.place + tag.size > len(self._data):
            raise refuse_damage("the values of a tag lie outside the file")
        kind = np.dtype(_WHOLE_NUMBERS[tag.type]).newbyteorder(self._order)
        return [int(value) for value in np.frombuffer(self._data, kind, tag.count, tag.place)]

    def _tags(self, begin: int, count: int) -> Iterator[Tag]:
        entry, pointer, within = (_BIG_ENTRY, "Q", 8) if self._big else (_ENTRY, "I", 4)  # bytes within the tag itself
        entries = np.frombuffer(self._data, entry.newbyteorder(self._order), count, begin)
        for position, (number, kind, values, _) in enumerate(entries.tolist(), 1):
            place = begin + position * entry.itemsize - within
            tag = Tag(number, kind, values, place)
            if tag.size > within:
                tag = Tag(number, kind, values, self._unpack(pointer, place))
                self._claim(max(0, min(tag.size, len(self._data) - tag.place)), numbers=kind not in _BYTES)
            yield tag

    def _claim(self, size: int, *, numbers: bool = False) -> None:
        self._claimed += size
        self._numbers += size if numbers else 0
        if self._claimed > len(self._data) + _SLACK:
            raise refuse_cost(f"its tags share bytes, and together claim more than all {len(self._data):,}")
        if self._numbers > _MOST_NUMBERS:
            raise refuse_cost(f"its tags hold more than {_MOST_NUMBERS:,} bytes of numbers")

    def _unpack(self, kind: str, place: int) -> int:
        try:
            (value,) = struct.unpack_from(self._order + kind, self._data, place)
        except struct.error:
            raise refuse_damage("a list of tags leads out of the file") from None
        return int(value)
