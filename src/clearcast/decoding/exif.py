"""What EXIF data would cost whoever reads them."""

from collections.abc import Sequence

from clearcast.decoding.directories import DirectoryReader, Tag
from clearcast.decoding.records import suppress_damage

_POINTERS = frozenset({34665, 34853, 40965})  # tags that lead to directories of EXIF, GPS and interoperability


def require_bounded_tags(reader: DirectoryReader, tags: Sequence[Tag]) -> None:
    """Make sure that the directories which some tags lead to can be read in bounded time and memory.

    Damage is left to whoever reads them, since a picture with broken EXIF is a picture nevertheless.

    Raises:
        DecodingError: they would take far more than the data's own size.
    """
    waiting = _directories(reader, tags)
    seen = set(waiting)
    with suppress_damage():
        while waiting:
            led = _directories(reader, reader.read(waiting.pop())[0]) - seen
            waiting |= led
            seen |= led


def require_bounded_exif(data: bytes) -> None:
    """Make sure of the same for a block of EXIF, which begins with a TIFF header.

    Raises:
        DecodingError: reading it would take far more than its own size.
    """
    with suppress_damage():
        reader = DirectoryReader(data)
        tags, _ = reader.read(reader.start)
        require_bounded_tags(reader, tags)


def _directories(reader: DirectoryReader, tags: Sequence[Tag]) -> set[int]:
    return {value for tag in tags if tag.number in _POINTERS for value in reader.values(tag)[:1]}
