"""Pictures that somebody lists: a sheet's, those of paths on stdin, those of a Python sequence."""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from clearcast.data.paths import FileNames, below_root, plain_path, strip_prefix
from clearcast.data.sheet import Columns, Reading
from clearcast.data.table import read_table
from clearcast.data.tables.lines import Line
from clearcast.errors import PictureError, PictureFault
from clearcast.imaging import Picture
from clearcast.runtime.sources.item import Item, SourceError, bad_item, file_item

_PLAIN = Reading()
Listed = str | Path | Picture | Item


def sheet_items(sheet: Path, root: Path | None, column: str = Columns.noisy, reading: Reading = _PLAIN) -> list[Item]:
    """The pictures that a column of a sheet names, each once, in the sheet's order; other columns need not be there.

    A path that leaves the root (by default the sheet's folder) is an item that cannot be read, and is never opened.
    One that differs from a file's name only in capitals or in its Unicode form is that file, if there is only one.

    Args:
        sheet: its file.
        root: the folder that its paths are relative to.
        column: names the pictures.
        reading: which worksheet, and what is taken off the beginning of paths.

    Raises:
        SheetError: the sheet cannot be read, or has no such column or several.
        MissingDependencyError: a package is needed for this format.
    """
    hint = "; needed is one that names the pictures: name it with --noisy-column"
    table = read_table(sheet, [column], worksheet=reading.worksheet, hint=hint)
    files = FileNames(root or sheet.parent)
    found = (_row_item(sheet, files, reading.strip_prefix, line) for line in table.lines)
    return list({item.name: item for item in found}.values())


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


def _row_item(sheet: Path, files: FileNames, prefixes: Sequence[str], line: Line) -> Item:
    """The item of a sheet's line."""
    (text,) = line.cells
    name, key = f"{sheet.as_posix()}#row {line.number}", f"#row {line.number}"
    if line.surplus:
        return bad_item(name, key, line.surplus)
    if line.faults:
        return bad_item(name, key, f"the cell {line.faults[0]}")
    if not text:
        return bad_item(name, key, "the line names no picture")
    return _file_below(files, text, strip_prefix(plain_path(text), prefixes))


def _file_below(files: FileNames, text: str, path: str) -> Item:
    """The item of a sheet's path; judged by its text alone, as ``data.sheet`` does."""
    below = below_root(path, files.root)
    if below is None:
        reason = f"lies outside the root {files.root}, and is not opened; name another root{files.advice_outside(path)}"
        return bad_item(text, text, reason)
    below = files.find(below) or below
    item = file_item(files.root / below, below)
    return replace(item, read=partial(_read_listed, item, files, below))


def _read_listed(item: Item, files: FileNames, below: str) -> bytes | Picture:
    """Read a file; if there is none, say what may be meant."""
    try:
        return item.read()
    except PictureError as error:
        if error.fault is not PictureFault.MISSING:
            raise
        raise PictureError(error.fault, f"{error}{files.advice(below)}") from None
