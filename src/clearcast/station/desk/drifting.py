"""Drift monitor: compares the latest inspections of the log with the bundle's drift reference."""

import contextlib
import math
import threading
import time

from clearcast.domain import Inspection, Looks
from clearcast.runtime.drift import Drift
from clearcast.station.desk.bundles import Loaded
from clearcast.station.log import Log, LogAway
from clearcast.station.records import Entry

_WINDOW = 500  # images
_REFRESH_INTERVAL = 60.0  # seconds


class DriftWatch:
    """Reports drift in the latest inspections of a log; updated at most once a minute."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._sentences: list[str] = []
        self._refresh_at = -math.inf

    def sentences(self, bundle: Loaded) -> list[str]:
        """Describe the drift, see ``clearcast.runtime.drift``; the last result while the log is unavailable or busy."""
        if time.monotonic() >= self._refresh_at and bundle.reference and self._lock.acquire(blocking=False):
            try:
                self._refresh_at = time.monotonic() + _REFRESH_INTERVAL
                with contextlib.suppress(LogAway):
                    self._sentences = self._compute(bundle.inspector.name, Drift(bundle.reference))
            finally:
                self._lock.release()
        return self._sentences

    def _compute(self, model: str, drift: Drift) -> list[str]:
        for entry in self._log.latest(model, _WINDOW):
            drift.add(_to_inspection(entry))
        return drift.sentences()


def _to_inspection(entry: Entry) -> Inspection:
    """Convert an entry to an inspection for ``Drift``."""
    looks = None
    if entry.brightness is not None:
        looks = Looks(brightness=entry.brightness, sharpness=entry.sharpness, sigma=entry.sigma, density=entry.density)
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
