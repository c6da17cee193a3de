"""Limit on the number of station names in a log, so that they can be counted, charted and offered as filters."""

import threading

from clearcast.station.api.problems import refused
from clearcast.station.log import Log

MOST_NAMES = 1000  # of stations in a log, which keeps counts by minute, verdict and noise type for each


class StationNames:
    """Registry of station names: admits those in the log, and new ones up to ``MOST_NAMES`` in total."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def admit(self, name: str) -> None:
        """Check a name; for an unknown one, the log is read.

        Raises:
            HTTPException: 422, the log has too many names already.
            LogAway: the log is not available.
        """
        if not name or name in self._known:
            return
        with self._lock:
            self._known.update(self._log.stations())
            if name not in self._known and len(self._known) >= MOST_NAMES:
                raise refused(
                    422,
                    f"The station {name!r} is new, but the log has {len(self._known):,} station names already; the "
                    f"limit is {MOST_NAMES:,}. Use one of those, and distinguish parts by their file names",
                )
            self._known.add(name)
