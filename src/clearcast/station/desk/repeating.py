"""Detection of frozen cameras: identical images in a row from one sender, in the order of the log."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

from clearcast.runtime.repeats import Repeats, frozen_reason
from clearcast.station.records import Entry

_MAX_STATIONS = 1000  # senders to remember, the most recent ones


class StationRepeats:
    """Counts identical images in a row per station name. Only the log writer's thread may update it; others may read.

    Attributes:
        total: images so far that were identical to the sender's previous one.
    """

    def __init__(self) -> None:
        self._by_station: OrderedDict[str, Repeats] = OrderedDict()
        self.total = 0

    @contextmanager
    def mark_repeats(self, entries: Sequence[Entry]) -> Iterator[list[Entry]]:
        """Yield the entries to log; those of a frozen camera have an error instead of a verdict.

        They count only if the block succeeds: entries that were not logged will be sent again.
        """
        changed: dict[str, Repeats] = {}
        marked = []
        for entry in entries:
            if entry.station not in changed:
                changed[entry.station] = copy(self._by_station.get(entry.station, Repeats()))
            marked.append(_with_repeat_error(entry, changed[entry.station].count(entry.name, entry.pixels)))
        yield marked
        for station, repeats in changed.items():
            before = self._by_station.pop(station, None)
            self._by_station[station] = repeats
            self.total += repeats.total - (before.total if before else 0)
        while len(self._by_station) > _MAX_STATIONS:
            self._by_station.popitem(last=False)


def _with_repeat_error(entry: Entry, place: int | None) -> Entry:
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
        shadow=shadow,  # without a verdict either, so that it does not count as different
    )
