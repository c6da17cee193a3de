"""Frozen cameras of a station: the same picture again and again from one sender, in the order of the log."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

from clearcast.runtime.repeats import Repeats, frozen_reason
from clearcast.station.records import Entry

_STATIONS = 1000  # senders that are remembered, those heard of last


class StationRepeats:
    """Counts equal pictures in a row for each station name. The thread that logs uses it alone; others may read.

    Attributes:
        total: pictures so far that were the same as the sender's one before.
    """

    def __init__(self) -> None:
        self._of: OrderedDict[str, Repeats] = OrderedDict()
        self.total = 0

    @contextmanager
    def marked(self, entries: Sequence[Entry]) -> Iterator[list[Entry]]:
        """The entries to log, those of a frozen camera with an error instead of a verdict.

        They count only if what is done with them succeeds: what could not be logged will be sent again.
        """
        changed: dict[str, Repeats] = {}
        marked = []
        for entry in entries:
            if entry.station not in changed:
                changed[entry.station] = copy(self._of.get(entry.station, Repeats()))
            marked.append(_marked(entry, changed[entry.station].count(entry.name, entry.pixels)))
        yield marked
        for station, repeats in changed.items():
            before = self._of.pop(station, None)
            self._of[station] = repeats
            self.total += repeats.total - (before.total if before else 0)
        while len(self._of) > _STATIONS:
            self._of.popitem(last=False)


def _marked(entry: Entry, place: int | None) -> Entry:
    if place is None or entry.error:
        return entry
    error = f"{entry.name}: {frozen_reason(place)}"
    shadow = entry.shadow and replace(entry.shadow, verdict=None, p_defect=None, error=error)
    return replace(
        entry,
        verdict=None,
        p_defect=None,
        noise_type=None,
        noise_level="",
        p_noise=None,
        ms=None,
        error=error,
        brightness=None,
        sharpness=None,
        sigma=None,
        density=None,
        shadow=shadow,  # else it would differ from the verdict that is missing
    )
