"""The structure of PNG files: their chunks."""

import struct
import zlib
from collections.abc import Iterator

from clearcast.decoding.exif import require_bounded_exif
from clearcast.decoding.records import Structure, refuse_cost, refuse_damage

_MOST_CHUNKS = 1000  # besides those that hold pixels
_MOST_FRAMES = 10_000
_SMALL_CHUNK = 1024  # bytes; writers use 8 kB or more a chunk of pixels
_MOST_SMALL = 20_000  # chunks of pixels, if they are small on average
_MOST_TEXT = 16 * 2**20  # bytes of all texts and the colour profile, unpacked
_PIXELS = frozenset({b"IDAT", b"fdAT"})
_PACKED = frozenset({b"iCCP", b"zTXt", b"iTXt"})
_PALETTE = 3  # colour type
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
_SPARE = 64 * 1024  # bytes that a clumsy writer may waste
_BEST_RATIO = 1032  # of deflate: decoders unpack all there is, also what lies behind the last pixel
_MOST_UNPACKED = 2 * 2**30  # bytes, which take some seconds


class _Chunks:
    """Counts of what was met on the way through a file."""

    def __init__(self) -> None:
        self.others = 0
        self.pixels = 0
        self.pixel_bytes = 0
        self.unpacked = 0
        self.animated = False
        self.palette = False
        self.controls = 0  # of frames
        self.hidden = False  # a picture that is no frame of the animation
        self.end = False

    def count(self, kind: bytes, content: memoryview) -> None:
        """Count one chunk."""
        if kind in _PIXELS:
            self._count_pixels(kind, len(content))
            return
        self.others += kind != b"fcTL"
        self.controls += kind == b"fcTL"
        if self.others > _MOST_CHUNKS or self.controls > _MOST_FRAMES:
            raise refuse_cost(f"more than {_MOST_CHUNKS:,} chunks besides its pixels, or {_MOST_FRAMES:,} frames")
        self.animated |= kind == b"acTL" and not self.pixels
        self.palette |= kind == b"PLTE" and not self.pixels
        self.end = kind == b"IEND"
        if kind in _PACKED:
            self.unpacked += _unpacked_size(kind, bytes(content), _MOST_TEXT + 1 - self.unpacked)
            if self.unpacked > _MOST_TEXT:
                raise refuse_cost(f"its texts and colour profile unpack to more than {_MOST_TEXT:,} bytes")
        if kind == b"eXIf":
            require_bounded_exif(bytes(content))

    def _count_pixels(self, kind: bytes, size: int) -> None:
        self.hidden |= kind == b"IDAT" and not self.pixels and not self.controls
        self.pixels += 1
        self.pixel_bytes += size
        if self.pixels > _MOST_SMALL and self.pixel_bytes < self.pixels * _SMALL_CHUNK:
            raise refuse_cost(f"more than {_MOST_SMALL:,} chunks of a few bytes")

    @property
    def frames(self) -> int:
        """How many pictures the file holds."""
        return self.controls + self.hidden if self.animated else 1


def read_structure(data: bytes) -> Structure:
    """Walk through the chunks of a PNG."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise refuse_damage("its header is cut off")
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    chunks = _Chunks()
    for kind, content in _walk(data):
        chunks.count(kind, content)
    if colour == _PALETTE and chunks.pixels and not chunks.palette:
        raise refuse_damage("it names colours of a palette, and has none")
    needed = height * (1 + width * bits * _SAMPLES.get(colour, 4) // 8)
    if chunks.pixel_bytes > 2 * needed + _SPARE and chunks.frames == 1:
        raise refuse_cost(f"{chunks.pixel_bytes:,} packed bytes for pixels that have {needed:,} unpacked")
    return Structure(
        format="PNG",
        width=width,
        height=height,
        frames=chunks.frames,
        truncated="" if chunks.end else "it has no end mark",
        bounded=chunks.pixel_bytes * _BEST_RATIO <= max(_MOST_UNPACKED, 4 * needed),
    )


def _walk(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Each chunk's kind and content, up to the end mark or to one that is cut off."""
    view, place, kind = memoryview(data), 8, b""
    while kind != b"IEND" and place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if place + 12 + size > len(data):
            return
        yield kind, view[place + 8 : place + 8 + size]
        place += 12 + size


def _unpacked_size(kind: bytes, content: bytes, most: int) -> int:
    """Bytes that the text or profile within a chunk unpacks to, but not more than ``most``; 0 if it is not packed."""
    place = content.find(b"\0") + 2  # behind the keyword, and the method of packing
    if kind == b"iTXt":
        if content[place - 1 : place] != b"\1":
            return 0
        place = content.find(b"\0", content.find(b"\0", place + 1) + 1) + 1  # behind language and translated keyword
    try:
        return len(zlib.decompressobj().decompress(content[place:], most))
    except zlib.error:
        return 0
