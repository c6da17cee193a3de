"""Stray files in the image store that are not the station's own: left alone, and reported once."""

import logging
from collections import Counter
from pathlib import Path

_MAX_NAMES = 20  # names reported; a folder somebody put there may hold a million files
_OTHER_NAMES = "other names"
_logger = logging.getLogger(__name__)


class Strays:
    """Counts stray files and folders by name during a retention run.

    Args:
        reported: names that were reported before; ``report`` adds those of this run.
    """

    def __init__(self, reported: set[str]) -> None:
        self._reported = reported
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, path: Path, reason: str) -> None:
        """Count a stray path."""
        name = path.name if path.name in self._counts or len(self._counts) < _MAX_NAMES else _OTHER_NAMES
        self._counts[name] += 1
        self._first.setdefault(name, f"{path} ({reason})")

    def report(self) -> None:
        """Log the names that were not reported before, in one line."""
        new = [name for name in self._counts if name not in self._reported]
        if not new:
            return
        self._reported.update(new)
        listed = "; ".join(f"{self._counts[name]} x {name}, such as {self._first[name]}" for name in new)
        _logger.warning(
            "The image store contains files that are not the station's own; they are left alone and not counted: %s",
            listed,
        )
