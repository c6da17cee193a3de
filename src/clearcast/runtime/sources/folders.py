"""Pictures of a folder, or of a pattern such as ``parts/**/*.png``, one folder's names in memory at a time."""

import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from clearcast import imaging
from clearcast.runtime.sources.item import Item, SourceError, bad_item, file_item

Parts = tuple[str, ...]

_SUFFIXES = tuple(imaging.SUFFIXES)


def folder_items(folder: Path, *, recursive: bool = True) -> Iterator[Item]:
    """The pictures of a folder, by suffix, sorted by path. Names with a leading dot are skipped.

    Linked folders are followed, except to where one comes from. A folder that cannot be listed is an item that cannot
    be read.
    """
    return _walk(folder, (), frozenset(), lambda _: recursive, lambda _: True)


def pattern_items(pattern: Path) -> Iterator[Item]:
    """The pictures that a pattern names: ``*``, ``?`` and ``[ab]`` within a name, ``**`` for any folders.

    Raises:
        SourceError: there is no folder of the name before the first wildcard.
    """
    root, wanted = _root_of(pattern)
    if not root.is_dir():
        raise SourceError(f"{pattern}: there is no folder {root}; mend the pattern")
    return _walk(
        root,
        (),
        frozenset(),
        lambda folder: _matches(folder, wanted, begun=True),
        lambda file: _matches(file, wanted, begun=False),
    )


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


def _walk(
    root: Path,
    below: Parts,
    above: frozenset[tuple[int, int]],
    enters: Callable[[Parts], bool],
    takes: Callable[[Parts], bool],
) -> Iterator[Item]:
    """The pictures below ``root / below`` that ``takes`` wants, in the folders that it ``enters``."""
    folder = root.joinpath(*below)
    try:
        state = folder.stat()
        place = state.st_dev, state.st_ino
        if place in above:  # a link to where it lies itself
            return
        names, folders = _list(folder)
    except OSError as error:
        yield bad_item(folder.as_posix(), PurePosixPath(*below).as_posix(), f"the folder cannot be listed ({error})")
        return
    for name in names:
        parts = (*below, name)
        if name in folders:
            if enters(parts):
                yield from _walk(root, parts, above | {place}, enters, takes)
        elif takes(parts):
            yield file_item(folder / name, "/".join(parts))


def _list(folder: Path) -> tuple[list[str], set[str]]:
    """The sorted names of a folder's pictures and folders, and which of them are folders."""
    names: list[str] = []
    folders: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.add(entry.name)
            elif not is_picture(entry.name):
                continue
            names.append(entry.name)
    names.sort()
    return names, folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself; as a picture it will say so
        return False


def is_picture(name: str) -> bool:
    """Whether a file's name ends as a picture's."""
    return name.lower().endswith(_SUFFIXES)
