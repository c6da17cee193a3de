"""Streaming XML parser for the parts of a workbook, with a size limit and without document types and entities."""

from collections.abc import Iterator
from typing import IO
from xml.parsers import expat

from clearcast.data.tables import limits
from clearcast.errors import SheetError

_CHUNK = 2**16

Element = tuple[str, dict[str, str]]
"""Tag without its namespace prefix, and attributes."""


def new_parser() -> expat.XMLParserType:
    """Create a parser that refuses document types, against entity expansion attacks; workbooks have none."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def feed(parser: expat.XMLParserType, stream: IO[bytes], most: int, what: str) -> Iterator[None]:
    """Parse a stream in chunks; yield after each, so that the caller can take the results.

    Raises:
        SheetError: the stream has more than ``most`` bytes.
        ExpatError: the stream is not XML.
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
    """Read all elements of a small part, in document order."""
    found: list[Element] = []
    parser = new_parser()
    parser.StartElementHandler = lambda tag, attributes: found.append((local(tag), attributes))
    for _ in feed(parser, stream, limits.MOST_SMALL_PART_BYTES, what):
        pass
    return found


def local(tag: str) -> str:
    """Return a tag without its namespace prefix."""
    return tag.rpartition(":")[2]


def attribute(attributes: dict[str, str], name: str) -> str:
    """Return an attribute, with or without a namespace prefix; "" if there is none."""
    return attributes.get(name) or next((value for key, value in attributes.items() if local(key) == name), "")


def _refuse_doctype(*_: object) -> None:
    raise SheetError("the workbook's XML has a document type, which is not allowed; save the sheet again")
