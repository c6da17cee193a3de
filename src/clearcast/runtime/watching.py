"""Inspect pictures as they arrive in a folder.

The folder is listed again and again, which works on every file system, also on network drives. The results file is the
memory: see ``arrivals``.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Protocol

from clearcast.domain import Inspection, Verdict
from clearcast.runtime.alarms import Alarms
from clearcast.runtime.arrivals import Arrivals
from clearcast.runtime.repeats import Repeats
from clearcast.runtime.sinks import Sink
from clearcast.runtime.sources import Item

PAUSE = 0.25  # seconds between two looks at the folder
_REST = 2.0  # a pause lasts at least so many times as long as the look before: large folders shall not keep a core busy
_TURN = 1.0  # seconds; after these, or five times those of a look, the folder is looked at again
_LOOKS_A_TURN = 5.0


class Predicts(Protocol):
    """Something that inspects pictures, as ``clearcast.load`` gives it."""

    def predict(self, source: Iterable[Item], /) -> Generator[Inspection, None, None]:
        """One inspection an item, in their order."""


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
    """Write a row for each picture that arrives, and raise alarms for defects, retakes and pictures without a verdict.

    The row is written before the alarm is raised: where the process is killed between the two, the alarm is lost.

    Args:
        inspector: inspects.
        arrivals: of the folder that is watched.
        sink: a live results file.
        alarms: of the verdicts that somebody must act on: all but ok.
        stop: ends the watch, after the picture under way.
        once: end when no picture is waited for.
        seen: called with each inspection that was written; it must not wait for anything.

    Returns:
        how many pictures were the same as the one before.
    """
    repeats = Repeats()

    def write(found: Inspection) -> None:
        inspection = repeats.see(found)
        sink.write(inspection)
        if inspection.error or inspection.verdict in {Verdict.DEFECT, Verdict.RETAKE}:
            alarms.raise_for(inspection)  # an error too: no part passes that nobody judged
        seen(inspection)

    while not stop.is_set():
        begun = time.monotonic()
        ready = arrivals.look()
        looked = time.monotonic() - begun
        for lost in arrivals.take_lost():
            write(lost)
        if once and not arrivals.waited_for:
            break
        turn = _in_turn(ready, max(_TURN, _LOOKS_A_TURN * looked))
        if not ready or not _inspect(inspector.predict(turn), arrivals, write, stop):
            stop.wait(max(PAUSE, _REST * looked))
    return repeats.total


def _in_turn(ready: Iterable[Item], seconds: float) -> Iterator[Item]:
    """The first pictures, as many as are taken within some seconds: in a long row, one may be overwritten meanwhile."""
    end = time.monotonic() + seconds
    for item in ready:
        yield item
        if time.monotonic() > end:
            return


def _inspect(
    inspections: Generator[Inspection, None, None],
    arrivals: Arrivals,
    write: Callable[[Inspection], None],
    stop: threading.Event,
) -> int:
    """Write the inspections that are final; how many these are."""
    written = 0
    with closing(inspections):
        for inspection in inspections:
            if arrivals.take(inspection):
                write(inspection)
                written += 1
            if stop.is_set():
                break
    return written
