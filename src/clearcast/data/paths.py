"""Paths as sheets write them, also those of other systems, and the files below a root that they mean."""

import difflib
import os
import posixpath
import re
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

_SPECIAL = frozenset(("", ".", ".."))  # components after which a path is not as it reads
_MOST_NAMES = 20_000  # of a folder in which similar names are looked for
_MOST_SEARCHES = 100  # for similar names, which are slow
_MOST_STEPS = 1000  # from folder to folder, for one path: links can lead round in circles
_MOST_COMPONENTS = 64  # of a path that is looked for
_MOST_PREFIXES = 20
_MOST_IN_VAIN = 1000  # paths whose end is looked for in vain


def plain_path(text: str) -> str:
    r"""A path with forward slashes; ``file:`` addresses are decoded.

    >>> plain_path("C:\\data\\1.png"), plain_path("file:///data/part%201.png"), plain_path("file://nas/qs/1.png")
    ('C:/data/1.png', '/data/part 1.png', '//nas/qs/1.png')
    """
    if text[:5].casefold() == "file:":
        address = unquote(text[5:]).replace("\\", "/")
        host, slash, rest = address[2:].partition("/") if address.startswith("//") else ("", "", address)
        path = slash + rest
        remote = host and host.casefold() != "localhost"
        text = f"//{host}{path}" if remote else re.sub(r"^/+(?=[A-Za-z]:/)", "", path)
    return text.replace("\\", "/")


def strip_prefix(path: str, prefixes: Iterable[str]) -> str:
    r"""A plain path without the first of some beginnings that it has; only whole components are taken off.

    >>> strip_prefix("c:/Data/a/1.png", ["C:\\data"]), strip_prefix("database/1.png", ["data"])
    ('a/1.png', 'database/1.png')
    """
    parts = _parts(path)
    for prefix in prefixes:
        begin = _parts(plain_path(prefix.strip()))
        if begin and [_folded(part) for part in parts[: len(begin)]] == [_folded(part) for part in begin]:
            return "/".join(parts[len(begin) :])
    return path


def below_root(path: str, root: Path) -> str | None:
    """A plain path relative to the root, by its text alone; None if it leaves the root, or cannot be a path.

    >>> below_root("a/../b/1.png", Path("parts")), below_root("../1.png", Path("parts")), below_root("C:/1", Path())
    ('b/1.png', None, None)
    """
    if "\x00" in path or (os.name != "nt" and re.match("[A-Za-z]:", path)):
        return None
    if os.name != "nt" and _SPECIAL.isdisjoint(path.split("/")):  # nearly all paths
        return path
    base = os.path.abspath(root)  # noqa: PTH100 -- resolves ".." by the text alone, and follows no link
    full = os.path.abspath(os.path.join(base, path))  # noqa: PTH100, PTH118
    folder = os.path.join(base, "")  # noqa: PTH118 -- with its last slash
    if os.path.normcase(full).startswith(os.path.normcase(folder)):
        return full[len(folder) :].replace(os.sep, "/")
    return "." if os.path.normcase(full) == os.path.normcase(base) else None


