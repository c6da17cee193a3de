"""Images of a list: a column of a sheet, paths on stdin, or a Python sequence."""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import PictureError, PictureFault
from clearcast.data.paths import FileNameIndex, make_relative_to_root, normalise_path, strip_path_prefix
from clearcast.data.readers.grid import TableLine
from clearcast.data.readers.table import read_columns
from clearcast.data.sheet import SheetColumns, SheetReading
from clearcast.inference.sources.item import SourceError, SourceItem, make_file_item, make_unreadable_item

_DEFAULT_READING = SheetReading()
ListedSource = str | Path | ImageArray | SourceItem


def sheet_items(
    sheet: Path, root: Path | None, column: str = SheetColumns.noisy, reading: SheetReading = _DEFAULT_READING
) -> list[SourceItem]:
    """List the images in a column of a sheet, each once, in the sheet's order; no other columns are required.

    A path outside the root (by default the sheet's folder) becomes an item that raises when it is read; the file is
    never opened. A path that differs from a file's name only in case or Unicode form means that file, if it is unique.

    Args:
        sheet: its file.
        root: the folder that its paths are relative to.
        column: column with the paths of the images.
        reading: worksheet, and prefix to strip from the paths.

    Raises:
        SheetError: the sheet cannot be read, or the column is missing or not unique.
        MissingDependencyError: a package for this format is not installed.
    """
    hint = "; name the column with the images' paths with --noisy-column"
    table = read_columns(sheet, [column], worksheet=reading.worksheet, hint=hint)
    files = FileNameIndex(root or sheet.parent)
    items = (_row_item(sheet, files, reading.strip_prefix, line) for line in table.lines)
    return list({item.name: item for item in items}.values())


def stdin_items() -> Iterator[SourceItem]:
    """List the images whose paths come on stdin, one per line, each once; blank lines are skipped.

    It uses its own buffer: Python cannot exit while a thread waits for a line in the buffer of ``sys.stdin``.
    """
    return _unique_items(Path(line) for line in _stdin_lines() if line.strip())


def _stdin_lines() -> Iterator[str]:
    with open(sys.stdin.fileno(), "rb", closefd=False) as file:
        yield from (os.fsdecode(line).rstrip("\r\n") for line in file)


def listed_items(listed: Iterable[ListedSource]) -> Iterator[SourceItem]:
    """List the images of Python paths, arrays or items, each path once; an array's name is ``#`` and its index.

    Raises:
        SourceError: an element is of another type, or an array is not an image.
    """
    return _unique_items(listed)


def require_image_array(array: object, name: str) -> ImageArray:
    """Check that an array is an image: uint8, (height, width, 3) in RGB order or (height, width).

    Raises:
        SourceError: it is not.
    """
    if not isinstance(array, np.ndarray):
        raise SourceError(f"{name}: expected a path or an image as an array, got {type(array).__name__}")
    has_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not has_shape or not array.size:
        raise SourceError(
            f"{name}: expected an array of uint8 and shape (height, width, 3) in RGB order, or (height, width); "
            f"got {array.dtype} and shape {array.shape}"
        )
    return array


def _unique_items(listed: Iterable[ListedSource]) -> Iterator[SourceItem]:
    """Skip repeated names, which would give two rows, or one after an interruption; keeps 16 bytes of each name."""
    known_names: set[bytes] = set()
    for index, each in enumerate(listed):
        if not isinstance(each, str | Path | SourceItem):
            image = require_image_array(each, f"image {index}")
            yield make_array_item(image, f"#{index:06d}")
            continue
        item = each if isinstance(each, SourceItem) else make_file_item(Path(each), Path(each).as_posix())
        digest = hashlib.blake2b(os.fsencode(item.name), digest_size=16).digest()
        if digest not in known_names:
            known_names.add(digest)
            yield item


def make_array_item(image: ImageArray, name: str) -> SourceItem:
    """Make the item of an image in memory."""
    return SourceItem(name=name, key=name, read=lambda: image)


def _row_item(sheet: Path, files: FileNameIndex, prefixes: Sequence[str], line: TableLine) -> SourceItem:
    """Make the item of a sheet's row."""
    (text,) = line.cells
    name, key = f"{sheet.as_posix()}#row {line.number}", f"#row {line.number}"
    if line.surplus:
        return make_unreadable_item(name, key, line.surplus)
    if line.faults:
        return make_unreadable_item(name, key, f"the cell {line.faults[0]}")
    if not text:
        return make_unreadable_item(name, key, "the row has no image path")
    return _file_below(files, text, strip_path_prefix(normalise_path(text), prefixes))


def _file_below(files: FileNameIndex, text: str, path: str) -> SourceItem:
    """Make the item of a path in a sheet; whether it is below the root follows from its text, as in ``data.paths``."""
    relative = make_relative_to_root(path, files.root)
    if relative is None:
        reason = f"outside the root {files.root}, so not opened; choose another --root{files.advice_outside(path)}"
        return make_unreadable_item(text, text, reason)
    relative = files.find(relative) or relative
    item = make_file_item(files.root / relative, relative)
    return replace(item, read=partial(_read_listed, item, files, relative))


def _read_listed(item: SourceItem, files: FileNameIndex, relative: str) -> bytes | ImageArray:
    """Read a file; if it is missing, add a hint on which file may be meant."""
    try:
        return item.read()
    except PictureError as error:
        if error.fault is not PictureFault.MISSING:
            raise
        raise PictureError(error.fault, f"{error}{files.advice(relative)}") from None
