"""Resolution of the paths in a sheet, also those of other systems, to files below a root folder."""

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

_SPECIAL = frozenset(("", ".", ".."))  # components of a path that is not normalised
_MAX_NAMES = 20_000  # in a folder that is searched for similar names
_MAX_SEARCHES = 100  # for similar names, which are slow
_MAX_STEPS = 1000  # between folders, per path: links can be circular
_MAX_COMPONENTS = 64  # of a path that is searched
_MAX_PREFIXES = 20
_MAX_FAILURES = 1000  # searches for the end of a path without a result


def normalise_path(text: str) -> str:
    r"""Convert a path to forward slashes, and decode a ``file:`` URL.

    >>> normalise_path("C:\\data\\1.png"), normalise_path("file:///data/part%201.png"), normalise_path("file://nas/qs/1.png")
    ('C:/data/1.png', '/data/part 1.png', '//nas/qs/1.png')
    """
    if text[:5].casefold() == "file:":
        address = unquote(text[5:]).replace("\\", "/")
        host, slash, rest = address[2:].partition("/") if address.startswith("//") else ("", "", address)
        path = slash + rest
        remote = host and host.casefold() != "localhost"
        text = f"//{host}{path}" if remote else re.sub(r"^/+(?=[A-Za-z]:/)", "", path)
    return text.replace("\\", "/")


def strip_path_prefix(path: str, prefixes: Iterable[str]) -> str:
    r"""Remove the first matching prefix from a normalised path; only whole components match.

    >>> strip_path_prefix("c:/Data/a/1.png", ["C:\\data"]), strip_path_prefix("database/1.png", ["data"])
    ('a/1.png', 'database/1.png')
    """
    parts = _components(path)
    for prefix in prefixes:
        begin = _components(normalise_path(prefix.strip()))
        if begin and [_folded(part) for part in parts[: len(begin)]] == [_folded(part) for part in begin]:
            return "/".join(parts[len(begin) :])
    return path


def make_relative_to_root(path: str, root: Path) -> str | None:
    """Make a normalised path relative to the root, by its text alone; None if it is outside the root or invalid.

    >>> make_relative_to_root("a/../b/1.png", Path("parts"))
    'b/1.png'
    >>> make_relative_to_root("../1.png", Path("parts")), make_relative_to_root("C:/1", Path())
    (None, None)
    """
    if "\x00" in path or (os.name != "nt" and re.match("[A-Za-z]:", path)):
        return None
    if os.name != "nt" and _SPECIAL.isdisjoint(path.split("/")):  # the common case
        return path
    base = os.path.abspath(root)  # noqa: PTH100 -- resolves ".." by text, without following links
    full = os.path.abspath(os.path.join(base, path))  # noqa: PTH100, PTH118
    folder = os.path.join(base, "")  # noqa: PTH118 -- with a trailing slash
    if os.path.normcase(full).startswith(os.path.normcase(folder)):
        return full[len(folder) :].replace(os.sep, "/")
    return "." if os.path.normcase(full) == os.path.normcase(base) else None


