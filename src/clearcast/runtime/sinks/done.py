"""The names that results hold already, in little memory."""

import hashlib

import numpy as np

from clearcast.filenames import escape_name

_BYTES = 16  # of a name's hash; two of a billion names agree with a probability of 1e-21
_RECENT = 65_536


class Done:
    """A set of names that can only grow: 16 bytes a name, so that ten millions take 160 MB and not two gigabytes."""

    def __init__(self) -> None:
        self._sorted = np.empty(0, f"S{_BYTES}")
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
        place = int(np.searchsorted(self._sorted, np.bytes_(digest)))
        return place < len(self._sorted) and bytes(self._sorted[place]) == digest

    def add(self, name: str) -> None:
        """Take a name up; one that is there already changes nothing."""
        self._recent.add(_digest(name))
        if len(self._recent) >= _RECENT + len(self._sorted) // 4:
            self._merge()

    def _merge(self) -> None:
        if self._recent:
            self._sorted = np.union1d(self._sorted, np.array(list(self._recent), self._sorted.dtype))
            self._recent.clear()


def _digest(name: str) -> bytes:
    """Zero bytes at the end, which NumPy takes off, are taken off here too."""
    return hashlib.blake2b(escape_name(name).encode(), digest_size=_BYTES).digest().rstrip(b"\0")
