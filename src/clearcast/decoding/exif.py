"""Cost checks for EXIF data."""

from collections.abc import Sequence

from clearcast.decoding.directories import DirectoryReader, Tag
from clearcast.decoding.records import suppress_damage

_POINTERS = frozenset({34665, 34853, 40965})  # tags that point to the EXIF, GPS and interoperability directories


def require_bounded_tags(reader: DirectoryReader, tags: Sequence[Tag]) -> None:
    """Check that the directories which tags point to can be read in bounded time and memory.

    Damaged EXIF is accepted, since the pixels can still be valid.

    Raises:
        DecodingError: reading the directories would cost far more than the data's size justifies.
    """
    pending = _directory_offsets(reader, tags)
    visited = set(pending)
    with suppress_damage():
        while pending:
            new = _directory_offsets(reader, reader.read(pending.pop())[0]) - visited
            pending |= new
            visited |= new


def require_bounded_exif(data: bytes) -> None:
    """Check the same for an EXIF block, which begins with a TIFF header.

    Raises:
        DecodingError: reading the block would cost far more than its size justifies.
    """
    with suppress_damage():
        reader = DirectoryReader(data)
        tags, _ = reader.read(reader.start)
        require_bounded_tags(reader, tags)


def _directory_offsets(reader: DirectoryReader, tags: Sequence[Tag]) -> set[int]:
    return {value for tag in tags if tag.number in _POINTERS for value in reader.values(tag)[:1]}