class FileNameIndex:
    """Index of the file names below a root. Each folder is listed once, on first use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[str, frozenset[str]] = {}
        self._by_folded: dict[str, dict[str, list[str]]] = {}
        self._searches = self._steps = 0

    def find(self, path: str) -> str | None:
        """Find the file that a path names, and return the path as the file is spelled; None if there is none.

        A name that differs only in case or Unicode normalisation matches if there is exactly one such file.
        """
        found = self._alternatives(path)
        return found[0] if len(found) == 1 else None

    def advice(self, path: str) -> str:
        """Suggest what to do about a path without a file, as the end of a message; "" if there is no suggestion."""
        if several := self._alternatives(path):
            return f"; several files have similar names: {' and '.join(map(repr, several[:5]))}"
        if below := self.end_below(path):
            prefix, rest = below
            return f"; {rest!r} exists: remove the prefix with {strip_prefix_option(prefix)}"
        near = self._similar(path)
        return f"; did you mean {near!r}?" if near else ""

    def advice_outside(self, path: str) -> str:
        """Suggest a prefix to remove from a path outside the root; "" if there is no suggestion."""
        below = self.end_below(path)
        return f", or remove its prefix with {strip_prefix_option(below[0])}" if below else ""

    def end_below(self, path: str) -> tuple[str, str] | None:
        """Split a normalised path into a prefix to remove and a rest that is a file; None if there is no such file."""
        parts = _components(path)
        if len(parts) > _MAX_COMPONENTS:
            return None
        for at in range(1, len(parts)):
            rest = parts[at:]
            if _SPECIAL.isdisjoint(rest) and (found := self.find("/".join(rest))):
                return "/".join(parts[:at]), found
        return None

    def _alternatives(self, path: str) -> list[str]:
        """Find the files that a path names, exactly or with equivalent names."""
        parts = path.split("/")
        if len(parts) > _MAX_COMPONENTS:
            return []
        self._steps = 0
        return self._matches("", parts)

    def _matches(self, folder: str, parts: Sequence[str]) -> list[str]:
        name, *rest = parts
        found: list[str] = []
        for each in self._equivalent_names(folder, name):
            self._steps += 1
            below = f"{folder}/{each}" if folder else each
            found += self._matches(below, rest) if rest else [below]
            if found == ["/".join(filter(None, (folder, *parts)))] or self._steps > _MAX_STEPS:
                return found
        return found

    def _equivalent_names(self, folder: str, name: str) -> Iterator[str]:
        """Iterate over the equivalent names in a folder, the exact one first."""
        if name in self._names(folder):
            yield name
        if folder not in self._by_folded:
            by_folded = defaultdict(list)
            for each in sorted(self._names(folder)):
                by_folded[_folded(each)].append(each)
            self._by_folded[folder] = by_folded
        yield from (each for each in self._by_folded[folder].get(_folded(name), ()) if each != name)

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(self.root / folder))  # noqa: PTH208 -- faster
            except (OSError, ValueError):
                self._listed[folder] = frozenset()
        return self._listed[folder]

    def _similar(self, path: str) -> str | None:
        folder, name = posixpath.split(path)
        real = (self.find(folder) if folder else "") or ""
        names = self._names(real)
        self._searches += 1
        if bool(folder) != bool(real) or len(names) > _MAX_NAMES or self._searches > _MAX_SEARCHES:
            return None
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
        return posixpath.join(real, near[0]) if near else None


def find_removable_prefixes(paths: Iterable[str], files: FileNameIndex) -> tuple[Counter[str], list[str]]:
    """Find the prefixes without which paths name files, with the number of paths each; and the other paths."""
    counts: Counter[str] = Counter()
    others: list[str] = []
    for path in paths:
        known = next((prefix for prefix in counts if strip_path_prefix(path, [prefix]) != path), None)
        searching = len(others) < _MAX_FAILURES and len(counts) < _MAX_PREFIXES
        below = (known, "") if known else files.end_below(path) if searching else None
        if below:
            counts[below[0]] += 1
        else:
            others.append(path)
    return counts, others


def find_foreign_prefixes(paths: Iterable[str], files: FileNameIndex) -> dict[str, int]:
    """Find the most frequent prefixes of paths outside the root, with the number of paths each.

    A prefix is what must be removed from a path to name a file below the root. Of paths without such a file, it is the
    common folder.
    """
    counts, others = find_removable_prefixes(paths, files)
    folders: dict[str, list[list[str]]] = defaultdict(list)
    for parts in map(_components, others):
        if parts[0] != "..":  # not a useful prefix
            folders[parts[0]].append(parts[:-1])
    for each in folders.values():
        counts[_common_folder(each)] += len(each)
    return {prefix: count for prefix, count in counts.most_common(_MAX_PREFIXES) if prefix}


def strip_prefix_option(prefix: str) -> str:
    """Return the command line option that removes a prefix."""
    return f"--strip-prefix {shlex.quote(prefix)}"


def _common_folder(folders: Sequence[list[str]]) -> str:
    first, last = min(folders), max(folders)
    count = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return "/".join(first[: min(count, len(last))])


def _components(path: str) -> list[str]:
    """Split a normalised path into components; of an absolute path, the first includes the leading slashes."""
    slashes = path[: len(path) - len(path.lstrip("/"))]
    parts = [part for part in path[len(slashes) :].split("/") if part and part != "."]
    return [slashes + parts[0], *parts[1:]] if parts else [path]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
