"""Pictures that somebody lists: a sheet's, those of paths on stdin, those of a Python sequence."""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath

import numpy as np

from clearcast.data.sheet import Columns
from clearcast.data.table import cell_text, plain, read_table
from clearcast.errors import SheetError
from clearcast.imaging import Picture
from clearcast.runtime.sources.item import Item, SourceError, bad_item, file_item

Listed = str | Path | Picture | Item


def sheet_items(sheet: Path, root: Path | None, column: str = Columns.noisy) -> list[Item]:
    """The pictures that a column of a sheet names, each once, in the sheet's order; other columns need not be there.

    A path that leaves the root (by default the sheet's folder) is an item that cannot be read, and is never opened.

    Raises:
        SheetError: the sheet cannot be read, or has no such column or several.
        MissingDependencyError: a package is needed for this format.
    """
    table = read_table(sheet, [column])
    places = [place for place, name in enumerate(table.header) if plain(name) == plain(column)]
    if len(places) != 1:
        there = ", ".join(map(repr, filter(None, table.header))) or "no columns"
        raise SheetError(
            f"{sheet}: {len(places)} columns are called {column!r}; needed is one that names the pictures; "
            f"the sheet has {there}"
        )
    found = (_row_item(sheet, root or sheet.parent, len(table.header), places[0], *line) for line in table.lines)
    return list({item.name: item for item in found if item is not None}.values())


def stdin_items() -> Iterator[Item]:
    """The pictures whose paths come on stdin, one a line, each once; blank lines are skipped.

    It has a buffer of its own: Python cannot end while a thread waits for a line in the one of ``sys.stdin``.
    """
    return _once(Path(line) for line in _stdin_lines() if line.strip())


def _stdin_lines() -> Iterator[str]:
    with open(sys.stdin.fileno(), "rb", closefd=False) as file:
        yield from (os.fsdecode(line).rstrip("\r\n") for line in file)


def listed_items(listed: Iterable[Listed]) -> Iterator[Item]:
    """The pictures of Python paths, arrays or items, each path once; an array's name is ``#`` and its place from 0.

    Raises:
        SourceError: something else is listed, or an array that is no picture.
    """
    return _once(listed)


def require_picture(array: object, name: str) -> Picture:
    """Make sure that an array is a picture: uint8, (height, width, 3) in RGB order or (height, width).

    Raises:
        SourceError: it is not.
    """
    if not isinstance(array, np.ndarray):
        raise SourceError(f"{name} is a {type(array).__name__}; needed is a path or a picture as an array")
    known = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not known or not array.size:
        raise SourceError(
            f"{name} is an array of {array.dtype} and shape {array.shape}; needed is uint8 of shape (height, width, 3) "
            "in RGB order, or (height, width)"
        )
    return array


def _once(listed: Iterable[Listed]) -> Iterator[Item]:
    """Remembers 16 bytes of each path: a name given twice would be two rows, or after an interruption one."""
    seen: set[bytes] = set()
    for place, each in enumerate(listed):
        if not isinstance(each, str | Path | Item):
            picture = require_picture(each, f"picture {place}")
            yield array_item(picture, f"#{place:06d}")
            continue
        item = each if isinstance(each, Item) else file_item(Path(each), Path(each).as_posix())
        digest = hashlib.blake2b(os.fsencode(item.name), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield item


def array_item(picture: Picture, name: str) -> Item:
    """The item of a picture that is in memory."""
    return Item(name=name, key=name, read=lambda: picture)


def _row_item(sheet: Path, root: Path, width: int, place: int, number: int, cells: tuple[object, ...]) -> Item | None:
    """The item of a sheet's line; None of a blank one."""
    text = cell_text(cells[place])
    name = f"{sheet.as_posix()}#row {number}"
    if any(map(cell_text, cells[width:])):
        reason = f"the line has {len(cells)} cells where the header has {width}, so that none can be trusted"
        return bad_item(name, f"#row {number}", reason)
    if text:
        return _inside(root, text)
    return bad_item(name, f"#row {number}", "the line names no picture") if any(map(cell_text, cells)) else None


def _inside(root: Path, text: str) -> Item:
    """The item of a sheet's path; judged by its text alone, as ``data.sheet`` does."""
    base = Path(os.path.normpath(root.absolute()))  # resolves ".." by the text alone, and follows no link
    full = Path(os.path.normpath(base / text.replace("\\", "/")))
    foreign = os.name != "nt" and PureWindowsPath(text).drive
    if "\x00" in text or foreign or not full.is_relative_to(base):
        return bad_item(text, text, f"lies outside the root {root}, and is not opened; name another root")
    below = full.relative_to(base)
    return file_item(root / below, below.as_posix())
