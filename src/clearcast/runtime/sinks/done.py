"""Compact set of names, for the images that already have results."""

import hashlib

import numpy as np

from clearcast.filenames import escape_name

_BYTES = 16  # of a name's hash; two of a billion names collide with a probability of 1e-21
_RECENT = 65_536


class Done:
    """Add-only set of names: 16 bytes per name, so that ten million take 160 MB instead of two gigabytes."""

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
        index = int(np.searchsorted(self._sorted, np.bytes_(digest)))
        return index < len(self._sorted) and bytes(self._sorted[index]) == digest

    def add(self, name: str) -> None:
        """Add a name; no effect if it is there already."""
        self._recent.add(_digest(name))
        if len(self._recent) >= _RECENT + len(self._sorted) // 4:
            self._merge()

    def _merge(self) -> None:
        if self._recent:
            self._sorted = np.union1d(self._sorted, np.array(list(self._recent), self._sorted.dtype))
            self._recent.clear()


def _digest(name: str) -> bytes:
    """Hash of a name, without trailing zero bytes, which NumPy strips too."""
    return hashlib.blake2b(escape_name(name).encode(), digest_size=_BYTES).digest().rstrip(b"\0")
