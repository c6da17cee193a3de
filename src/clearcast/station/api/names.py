"""The names of stations that a log may hold: few enough to be counted, charted and chosen by."""

import threading

from clearcast.station.api.problems import refused
from clearcast.station.log import Log

MOST_NAMES = 1000  # of stations in a log; with each, the log counts every verdict and noise type by the minute


class StationNames:
    """Admits names of stations; those that the log holds already, and new ones up to ``MOST_NAMES`` in all."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def admit(self, name: str) -> None:
        """Let a name through; asks the log for those that are new.

        Raises:
            HTTPException: 422, the log holds too many names already.
            LogAway: the log cannot be read just now.
        """
        if not name or name in self._known:
            return
        with self._lock:
            self._known.update(self._log.stations())
            if name not in self._known and len(self._known) >= MOST_NAMES:
                raise refused(
                    422,
                    f"The station {name!r} is new, and the log holds {len(self._known):,} names of stations already; "
                    f"at most {MOST_NAMES:,} are taken. Send one of those, and tell parts apart by their files' names",
                )
            self._known.add(name)
