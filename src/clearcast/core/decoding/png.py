"""Structure parser for PNG files."""

import struct
import zlib
from collections.abc import Iterator

from clearcast.core.decoding.image_info import ImageStructure, cost_error, damage_error
from clearcast.core.decoding.tiff import require_bounded_exif

_MAX_CHUNKS = 1000  # without pixel chunks
_MAX_FRAMES = 10_000
_SMALL_CHUNK = 1024  # bytes; encoders write pixel chunks of 8 kB or more
_MAX_SMALL_CHUNKS = 20_000  # pixel chunks, if they are small on average
_MAX_TEXT = 16 * 2**20  # bytes of all texts and the colour profile, unpacked
_PIXELS = frozenset({b"IDAT", b"fdAT"})
_PACKED = frozenset({b"iCCP", b"zTXt", b"iTXt"})
_PALETTE = 3  # colour type
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by colour type
_SLACK = 64 * 1024  # bytes that an inefficient encoder may waste
_BEST_RATIO = 1032  # of deflate; decoders unpack everything, also data after the last pixel
_MAX_UNPACKED = 2 * 2**30  # bytes; takes some seconds


class _Chunks:
    """Counters for the chunks of a file."""

    def __init__(self) -> None:
        self.others = 0
        self.pixels = 0
        self.pixel_bytes = 0
        self.unpacked = 0
        self.animated = False
        self.palette = False
        self.controls = 0  # frame control chunks
        self.hidden = False  # whether the default image is not a frame of the animation
        self.end = False

    def count(self, kind: bytes, content: memoryview) -> None:
        """Count one chunk."""
        if kind in _PIXELS:
            self._count_pixels(kind, len(content))
            return
        self.others += kind != b"fcTL"
        self.controls += kind == b"fcTL"
        if self.others > _MAX_CHUNKS or self.controls > _MAX_FRAMES:
            raise cost_error(f"more than {_MAX_CHUNKS:,} chunks without pixels, or {_MAX_FRAMES:,} frames")
        self.animated |= kind == b"acTL" and not self.pixels
        self.palette |= kind == b"PLTE" and not self.pixels
        self.end = kind == b"IEND"
        if kind in _PACKED:
            self.unpacked += _unpacked_size(kind, bytes(content), _MAX_TEXT + 1 - self.unpacked)
            if self.unpacked > _MAX_TEXT:
                raise cost_error(f"the texts and the colour profile unpack to more than {_MAX_TEXT:,} bytes")
        if kind == b"eXIf":
            require_bounded_exif(bytes(content))

    def _count_pixels(self, kind: bytes, size: int) -> None:
        self.hidden |= kind == b"IDAT" and not self.pixels and not self.controls
        self.pixels += 1
        self.pixel_bytes += size
        if self.pixels > _MAX_SMALL_CHUNKS and self.pixel_bytes < self.pixels * _SMALL_CHUNK:
            raise cost_error(f"more than {_MAX_SMALL_CHUNKS:,} pixel chunks of a few bytes")

    @property
    def frames(self) -> int:
        """Number of images in the file."""
        return self.controls + self.hidden if self.animated else 1


def read_png_structure(data: bytes) -> ImageStructure:
    """Parse the chunks of a PNG file."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise damage_error("the header is truncated")
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    chunks = _Chunks()
    for kind, content in _walk(data):
        chunks.count(kind, content)
    if colour == _PALETTE and chunks.pixels and not chunks.palette:
        raise damage_error("the palette is missing")
    expected = height * (1 + width * bits * _SAMPLES.get(colour, 4) // 8)
    if chunks.pixel_bytes > 2 * expected + _SLACK and chunks.frames == 1:
        raise cost_error(f"{chunks.pixel_bytes:,} compressed bytes for {expected:,} bytes of pixels")
    return ImageStructure(
        format="PNG",
        width=width,
        height=height,
        frames=chunks.frames,
        truncated="" if chunks.end else "the end marker is missing",
        bounded=chunks.pixel_bytes * _BEST_RATIO <= max(_MAX_UNPACKED, 4 * expected),
    )


def _walk(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Iterate over the type and content of each chunk, up to the end marker or a truncated chunk."""
    view, position, kind = memoryview(data), 8, b""
    while kind != b"IEND" and position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if position + 12 + size > len(data):
            return
        yield kind, view[position + 8 : position + 8 + size]
        position += 12 + size


def _unpacked_size(kind: bytes, content: bytes, most: int) -> int:
    """Return the unpacked size of a chunk's text or profile in bytes, at most ``most``; 0 if it is not compressed."""
    position = content.find(b"\0") + 2  # after the keyword and the compression method
    if kind == b"iTXt":
        if content[position - 1 : position] != b"\1":
            return 0
        position = (
            content.find(b"\0", content.find(b"\0", position + 1) + 1) + 1
        )  # after language and translated keyword
    try:
        return len(zlib.decompressobj().decompress(content[position:], most))
    except zlib.error:
        return 0
