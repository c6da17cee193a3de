"""Streaming XML of a workbook's parts: no document types, so no entities, and no more bytes than are allowed."""

from collections.abc import Iterator
from typing import IO
from xml.parsers import expat

from clearcast.data.tables import limits
from clearcast.errors import SheetError

_CHUNK = 2**16

Element = tuple[str, dict[str, str]]
"""The name without its prefix, and the attributes."""


def new_parser() -> expat.XMLParserType:
    """A parser that refuses document types: a workbook has none, and entities can grow without bound."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def feed(parser: expat.XMLParserType, stream: IO[bytes], most: int, what: str) -> Iterator[None]:
    """Parse a stream chunk by chunk, and pause after each, so that nothing piles up.

    Raises:
        SheetError: it has more than ``most`` bytes.
        ExpatError: it is not XML.
    """
    read = 0
    while chunk := stream.read(_CHUNK):
        read += len(chunk)
        if read > most:
            limits.refuse(f"{what} unpacks to", most // 2**20, "MB")
        parser.Parse(chunk, False)
        yield
    parser.Parse(b"", True)
    yield


def elements(stream: IO[bytes], what: str) -> list[Element]:
    """All elements of a small part, in their order."""
    found: list[Element] = []
    parser = new_parser()
    parser.StartElementHandler = lambda tag, attributes: found.append((local(tag), attributes))
    for _ in feed(parser, stream, limits.MOST_SMALL_PART_BYTES, what):
        pass
    return found


def local(tag: str) -> str:
    """A name without its prefix."""
    return tag.rpartition(":")[2]


def attribute(attributes: dict[str, str], name: str) -> str:
    """An attribute, whatever its prefix; empty if there is none."""
    return attributes.get(name) or next((value for key, value in attributes.items() if local(key) == name), "")


def _refuse_doctype(*_: object) -> None:
    raise SheetError("the workbook's XML has a document type, as no spreadsheet writes; save the sheet again")
