"""Index of inspected files: compact sets of their names, file states and content hashes."""

import hashlib
from typing import Any

import numpy as np

from clearcast.core.errors import PictureError
from clearcast.core.files import escape_name
from clearcast.inference.sources.item import FileState, SourceItem

_HASH_BYTES = 16  # of a name's hash; two of a billion names collide with a probability of 1e-21
_MERGE_SIZE = 65_536  # recent names, at least, that are merged into the sorted array


class NameSet:
    """Add-only set of names: 16 bytes per name, so that ten million take 160 MB instead of two gigabytes."""

    def __init__(self) -> None:
        self._sorted = np.empty(0, f"S{_HASH_BYTES}")
        self._recent: set[bytes] = set()

    def __len__(self) -> int:
        self._merge()
        return len(self._sorted)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        digest = _digest(name)
        if digest in self._recent:
            return True
        index = int(np.searchsorted(self._sorted, np.bytes_(digest)))
        return index < len(self._sorted) and bytes(self._sorted[index]) == digest

    def add(self, name: str) -> None:
        """Add a name; no effect if it is there already."""
        self._recent.add(_digest(name))
        if len(self._recent) >= _MERGE_SIZE + len(self._sorted) // 4:
            self._merge()

    def _merge(self) -> None:
        if self._recent:
            self._sorted = np.union1d(self._sorted, np.array(list(self._recent), self._sorted.dtype))
            self._recent.clear()


def _digest(name: str) -> bytes:
    """Return the hash of a name, without trailing zero bytes, which NumPy strips too."""
    return hashlib.blake2b(escape_name(name).encode(), digest_size=_HASH_BYTES).digest().rstrip(b"\0")


class InspectedIndex:
    """Index of inspected files: names, file states and content hashes, at most 64 bytes per row.

    A file is identified by name, size and modification time, or by name and content: another image under a known name
    is a new one. Rows without a state (of older results files, and of video frames) identify their image by its name.
    """

    def __init__(self) -> None:
        self._stateless = NameSet()
        self._names = NameSet()
        self._states = NameSet()
        self._sizes = NameSet()
        self._contents = NameSet()

    def __len__(self) -> int:
        """Return the number of images with a row."""
        return len(self._stateless) + len(self._names)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a row of this name, whatever its file contained."""
        return name in self._names or name in self._stateless

    def add(self, name: str, state: FileState | None = None, sha256: str | None = None) -> None:
        """Add a row: its name, the state of its file at inspection, and the SHA-256 of the bytes."""
        if state is None:
            if name not in self._names:
                self._stateless.add(name)
        else:
            self._names.add(name)
            self._states.add(f"{name}\0{state}")
            self._sizes.add(f"{name}\0{state.size}")
        if sha256:
            self._contents.add(f"{name}\0{sha256}")

    def add_row(self, row: dict[str, Any]) -> None:
        """Add a row as returned by ``result_rows.complete_row``."""
        size, modified = row["size"], row["modified"]
        state = FileState(size=size, modified=modified) if size is not None and modified else None
        self.add(row["path"], state, row["sha256"])

    def has_state(self, name: str, state: FileState) -> bool:
        """Return whether there is a row of a file of this name in this state."""
        return f"{name}\0{state}" in self._states

    def has_content(self, name: str, sha256: str) -> bool:
        """Return whether there is a row of a file of this name with these bytes."""
        return f"{name}\0{sha256}" in self._contents

    def is_stateless(self, name: str) -> bool:
        """Return whether the rows of this name have no file state."""
        return name in self._stateless and name not in self._names

    def covers(self, item: SourceItem) -> bool:
        """Return whether an image has a row for its current file.

        A file of equal size but another time is read and compared.
        """
        if item.name not in self:
            return False
        state = item.state()
        if state is None or self.is_stateless(item.name) or self.has_state(item.name, state):
            return True
        return f"{item.name}\0{state.size}" in self._sizes and self._has_same_content(item)

    def _has_same_content(self, item: SourceItem) -> bool:
        try:
            data = item.read()
        except PictureError:  # the inspection will report it
            return False
        return isinstance(data, bytes) and self.has_content(item.name, hashlib.sha256(data).hexdigest())
