"""Structure parser for TIFF files: pages, strips and tiles."""

from collections.abc import Sequence
from dataclasses import dataclass

from clearcast.decoding.directories import DirectoryReader, Tag
from clearcast.decoding.exif import require_bounded_tags
from clearcast.decoding.records import DecodingError, Structure, refuse_cost, refuse_damage
from clearcast.errors import PictureFault

_MAX_DIRECTORIES = 10_000
_MAX_SAMPLES = 6
_SMALL_TILE = 4 * 2**20  # pixels; a larger tile must not be much larger than the image
_BOUNDED = frozenset({1, 5, 8, 32773, 32946})  # compression: none, LZW, deflate, PackBits, old deflate

_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _COMPRESSION = 254, 255, 256, 257, 259
_STRIPS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PLANES = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 322, 323, 324, 325
_SUB_DIRECTORIES = 330
_REDUCED, _MASK = 1, 4  # bits of _KIND
_OLD_REDUCED = 2


@dataclass(frozen=True)
class _Directory:
    """Tags of a directory, read as numbers."""

    reader: DirectoryReader
    tags: dict[int, Tag]

    def numbers(self, number: int) -> list[int]:
        return self.reader.values(self.tags.get(number))

    def number(self, number: int, default: int) -> int:
        return next(iter(self.numbers(number)), default)

    @property
    def is_auxiliary(self) -> bool:
        """Whether the page is a smaller copy or a mask of another page."""
        return bool(self.number(_KIND, 0) & (_REDUCED | _MASK)) or self.number(_OLD_KIND, 0) == _OLD_REDUCED


def read_structure(data: bytes) -> Structure:
    """Parse the directories of a TIFF file, and the layout of the first page's pixels."""
    reader = DirectoryReader(data)
    first, following = _read(reader, reader.start)
    width, height = first.number(_WIDTH, 0), first.number(_HEIGHT, 0)
    if not width or not height:
        raise refuse_damage("the width or height is missing")
    samples = first.number(_SAMPLES, 1)
    if samples > _MAX_SAMPLES:
        raise DecodingError(
            PictureFault.UNSUPPORTED, f"expected 1 (grey) or 3 (colour) samples per pixel, got {samples:,}"
        )
    pages = int(not first.is_auxiliary) + _count_pages(reader, reader.start, following)
    if first.is_auxiliary and (following or _SUB_DIRECTORIES in first.tags):
        raise refuse_damage("the first page is a smaller copy or a mask of another page")
    require_bounded_tags(reader, list(first.tags.values()))
    return Structure(
        format="TIFF",
        width=width,
        height=height,
        frames=max(pages, 1),
        unit="page",
        truncated=_require_bounded_pieces(first, width, height, len(data)),
        bounded=first.number(_COMPRESSION, 1) in _BOUNDED,
    )


def _read(reader: DirectoryReader, place: int) -> tuple[_Directory, int]:
    tags, following = reader.read(place)
    named = {tag.number: tag for tag in tags}
    if len(named) < len(tags):
        raise refuse_damage("a tag occurs twice")
    return _Directory(reader, named), following


def _count_pages(reader: DirectoryReader, first: int, place: int) -> int:
    """Count the pages after the first one."""
    visited, pages = {first}, 0
    while place:
        if place in visited:
            raise refuse_damage("the list of pages is circular")
        if len(visited) >= _MAX_DIRECTORIES:
            raise refuse_cost(f"more than {_MAX_DIRECTORIES:,} pages")
        visited.add(place)
        directory, place = _read(reader, place)
        pages += not directory.is_auxiliary
    return pages


def _require_bounded_pieces(directory: _Directory, width: int, height: int, size: int) -> str:
    """Check the number and size of strips or tiles; return why the file is truncated, or ""."""
    if directory.number(_TILE_WIDTH, 0):
        across, down = directory.number(_TILE_WIDTH, 0), directory.number(_TILE_HEIGHT, 0)
        places, sizes = directory.numbers(_TILES), directory.numbers(_TILE_SIZES)
    else:
        across, down = width, min(directory.number(_ROWS_PER_STRIP, height), height)
        places, sizes = directory.numbers(_STRIPS), directory.numbers(_STRIP_SIZES)
    if not across or not down:
        raise refuse_damage("the tiles or strips have no size")
    if across * down > max(_SMALL_TILE, 4 * width * height):
        raise refuse_cost(f"tiles of {across:,} x {down:,} pixels for an image of {width:,} x {height:,}")
    planes = directory.number(_SAMPLES, 1) if directory.number(_PLANES, 1) == 2 else 1
    expected = -(-width // across) * -(-height // down) * planes
    if len(places) > expected or len(sizes) > expected:
        raise refuse_cost(f"expected {expected:,} strips or tiles, got {max(len(places), len(sizes)):,}")
    return _require_distinct_bytes(places, sizes, expected, size, packed=directory.number(_COMPRESSION, 1) != 1)


def _require_distinct_bytes(
    places: Sequence[int], sizes: Sequence[int], expected: int, size: int, *, packed: bool
) -> str:
    """Check that strips or tiles do not share bytes; return why the file is truncated, or ""."""
    if len(places) < expected or (packed and len(sizes) < expected):
        return f"expected {expected:,} strips or tiles, got {min(len(places), len(sizes)):,}"
    if any(place + length > size for place, length in zip(places, sizes or [0] * expected, strict=False)):
        return "strips or tiles lie outside the file"
    if sum(sizes) > size:
        raise refuse_cost("strips or tiles share bytes")
    return ""
