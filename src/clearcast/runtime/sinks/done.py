"""The names that results hold already, in little memory."""

import hashlib

import numpy as np

from clearcast.runtime.sinks.rows import printable

_BYTES = 16  # of a name's hash; two of a billion names agree with a probability of 1e-21
_RECENT = 65_536


class Done:
    """A set of names that can only grow: 16 bytes a name, so that ten millions take 160 MB and not two gigabytes."""

    def __init__(self) -> None:
        self._sorted = np.empty(0, f"S{_BYTES}")
        self._recent: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._holds(_digest(name))

    def add(self, name: str) -> None:
        """Take a name up; one that is there already changes nothing."""
        digest = _digest(name)
        if not self._holds(digest):
            self._recent.add(digest)
        if len(self._recent) >= _RECENT + len(self._sorted) // 4:
            merged = np.concatenate([self._sorted, np.array(list(self._recent), f"S{_BYTES}")])
            merged.sort()
            self._sorted, self._recent = merged, set()

    def _holds(self, digest: bytes) -> bool:
        if digest in self._recent:
            return True
        place = int(np.searchsorted(self._sorted, np.bytes_(digest)))
        return place < len(self._sorted) and bytes(self._sorted[place]) == digest


def _digest(name: str) -> bytes:
    """Zero bytes at the end, which NumPy takes off, are taken off here too."""
    return hashlib.blake2b(printable(name).encode(), digest_size=_BYTES).digest().rstrip(b"\0")
