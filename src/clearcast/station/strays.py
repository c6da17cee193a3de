"""What lies among a station's pictures and is not the station's own: it is left alone, and reported once."""

import logging
from collections import Counter
from pathlib import Path

_NAMES = 20  # that are reported each; a folder of photographs somebody put there may hold a million
_OTHERS = "other names"
_logger = logging.getLogger(__name__)


class Strays:
    """Counts stray files and folders by name during a sweep.

    Args:
        reported: names that were reported before; those of this sweep are added to it by ``report``.
    """

    def __init__(self, reported: set[str]) -> None:
        self._reported = reported
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, path: Path, reason: str) -> None:
        """Count a path that is left alone."""
        name = path.name if path.name in self._counts or len(self._counts) < _NAMES else _OTHERS
        self._counts[name] += 1
        self._first.setdefault(name, f"{path} ({reason})")

    def report(self) -> None:
        """Log those whose name was not reported before, in one line."""
        new = [name for name in self._counts if name not in self._reported]
        if not new:
            return
        self._reported.update(new)
        told = "; ".join(f"{self._counts[name]} x {name}, such as {self._first[name]}" for name in new)
        _logger.warning(
            "Among the station's pictures lies what is not the station's own; it is left alone and not counted: %s",
            told,
        )
