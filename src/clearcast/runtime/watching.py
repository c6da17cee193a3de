"""Inspect pictures as they arrive in a folder.

The folder is listed again and again, which works on every file system, also on network drives. The results file is the
memory: a picture whose row is there is never inspected again, one without is, whenever it came. A picture is known by
its path, so each needs a name of its own.
"""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clearcast.domain import Inspection, Verdict
from clearcast.runtime.alarms import Alarms
from clearcast.runtime.repeats import Repeats
from clearcast.runtime.sinks import Done, Sink
from clearcast.runtime.sources import Item, SourceError
from clearcast.runtime.sources.folders import folder_items

PAUSE = 0.5  # seconds between two looks at the folder
_REST = 2.0  # a pause lasts at least so many times as long as the look before: large folders shall not keep a core busy


class Predicts(Protocol):
    """Something that inspects pictures, as ``clearcast.load`` gives it."""

    def predict(self, source: Sequence[Item], /) -> Generator[Inspection, None, None]:
        """One inspection an item, in their order."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """When a new picture counts as whole.

    Attributes:
        settle: seconds for which its size and time of change stay as they are; then it is inspected.
        patience: seconds more for one that cannot be decoded then, since whoever writes it may have paused; after that
            its error is written.
    """

    settle: float = 1.0
    patience: float = 30.0


@dataclass(slots=True)
class _Sight:
    item: Item
    state: tuple[int, int]  # size in bytes, time of change in nanoseconds
    since: float
    tried: bool = False


def watched_folder(folder: Path) -> Path:
    """The absolute path of a folder, so that pictures' names do not depend on where the program was started.

    Raises:
        SourceError: there is no such folder.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder; needed is one in which pictures arrive")
    return folder.absolute()


class Arrivals:
    """The new pictures of a folder: those that are not ``known``. ``clock`` gives seconds that only grow."""

    def __init__(
        self, folder: Path, known: Done, waiting: Waiting = Waiting(), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._known = known
        self._rule = waiting
        self._clock = clock
        self._sights: dict[str, _Sight] = {}

    @property
    def waited_for(self) -> int:
        """How many pictures are there that have no row yet."""
        return len(self._sights)

    def look(self) -> list[Item]:
        """The pictures that should be whole by now."""
        now = self._clock()
        self._sights = {item.name: sight for item in folder_items(self._folder) if (sight := self._see(item, now))}
        return [sight.item for sight in self._sights.values() if now - sight.since >= self._wait(sight)]

    def take(self, inspection: Inspection) -> bool:
        """Whether an inspection is final; it is not where the picture was in error and may still be being written."""
        sight = self._sights[inspection.path]
        if inspection.error and not sight.tried:
            sight.tried = True
            return False
        del self._sights[inspection.path]
        self._known.add(inspection.path)
        return True

    def _see(self, item: Item, now: float) -> _Sight | None:
        if item.name in self._known:
            return None
        try:
            facts = Path(item.name).stat()
        except FileNotFoundError:  # renamed or moved since the folder was listed
            return None
        except OSError:
            state = 0, 0  # reading it will say why
        else:
            state = facts.st_size, facts.st_mtime_ns
        before = self._sights.get(item.name)
        return before if before and before.state == state else _Sight(item, state, now)

    def _wait(self, sight: _Sight) -> float:
        return self._rule.settle + (self._rule.patience if sight.tried else 0)


def watch(
    inspector: Predicts,
    arrivals: Arrivals,
    sink: Sink,
    alarms: Alarms,
    *,
    stop: threading.Event,
    once: bool,
    seen: Callable[[Inspection], None],
) -> int:
    """Write a row for each picture that arrives, and raise alarms for defects, and for pictures to be retaken.

    The row is written before the alarm is raised: where the process is killed between the two, the alarm is lost.

    Args:
        inspector: inspects.
        arrivals: of the folder that is watched.
        sink: a live results file.
        alarms: of the verdicts that somebody must act on: all but ok.
        stop: ends the watch, after the picture under way.
        once: end when no picture is waited for.
        seen: called with each inspection that was written.

    Returns:
        how many pictures were the same as the one before.
    """
    repeats = Repeats()
    while not stop.is_set():
        begun = time.monotonic()
        ready = arrivals.look()
        looked = time.monotonic() - begun
        if ready:
            _inspect(inspector.predict(ready), arrivals, sink, alarms, repeats, stop, seen)
        elif once and not arrivals.waited_for:
            break
        else:
            stop.wait(max(PAUSE, _REST * looked))
    return repeats.total


def _inspect(
    inspections: Generator[Inspection, None, None],
    arrivals: Arrivals,
    sink: Sink,
    alarms: Alarms,
    repeats: Repeats,
    stop: threading.Event,
    seen: Callable[[Inspection], None],
) -> None:
    with closing(inspections):
        for found in inspections:
            if arrivals.take(found):
                inspection = repeats.see(found)
                sink.write(inspection)
                seen(inspection)
                if inspection.verdict in {Verdict.DEFECT, Verdict.RETAKE}:
                    alarms.raise_for(inspection)
            if stop.is_set():
                return
