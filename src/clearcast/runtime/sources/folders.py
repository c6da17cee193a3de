"""Pictures of a folder, or of a pattern such as ``parts/**/*.png``, one folder's names in memory at a time."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath

from clearcast.file_kinds import OtherFiles, file_head, is_litter, is_picture
from clearcast.runtime.sources.item import Item, SourceError, bad_item, file_item, file_state

Parts = tuple[str, ...]

Heads = Callable[[str], bytes]
"""Gives the first bytes of the file of a path, see ``file_kinds.file_head``."""


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """What to look for below a folder: the folders to enter, the files to take, and how to tell pictures."""

    root: Path
    enters: Callable[[Parts], bool]
    takes: Callable[[Parts], bool]
    others: OtherFiles
    heads: Heads = file_head

    def is_picture(self, parts: Parts) -> bool:
        """Whether a file is a picture that is wanted; one of another kind is counted."""
        if not self.takes(parts):
            return False
        if is_picture(parts[-1], lambda: self.heads(str(self.root.joinpath(*parts)))):
            return True
        self.others.add(parts[-1])
        return False


def folder_items(
    folder: Path, *, recursive: bool = True, others: OtherFiles | None = None, heads: Heads = file_head
) -> Iterator[Item]:
    """The pictures of a folder, sorted by path; see ``file_kinds``. Files of other kinds are counted in ``others``.

    Linked folders are followed, except to where one comes from. A folder that cannot be listed is an item that cannot
    be read.
    """
    counted = OtherFiles() if others is None else others
    walk = _Walk(root=folder, enters=lambda _: recursive, takes=lambda _: True, others=counted, heads=heads)
    return _walk(walk, (), frozenset())


def pattern_items(pattern: Path, others: OtherFiles | None = None) -> Iterator[Item]:
    """The pictures that a pattern names: ``*``, ``?`` and ``[ab]`` within a name, ``**`` for any folders.

    Files of other kinds that it names too are counted in ``others``.

    Raises:
        SourceError: there is no folder of the name before the first wildcard.
    """
    root, wanted = _root_of(pattern)
    if not root.is_dir():
        raise SourceError(f"{pattern}: there is no folder {root}; mend the pattern")
    walk = _Walk(
        root=root,
        enters=lambda folder: _matches(folder, wanted, begun=True),
        takes=lambda file: _matches(file, wanted, begun=False),
        others=OtherFiles() if others is None else others,
    )
    return _walk(walk, (), frozenset())


def is_pattern(text: str) -> bool:
    """Whether a path holds a wildcard."""
    return any(mark in text for mark in "*?[")


def looks_into(pattern: Path, folder: Path) -> bool:
    """Whether pictures of a folder, or of folders below, may be among those that a pattern names."""
    root, wanted = _root_of(pattern)
    below, place = folder.resolve(), root.resolve()
    return below.is_relative_to(place) and _matches(below.relative_to(place).parts, wanted, begun=True)


def _root_of(pattern: Path) -> tuple[Path, Parts]:
    """The folder before the first wildcard, and the rest."""
    parts = pattern.parts
    fixed = next(place for place, part in enumerate(parts) if is_pattern(part))
    return Path(*parts[:fixed]), parts[fixed:]


def _matches(parts: Parts, wanted: Parts, *, begun: bool) -> bool:
    """Whether a path's parts are what is wanted or, ``begun``, may become so further below."""
    if not parts:
        return bool(wanted) if begun else all(each == "**" for each in wanted)
    if not wanted:
        return False
    if wanted[0] == "**":
        return _matches(parts, wanted[1:], begun=begun) or _matches(parts[1:], wanted, begun=begun)
    return fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:], begun=begun)


def _walk(walk: _Walk, below: Parts, above: frozenset[tuple[int, int]]) -> Iterator[Item]:
    """The pictures below a folder of the walk; ``above`` are the folders that led here."""
    folder = walk.root.joinpath(*below)
    try:
        state = folder.stat()
        place = state.st_dev, state.st_ino
        if place in above:  # a link to where it lies itself
            return
        names, folders = _list(folder)
    except OSError as error:
        key, reason = PurePosixPath(*below).as_posix(), f"the folder cannot be listed ({error})"
        yield bad_item(folder.as_posix(), key, reason, partial(file_state, folder))
        return
    for name in names:
        parts = (*below, name)
        if name in folders:
            if walk.enters(parts):
                yield from _walk(walk, parts, above | {place})
        elif walk.is_picture(parts):
            yield file_item(folder / name, "/".join(parts))


def _list(folder: Path) -> tuple[list[str], set[str]]:
    """The sorted names in a folder, without litter, and which of them are folders."""
    names: list[str] = []
    folders: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_litter(entry.name):
                names.append(entry.name)
                if _is_folder(entry):
                    folders.add(entry.name)
    names.sort()
    return names, folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself; as a picture it will say so
        return False
