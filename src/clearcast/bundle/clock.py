"""How long the phases of a training take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Minutes of each phase; where an earlier call was stopped, those of this call alone."""

    def __init__(self) -> None:
        self.minutes: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what is done within."""
        begun = time.perf_counter()
        yield
        self.minutes[name] = round((time.perf_counter() - begun) / 60, 2)
