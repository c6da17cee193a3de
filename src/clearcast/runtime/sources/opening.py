"""Tell what kind of source something is, and give its pictures one by one."""

import re
from collections.abc import Iterable, Iterator, Sized
from functools import partial
from pathlib import Path

import numpy as np

from clearcast import imaging
from clearcast.data import sheet
from clearcast.data.sheet import Columns, Reading
from clearcast.file_kinds import OtherFiles, file_head, is_picture
from clearcast.imaging import Picture
from clearcast.runtime.sources import archives, videos
from clearcast.runtime.sources.folders import folder_items, is_pattern, pattern_items
from clearcast.runtime.sources.item import Item, SourceError, file_item
from clearcast.runtime.sources.listings import (
    Listed,
    array_item,
    listed_items,
    require_picture,
    sheet_items,
    stdin_items,
)
from clearcast.runtime.sources.shards import Shard
from clearcast.runtime.sources.stores import is_url, store_items

Source = str | Path | int | Picture | Iterable[Listed]
"""A path, a pattern, ``-``; a camera's number; one picture; or paths, pictures (uint8) and items from Python."""

STDIN = "-"
_PLAIN = Reading()


def items(
    source: Source,
    *,
    recursive: bool = True,
    shard: Shard | None = None,
    root: Path | None = None,
    column: str = Columns.noisy,
    others: OtherFiles | None = None,
    reading: Reading = _PLAIN,
) -> Iterator[Item]:
    """The pictures of a source, lazily, always in the same order.

    What exists as a file or folder is taken for it, whatever its name looks like. Pictures of a folder, pattern, zip or
    store are told by their suffix or their first bytes, and litter is skipped; see ``file_kinds``. Videos and archives
    within a folder are not opened.

    Args:
        source: a picture, a folder, a pattern (``parts/**/*.png``), a sheet (.xlsx, .xlsm, .xls, .csv, .parquet), a
            .zip, a video, a store's folder such as ``s3://bucket/parts`` (through fsspec), a camera's number such as
            ``0``, ``-`` for paths from stdin, one a line; or from Python a picture
            (uint8; (height, width, 3) in RGB order or (height, width)), or any iterable of paths, pictures and items.
        recursive: of a folder, whether its folders count too.
        shard: give only this share of the pictures.
        root: of a sheet, the folder that its paths are relative to; by default its own.
        column: of a sheet, the column that names the pictures.
        others: counts the files of other kinds that are left out, while the source is gone through.
        reading: of a sheet, which worksheet, and what is taken off the beginning of paths.

    Raises:
        SourceError: the source is missing, of an unknown kind or damaged; or, when it has been gone through, it held no
            picture. A share may be empty.
        SheetError: a sheet that cannot be read, or has no such column.
    """
    others = OtherFiles() if others is None else others
    found = _open(source, recursive=recursive, root=root, column=column, reading=reading, others=others)
    if shard is not None and _camera(source) is not None:
        raise SourceError("a camera cannot be divided into shards; use it without --shard")
    return _some(found, source, shard, others)


def count(
    source: Source,
    *,
    recursive: bool = True,
    shard: Shard | None = None,
    root: Path | None = None,
    column: str = Columns.noisy,
    reading: Reading = _PLAIN,
) -> int | None:
    """How many pictures a source holds, for a progress bar; None where nobody knows: stdin, a camera, a generator.

    A folder is gone through for it. Of a video, what it claims. Raises as ``items`` does, but not for no picture.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if source == STDIN or _camera(source) is not None:
            return None
        if path.suffix.lower() in videos.SUFFIXES and path.is_file():
            return videos.frame_count(path) if shard is None else None
    elif not isinstance(source, Sized):
        return None
    found = _open(source, recursive=recursive, root=root, column=column, reading=reading, others=OtherFiles())
    return sum(1 for item in found if shard is None or shard.holds(item))


def _some(found: Iterable[Item], source: Source, shard: Shard | None, others: OtherFiles) -> Iterator[Item]:
    empty = True
    for item in found:
        empty = False
        if shard is None or shard.holds(item):
            yield item
    if empty:
        what = source if isinstance(source, str | Path) else "what was given"
        needed = f"needed are files in {', '.join(sorted(imaging.SUFFIXES))}"
        raise SourceError(f"{what}: no pictures are there; {needed}" + f". {others.sentence}" * bool(others.counts))


def _open(
    source: Source, *, recursive: bool, root: Path | None, column: str, reading: Reading, others: OtherFiles
) -> Iterable[Item]:
    if isinstance(source, np.ndarray):
        return [array_item(require_picture(source, "the picture"), "#000000")]
    if isinstance(source, str) and source == STDIN:  # a table's column would be compared cell by cell
        return stdin_items()
    if (camera := _camera(source)) is not None:
        return videos.camera_items(camera)
    if not isinstance(source, str | Path):
        if not isinstance(source, Iterable):
            raise SourceError(f"the source is a {type(source).__name__}; needed is {_KINDS}")
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
    raise SourceError(f"{source}: no such file or folder; needed is {_KINDS}")


def _open_file(path: Path, root: Path | None, column: str, reading: Reading, others: OtherFiles) -> Iterable[Item]:
    suffix = path.suffix.lower()
    if is_picture(path.name, partial(file_head, path)):
        return [file_item(path, path.name)]
    if suffix in sheet.SUFFIXES:
        return sheet_items(path, root, column, reading)
    if suffix == archives.SUFFIX:
        return archives.archive_items(path, others)
    if suffix in videos.SUFFIXES:
        return videos.video_items(path)
    raise SourceError(f"{path}: a file that ends in {suffix or 'nothing'}; needed is {_KINDS}")


def _camera(source: Source) -> int | None:
    """A camera's number, unless something of that name exists."""
    if isinstance(source, int):
        return source
    named = isinstance(source, str) and re.fullmatch("[0-9]{1,3}", source) and not Path(source).exists()
    return int(source) if isinstance(source, str) and named else None


_KINDS = (
    f"a picture ({', '.join(sorted(imaging.SUFFIXES))}), a folder, a pattern, a sheet ({', '.join(sheet.SUFFIXES)}), "
    f"a .zip, a video ({', '.join(sorted(videos.SUFFIXES))}), a store's URL, the number of a camera, or - for paths "
    "from stdin"
)
