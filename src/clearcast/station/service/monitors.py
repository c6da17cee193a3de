"""Monitors of the inspection service: drift from the bundle's reference, and repeated images of frozen cameras."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace

from clearcast.inference.drift import DriftDetector
from clearcast.inference.frozen_camera import RepeatDetector, frozen_camera_message
from clearcast.station.log import InspectionLog, LogUnavailable
from clearcast.station.records import InspectionEntry
from clearcast.station.service.lazy_bundle import LoadedBundle
from clearcast.types import ImageStats, Inspection

_WINDOW = 500  # latest inspections to compare with the drift reference
_REFRESH_INTERVAL = 60.0  # seconds between two computations of drift
_MAX_STATIONS = 1000  # senders to remember, the most recent ones


class DriftMonitor:
    """Reports drift in the latest inspections of a log; updated at most once a minute."""

    def __init__(self, log: InspectionLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._sentences: list[str] = []
        self._refresh_at = -math.inf

    def sentences(self, bundle: LoadedBundle) -> list[str]:
        """Describe the drift, see ``clearcast.inference.drift``.

        The last result while the log is unavailable or busy.
        """
        if time.monotonic() >= self._refresh_at and bundle.reference and self._lock.acquire(blocking=False):
            try:
                self._refresh_at = time.monotonic() + _REFRESH_INTERVAL
                with suppress(LogUnavailable):
                    self._sentences = self._compute(bundle.inspector.name, DriftDetector(bundle.reference))
            finally:
                self._lock.release()
        return self._sentences

    def _compute(self, model: str, drift: DriftDetector) -> list[str]:
        for entry in self._log.latest(model, _WINDOW):
            drift.add(_to_inspection(entry))
        return drift.sentences()


def _to_inspection(entry: InspectionEntry) -> Inspection:
    """Convert an entry to an inspection for ``DriftDetector``."""
    looks = None
    if entry.brightness is not None:
        looks = ImageStats(
            brightness=entry.brightness, sharpness=entry.sharpness, sigma=entry.sigma, density=entry.density
        )
    return Inspection(
        path=entry.name,
        sha256=entry.sha256,
        verdict=entry.verdict,
        p_defect=entry.p_defect,
        threshold=entry.threshold,
        noise_type=entry.noise_type,
        noise_level=entry.noise_level,
        p_noise=entry.p_noise,
        ms=entry.ms,
        model=entry.model,
        error=entry.error,
        looks=looks,
    )


class RepeatedImageCounter:
    """Counts identical images in a row per station name. Only the log writer's thread may update it; others may read.

    Attributes:
        total: images so far that were identical to the sender's previous one.
    """

    def __init__(self) -> None:
        self._by_station: OrderedDict[str, RepeatDetector] = OrderedDict()
        self.total = 0

    @contextmanager
    def mark_repeats(self, entries: Sequence[InspectionEntry]) -> Iterator[list[InspectionEntry]]:
        """Yield the entries to log; those of a frozen camera have an error instead of a verdict.

        They count only if the block succeeds: entries that were not logged will be sent again.
        """
        changed: dict[str, RepeatDetector] = {}
        marked = []
        for entry in entries:
            if entry.station not in changed:
                changed[entry.station] = copy(self._by_station.get(entry.station, RepeatDetector()))
            marked.append(_with_repeat_error(entry, changed[entry.station].count(entry.name, entry.pixels)))
        yield marked
        for station, detector in changed.items():
            before = self._by_station.pop(station, None)
            self._by_station[station] = detector
            self.total += detector.total - (before.total if before else 0)
        while len(self._by_station) > _MAX_STATIONS:
            self._by_station.popitem(last=False)


def _with_repeat_error(entry: InspectionEntry, count: int | None) -> InspectionEntry:
    if count is None or entry.error:
        return entry
    error = f"{entry.name}: {frozen_camera_message(count)}"
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
