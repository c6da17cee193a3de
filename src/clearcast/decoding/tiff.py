"""The structure of TIFF files: pages, strips and tiles."""

from collections.abc import Sequence
from dataclasses import dataclass

from clearcast.decoding.directories import DirectoryReader, Tag
from clearcast.decoding.exif import require_bounded_tags
from clearcast.decoding.records import DecodingError, Structure, refuse_cost, refuse_damage
from clearcast.errors import PictureFault

_MOST_DIRECTORIES = 10_000
_MOST_SAMPLES = 6
_SMALL_TILE = 4 * 2**20  # pixels; larger tiles must not be much larger than the picture
_BOUNDED = frozenset({1, 5, 8, 32773, 32946})  # compression: none, LZW, deflate, PackBits, deflate of old

_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _COMPRESSION = 254, 255, 256, 257, 259
_STRIPS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PLANES = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 322, 323, 324, 325
_SUB_DIRECTORIES = 330
_REDUCED, _MASK = 1, 4  # bits of the kind
_OLD_REDUCED = 2


@dataclass(frozen=True)
class _Directory:
    """A directory's tags, read as numbers."""

    reader: DirectoryReader
    tags: dict[int, Tag]

    def numbers(self, number: int) -> list[int]:
        return self.reader.values(self.tags.get(number))

    def number(self, number: int, default: int) -> int:
        return next(iter(self.numbers(number)), default)

    @property
    def is_auxiliary(self) -> bool:
        """Whether it is a smaller copy of another page, or a mask of one."""
        return bool(self.number(_KIND, 0) & (_REDUCED | _MASK)) or self.number(_OLD_KIND, 0) == _OLD_REDUCED


def read_structure(data: bytes) -> Structure:
    """Read the directories of a TIFF, and how the first one's pixels are stored."""
    reader = DirectoryReader(data)
    first, following = _read(reader, reader.start)
    width, height = first.number(_WIDTH, 0), first.number(_HEIGHT, 0)
    if not width or not height:
        raise refuse_damage("it names no width or no height")
    samples = first.number(_SAMPLES, 1)
    if samples > _MOST_SAMPLES:
        raise DecodingError(PictureFault.UNSUPPORTED, f"{samples:,} samples a pixel; expected 1 (grey) or 3 (colour)")
    pages = int(not first.is_auxiliary) + _count_pages(reader, reader.start, following)
    if first.is_auxiliary and (following or _SUB_DIRECTORIES in first.tags):
        raise refuse_damage("its first page is a smaller copy or a mask of another page")
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
        raise refuse_damage("a tag is there twice")
    return _Directory(reader, named), following


def _count_pages(reader: DirectoryReader, first: int, place: int) -> int:
    """Pages behind the first one."""
    seen, pages = {first}, 0
    while place:
        if place in seen:
            raise refuse_damage("its list of pages goes round in a circle")
        if len(seen) >= _MOST_DIRECTORIES:
            raise refuse_cost(f"more than {_MOST_DIRECTORIES:,} pages")
        seen.add(place)
        directory, place = _read(reader, place)
        pages += not directory.is_auxiliary
    return pages


def _require_bounded_pieces(directory: _Directory, width: int, height: int, size: int) -> str:
    """Make sure that strips or tiles are as many, as large and as long as the picture needs; why it is cut, or ""."""
    if directory.number(_TILE_WIDTH, 0):
        across, down = directory.number(_TILE_WIDTH, 0), directory.number(_TILE_HEIGHT, 0)
        places, sizes = directory.numbers(_TILES), directory.numbers(_TILE_SIZES)
    else:
        across, down = width, min(directory.number(_ROWS_PER_STRIP, height), height)
        places, sizes = directory.numbers(_STRIPS), directory.numbers(_STRIP_SIZES)
    if not across or not down:
        raise refuse_damage("its tiles or strips have no size")
    if across * down > max(_SMALL_TILE, 4 * width * height):
        raise refuse_cost(f"tiles of {across:,} x {down:,} pixels for a picture of {width:,} x {height:,}")
    planes = directory.number(_SAMPLES, 1) if directory.number(_PLANES, 1) == 2 else 1
    needed = -(-width // across) * -(-height // down) * planes
    if len(places) > needed or len(sizes) > needed:
        raise refuse_cost(f"{max(len(places), len(sizes)):,} strips or tiles for a picture that needs {needed:,}")
    return _require_own_bytes(places, sizes, needed, size, packed=directory.number(_COMPRESSION, 1) != 1)


def _require_own_bytes(places: Sequence[int], sizes: Sequence[int], needed: int, size: int, *, packed: bool) -> str:
    if len(places) < needed or (packed and len(sizes) < needed):
        return f"it lists {min(len(places), len(sizes)):,} of {needed:,} strips or tiles"
    if any(place + length > size for place, length in zip(places, sizes or [0] * needed, strict=False)):
        return "strips or tiles lie outside the file"
    if sum(sizes) > size:
        raise refuse_cost("its strips or tiles share bytes")
    return ""