class FileNames:
    """The names of the files below a root. Each folder is listed once, when it is first needed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[str, frozenset[str]] = {}
        self._alike: dict[str, dict[str, list[str]]] = {}
        self._searches = self._steps = 0

    def find(self, path: str) -> str | None:
        """A path below the root as its file is called, or None.

        A name that differs only in capitals or in its Unicode form is taken if there is one such file, not several.
        """
        found = self._alternatives(path)
        return found[0] if len(found) == 1 else None

    def advice(self, path: str) -> str:
        """What may be meant by a path without a file, as the end of a message; empty if nothing is near."""
        if several := self._alternatives(path):
            return f"; there are several alike: {' and '.join(map(repr, several[:5]))}"
        if below := self.end_below(path):
            prefix, rest = below
            return f"; there is {rest!r}: take off what is before it with {prefix_option(prefix)}"
        near = self._similar(path)
        return f"; did you mean {near!r}?" if near else ""

    def advice_outside(self, path: str) -> str:
        """The same for a path that leaves the root, and is never looked for."""
        below = self.end_below(path)
        return f", or take off its beginning with {prefix_option(below[0])}" if below else ""

    def end_below(self, path: str) -> tuple[str, str] | None:
        """The beginning of a plain path to take off, and the rest, by which there is a file; None if there is none."""
        parts = _parts(path)
        if len(parts) > _MOST_COMPONENTS:
            return None
        for at in range(1, len(parts)):
            rest = parts[at:]
            if _SPECIAL.isdisjoint(rest) and (found := self.find("/".join(rest))):
                return "/".join(parts[:at]), found
        return None

    def _alternatives(self, path: str) -> list[str]:
        """Files that a path names: exactly, or else by names that are alike."""
        parts = path.split("/")
        if len(parts) > _MOST_COMPONENTS:
            return []
        self._steps = 0
        return self._matches("", parts)

    def _matches(self, folder: str, parts: Sequence[str]) -> list[str]:
        name, *rest = parts
        found: list[str] = []
        for each in self._names_like(folder, name):
            self._steps += 1
            below = f"{folder}/{each}" if folder else each
            found += self._matches(below, rest) if rest else [below]
            if found == ["/".join(filter(None, (folder, *parts)))] or self._steps > _MOST_STEPS:
                return found
        return found

    def _names_like(self, folder: str, name: str) -> Iterator[str]:
        """The names in a folder that are alike, the exact one first."""
        if name in self._names(folder):
            yield name
        if folder not in self._alike:
            alike = defaultdict(list)
            for each in sorted(self._names(folder)):
                alike[_folded(each)].append(each)
            self._alike[folder] = alike
        yield from (each for each in self._alike[folder].get(_folded(name), ()) if each != name)

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(self.root / folder))  # noqa: PTH208 -- names only, and many
            except (OSError, ValueError):
                self._listed[folder] = frozenset()
        return self._listed[folder]

    def _similar(self, path: str) -> str | None:
        folder, name = posixpath.split(path)
        real = (self.find(folder) if folder else "") or ""
        names = self._names(real)
        self._searches += 1
        if bool(folder) != bool(real) or len(names) > _MOST_NAMES or self._searches > _MOST_SEARCHES:
            return None
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
        return posixpath.join(real, near[0]) if near else None


def prefixes_of_files(paths: Iterable[str], files: FileNames) -> tuple[Counter[str], list[str]]:
    """The beginnings without which plain paths name files, with how many begin so; and the other paths."""
    counts: Counter[str] = Counter()
    others: list[str] = []
    for path in paths:
        known = next((prefix for prefix in counts if strip_prefix(path, [prefix]) != path), None)
        searching = len(others) < _MOST_IN_VAIN and len(counts) < _MOST_PREFIXES
        below = (known, "") if known else files.end_below(path) if searching else None
        if below:
            counts[below[0]] += 1
        else:
            others.append(path)
    return counts, others


def foreign_prefixes(paths: Iterable[str], files: FileNames) -> dict[str, int]:
    """The most frequent beginnings of plain paths that lie outside a root, and how many paths begin so.

    A beginning is one after which there is a file below the root; of the paths for which there is none, the folders
    that they have in common.
    """
    counts, others = prefixes_of_files(paths, files)
    folders: dict[str, list[list[str]]] = defaultdict(list)
    for parts in map(_parts, others):
        if parts[0] != "..":  # nobody means to take that off
            folders[parts[0]].append(parts[:-1])
    for each in folders.values():
        counts[_common(each)] += len(each)
    return {prefix: count for prefix, count in counts.most_common(_MOST_PREFIXES) if prefix}


def prefix_option(prefix: str) -> str:
    """The option that takes a beginning off."""
    return f"--strip-prefix {shlex.quote(prefix)}"


def _common(folders: Sequence[list[str]]) -> str:
    first, last = min(folders), max(folders)
    count = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return "/".join(first[: min(count, len(last))])


def _parts(path: str) -> list[str]:
    """The components of a plain path; of an absolute one, the first holds its slashes."""
    slashes = path[: len(path) - len(path.lstrip("/"))]
    parts = [part for part in path[len(slashes) :].split("/") if part and part != "."]
    return [slashes + parts[0], *parts[1:]] if parts else [path]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
