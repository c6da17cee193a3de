"""Health probes of the log and the image store, on threads of their own, since a probe may hang."""

import logging
import threading
import time
from collections.abc import Callable

from clearcast.errors import ClearcastError
from clearcast.station.desk.words import told_to_all

_INTERVAL = 15.0  # seconds between two probes while the back end works
_TIMEOUT = 5.0  # seconds after which a running probe counts as a fault
_logger = logging.getLogger("uvicorn.error")


class Probe:
    """Probes a back end periodically and reports its fault.

    Args:
        name: of the back end, for messages.
        check: raises if the back end does not work.
        pause: seconds between two probes while it does not work.
    """

    def __init__(self, name: str, check: Callable[[], None], pause: float) -> None:
        self._name = name
        self._check = check
        self._pause = pause
        self._fault = ""
        self._started: float | None = None  # when the running probe began
        self._changed = threading.Event()
        self._stopped = False

    @property
    def fault(self) -> str:
        """Why the back end does not work, as a public message; "" if it works. Never blocks."""
        started = self._started
        if started is not None and time.monotonic() - started > _TIMEOUT:
            return f"{self._name} does not respond"
        return self._fault

    def report_failure(self, error: Exception) -> str:
        """Record a failure of the back end and probe it soon; return the reason as a public message."""
        self._set_fault(error)
        self._changed.set()
        return self._fault

    def run(self) -> None:
        """Probe until ``stop`` is called."""
        self._probe()
        while True:
            changed = self._changed.wait(self._pause if self._fault else _INTERVAL)
            self._changed.clear()
            if self._stopped:
                return
            if not changed:  # else it has just failed: give it time
                self._probe()

    def stop(self) -> None:
        """End ``run`` after the running probe."""
        self._stopped = True
        self._changed.set()

    def _probe(self) -> None:
        self._started = time.monotonic()
        try:
            self._check()
        except Exception as error:  # any kind: the probe is repeated
            self._set_fault(error)
        else:
            self._fault = ""
        finally:
            self._started = None

    def _set_fault(self, error: Exception) -> None:
        fault = told_to_all(error) if isinstance(error, ClearcastError) else f"{self._name} fails"
        if fault != self._fault:  # the full reason goes to the station's own output only
            _logger.warning("%s does not work: %s", self._name, error, exc_info=not isinstance(error, ClearcastError))
        self._fault = fault
