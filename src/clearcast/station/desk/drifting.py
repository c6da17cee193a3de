"""Whether the pictures of late are no longer what a bundle was measured on."""

import contextlib
import math
import threading
import time

from clearcast.domain import Inspection, Looks
from clearcast.runtime.drift import Drift
from clearcast.station.desk.bundles import Loaded
from clearcast.station.log import Log, LogAway
from clearcast.station.records import Entry

_LATEST = 500  # pictures
_FRESH = 60.0  # seconds


class DriftWatch:
    """Tells of drift in the latest inspections of a log; looked at once a minute at most."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._told: list[str] = []
        self._until = -math.inf

    def sentences(self, bundle: Loaded) -> list[str]:
        """See ``clearcast.runtime.drift``; what was known last while the log is away or is being asked."""
        if time.monotonic() >= self._until and bundle.reference and self._lock.acquire(blocking=False):
            try:
                self._until = time.monotonic() + _FRESH
                with contextlib.suppress(LogAway):
                    self._told = self._look(bundle.inspector.name, Drift(bundle.reference))
            finally:
                self._lock.release()
        return self._told

    def _look(self, model: str, drift: Drift) -> list[str]:
        for entry in self._log.latest(model, _LATEST):
            drift.add(_inspection(entry))
        return drift.sentences()


def _inspection(entry: Entry) -> Inspection:
    """An entry as drift looks at it."""
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
