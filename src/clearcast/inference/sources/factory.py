"""Image source: detects its type, iterates over its images, and counts them."""

import re
from collections.abc import Iterable, Iterator, Sized
from functools import partial
from pathlib import Path

import numpy as np

from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.files import IMAGE_SUFFIXES, OtherFileCounts, is_image_file, read_first_bytes
from clearcast.data import sheet
from clearcast.data.sheet import SheetColumns, SheetReading
from clearcast.inference.sources import archives, videos
from clearcast.inference.sources.folders import folder_items, is_pattern, pattern_items
from clearcast.inference.sources.item import Shard, SourceError, SourceItem, make_file_item
from clearcast.inference.sources.lists import (
    ListedSource,
    listed_items,
    make_array_item,
    require_image_array,
    sheet_items,
    stdin_items,
)
from clearcast.inference.sources.object_store import is_url, store_items

Source = str | Path | int | ImageArray | Iterable[ListedSource]
"""A path, a pattern, ``-``; a camera's number; one image; or paths, images (uint8) and items from Python."""

_STDIN_SOURCE = "-"
_DEFAULT_READING = SheetReading()
_EXPECTED = (
    f"an image ({', '.join(sorted(IMAGE_SUFFIXES))}), a folder, a pattern, a sheet "
    f"({', '.join(sheet.SHEET_SUFFIXES)}), a .zip, a video ({', '.join(sorted(videos.VIDEO_SUFFIXES))}), the URL of an "
    "object store, the number of a camera, or - for paths from stdin"
)


def iterate_source(
    source: Source,
    *,
    recursive: bool = True,
    shard: Shard | None = None,
    root: Path | None = None,
    column: str = SheetColumns.noisy,
    others: OtherFileCounts | None = None,
    reading: SheetReading = _DEFAULT_READING,
) -> Iterator[SourceItem]:
    """Iterate lazily over the images of a source, always in the same order.

    An existing file or folder takes precedence over any other meaning of its name. Images of a folder, pattern, zip or
    store are recognised by their suffix or their first bytes, and litter is skipped; see ``core.files``. Videos and
    archives within a folder are not opened.

    Args:
        source: an image, a folder, a pattern (``parts/**/*.png``), a sheet (.xlsx, .xlsm, .xls, .csv, .parquet), a
            .zip, a video, a folder of an object store such as ``s3://bucket/parts`` (through fsspec), a camera's number
            such as ``0``, ``-`` for paths from stdin, one per line; or from Python an image
            (uint8; (height, width, 3) in RGB order or (height, width)), or any iterable of paths, images and items.
        recursive: for a folder, whether to include its subfolders.
        shard: yield only this share of the images.
        root: for a sheet, the folder that its paths are relative to; by default its own.
        column: for a sheet, the column with the paths of the images.
        others: counts the files of other types that are left out, during the iteration.
        reading: for a sheet, the worksheet, and the prefix to strip from paths.

    Raises:
        SourceError: the source is missing, of an unknown type or damaged; or, at the end of the iteration, it contained
            no image. A share may be empty.
        SheetError: a sheet cannot be read, or lacks the column.
    """
    others = OtherFileCounts() if others is None else others
    items = _open(source, recursive=recursive, root=root, column=column, reading=reading, others=others)
    if shard is not None and _camera_number(source) is not None:
        raise SourceError("a camera cannot be divided into shards; leave out --shard")
    return _select(items, source, shard, others)


def count_source(
    source: Source,
    *,
    recursive: bool = True,
    shard: Shard | None = None,
    root: Path | None = None,
    column: str = SheetColumns.noisy,
    reading: SheetReading = _DEFAULT_READING,
) -> int | None:
    """Count the images of a source, for a progress bar; None if unknown: stdin, a camera, a generator.

    A folder is walked for it; for a video, it is the declared number of frames. Raises as ``iterate_source`` does,
    except that a source may be empty.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if source == _STDIN_SOURCE or _camera_number(source) is not None:
            return None
        if path.suffix.lower() in videos.VIDEO_SUFFIXES and path.is_file():
            return videos.count_frames(path) if shard is None else None
    elif not isinstance(source, Sized):
        return None
    items = _open(source, recursive=recursive, root=root, column=column, reading=reading, others=OtherFileCounts())
    return sum(1 for item in items if shard is None or shard.holds(item))


def _select(
    items: Iterable[SourceItem], source: Source, shard: Shard | None, others: OtherFileCounts
) -> Iterator[SourceItem]:
    """Yield the items of a shard, and raise at the end if the source contained none at all."""
    empty = True
    for item in items:
        empty = False
        if shard is None or shard.holds(item):
            yield item
    if empty:
        name = source if isinstance(source, str | Path) else "the given source"
        expected = f"expected files of type {', '.join(sorted(IMAGE_SUFFIXES))}"
        raise SourceError(f"{name}: contains no images; {expected}" + f". {others.sentence}" * bool(others.counts))


def _open(
    source: Source, *, recursive: bool, root: Path | None, column: str, reading: SheetReading, others: OtherFileCounts
) -> Iterable[SourceItem]:
    if isinstance(source, np.ndarray):
        return [make_array_item(require_image_array(source, "the image"), "#000000")]
    if isinstance(source, str) and source == _STDIN_SOURCE:  # a table's column would be compared cell by cell
        return stdin_items()
    if (camera := _camera_number(source)) is not None:
        return videos.camera_items(camera)
    if not isinstance(source, str | Path):
        if not isinstance(source, Iterable):
            raise SourceError(f"expected {_EXPECTED}; got {type(source).__name__}")
        return listed_items(source)
    if isinstance(source, str) and is_url(source):
        return store_items(source, recursive=recursive, others=others)
    path = Path(source)
    try:
        if path.is_dir() and str(source):
            return folder_items(path, recursive=recursive, others=others)
        if path.is_file():
            return _open_file(path, root, column, reading, others)
    except ValueError:  # a NUL byte in the path
        pass
    if is_pattern(str(source)):
        return pattern_items(path, others)
    raise SourceError(f"{source}: no such file or folder; expected {_EXPECTED}")


def _open_file(
    path: Path, root: Path | None, column: str, reading: SheetReading, others: OtherFileCounts
) -> Iterable[SourceItem]:
    suffix = path.suffix.lower()
    if is_image_file(path.name, partial(read_first_bytes, path)):
        return [make_file_item(path, path.name)]
    if suffix in sheet.SHEET_SUFFIXES:
        return sheet_items(path, root, column, reading)
    if suffix == archives.ARCHIVE_SUFFIX:
        return archives.archive_items(path, others)
    if suffix in videos.VIDEO_SUFFIXES:
        return videos.video_items(path)
    raise SourceError(f"{path}: unknown file type {suffix or '(no suffix)'}; expected {_EXPECTED}")


def _camera_number(source: Source) -> int | None:
    """Return a camera's number; None for another source, or if a file or folder of that name exists."""
    if isinstance(source, int):
        return source
    is_number = isinstance(source, str) and re.fullmatch("[0-9]{1,3}", source)
    return int(source) if isinstance(source, str) and is_number and not Path(source).exists() else None
