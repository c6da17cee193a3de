"""Images of a folder, or of a pattern such as ``parts/**/*.png``, with one folder's names in memory at a time."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath

from clearcast.core.files import OtherFileCounts, is_ignored_name, is_image_file, read_first_bytes
from clearcast.inference.sources.item import (
    SourceError,
    SourceItem,
    make_file_item,
    make_unreadable_item,
    read_file_state,
)

_PathParts = tuple[str, ...]

HeadReader = Callable[[str], bytes]
"""Function that reads the first bytes of a file, see ``read_first_bytes``."""


@dataclass(frozen=True, kw_only=True)
class _FolderWalk:
    """Settings of a directory walk: the folders to enter, the files to select, and how to recognise images."""

    root: Path
    enters: Callable[[_PathParts], bool]
    selects: Callable[[_PathParts], bool]
    others: OtherFileCounts
    read_head: HeadReader = read_first_bytes

    def is_image(self, parts: _PathParts) -> bool:
        """Return whether a file is selected and an image; a selected file of another type is counted."""
        if not self.selects(parts):
            return False
        if is_image_file(parts[-1], lambda: self.read_head(str(self.root.joinpath(*parts)))):
            return True
        self.others.add(parts[-1])
        return False


def folder_items(
    folder: Path,
    *,
    recursive: bool = True,
    others: OtherFileCounts | None = None,
    read_head: HeadReader = read_first_bytes,
) -> Iterator[SourceItem]:
    """List the images of a folder, sorted by path; files of other types (see ``core.files``) are counted in ``others``.

    Linked folders are followed, except for cycles. A folder that cannot be listed becomes an item that raises when it
    is read.
    """
    counts = OtherFileCounts() if others is None else others
    walk = _FolderWalk(
        root=folder, enters=lambda _: recursive, selects=lambda _: True, others=counts, read_head=read_head
    )
    return _walk_folder(walk, (), frozenset())


def pattern_items(pattern: Path, others: OtherFileCounts | None = None) -> Iterator[SourceItem]:
    """List the images that match a pattern: ``*``, ``?`` and ``[ab]`` within a name, ``**`` for any folders.

    Matching files of other types are counted in ``others``.

    Raises:
        SourceError: the folder before the first wildcard does not exist.
    """
    root, pattern_parts = _split_pattern(pattern)
    if not root.is_dir():
        raise SourceError(f"{pattern}: no such folder: {root}; correct the pattern")
    walk = _FolderWalk(
        root=root,
        enters=lambda folder: _matches(folder, pattern_parts, prefix=True),
        selects=lambda file: _matches(file, pattern_parts, prefix=False),
        others=OtherFileCounts() if others is None else others,
    )
    return _walk_folder(walk, (), frozenset())


def is_pattern(text: str) -> bool:
    """Return whether a path contains a wildcard."""
    return any(mark in text for mark in "*?[")


def pattern_enters(pattern: Path, folder: Path) -> bool:
    """Return whether a pattern may match images in a folder or below it."""
    root, pattern_parts = _split_pattern(pattern)
    target, base = folder.resolve(), root.resolve()
    return target.is_relative_to(base) and _matches(target.relative_to(base).parts, pattern_parts, prefix=True)


def _split_pattern(pattern: Path) -> tuple[Path, _PathParts]:
    """Split a pattern into the folder before the first wildcard, and the remaining parts."""
    parts = pattern.parts
    fixed = next(index for index, part in enumerate(parts) if is_pattern(part))
    return Path(*parts[:fixed]), parts[fixed:]


def _matches(parts: _PathParts, pattern: _PathParts, *, prefix: bool) -> bool:
    """Return whether a path's parts match those of a pattern or, if ``prefix``, whether a path below it can."""
    if not parts:
        return bool(pattern) if prefix else all(each == "**" for each in pattern)
    if not pattern:
        return False
    if pattern[0] == "**":
        return _matches(parts, pattern[1:], prefix=prefix) or _matches(parts[1:], pattern, prefix=prefix)
    return fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:], prefix=prefix)


def _walk_folder(walk: _FolderWalk, below: _PathParts, ancestors: frozenset[tuple[int, int]]) -> Iterator[SourceItem]:
    """List the images below a folder of the walk; ``ancestors`` identifies the folders above it."""
    folder = walk.root.joinpath(*below)
    try:
        state = folder.stat()
        identity = state.st_dev, state.st_ino
        if identity in ancestors:  # a link to one of its own parents
            return
        names, folders = _list_folder(folder)
    except OSError as error:
        key, reason = PurePosixPath(*below).as_posix(), f"cannot list the folder ({error})"
        yield make_unreadable_item(folder.as_posix(), key, reason, partial(read_file_state, folder))
        return
    for name in names:
        parts = (*below, name)
        if name in folders:
            if walk.enters(parts):
                yield from _walk_folder(walk, parts, ancestors | {identity})
        elif walk.is_image(parts):
            yield make_file_item(folder / name, "/".join(parts))


def _list_folder(folder: Path) -> tuple[list[str], set[str]]:
    """Return the sorted names in a folder, without litter, and the subset that are folders."""
    names: list[str] = []
    folders: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_ignored_name(entry.name):
                names.append(entry.name)
                if _is_folder(entry):
                    folders.add(entry.name)
    names.sort()
    return names, folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; reading it as an image will report it
        return False
