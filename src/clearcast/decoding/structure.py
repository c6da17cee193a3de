"""Structure parser for image files of all formats, by their signature."""

import re

from clearcast.decoding import bmp, jpeg, png, tiff, webp
from clearcast.decoding.records import Structure

_PARSERS = (
    (re.compile(rb"\xff\xd8\xff"), jpeg.read_structure),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), png.read_structure),
    (re.compile(rb"II[*+]\x00|MM\x00[*+]"), tiff.read_structure),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), webp.read_structure),
    (re.compile(rb"BM"), bmp.read_structure),
)


def read_structure(data: bytes) -> Structure | None:
    """Read a file's headers and lists; None if its first bytes belong to no known format.

    Time and memory are bounded by a small multiple of reading the file's bytes once.

    Raises:
        DecodingError: the structure is damaged, or decoding would cost far more than the image's size explains.
    """
    reader = next((reader for mark, reader in _PARSERS if mark.match(data)), None)
    return reader(data) if reader else None
