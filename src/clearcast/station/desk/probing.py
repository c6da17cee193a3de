"""Finding out beforehand whether the log and the shelf work, on threads that may hang with them."""

import logging
import threading
import time
from collections.abc import Callable

from clearcast.errors import ClearcastError
from clearcast.station.desk.words import told_to_all

_STEADY = 15.0  # seconds between two probes of what works
_SILENCE = 5.0  # seconds after which a probe that is under way counts as a fault
_logger = logging.getLogger("uvicorn.error")


class Probe:
    """Tries again and again whether something works, and tells why it does not.

    Args:
        name: of what is tried, as messages call it.
        works: raises if it does not work.
        pause: seconds between two probes while it does not work.
    """

    def __init__(self, name: str, works: Callable[[], None], pause: float) -> None:
        self._name = name
        self._works = works
        self._pause = pause
        self._fault = ""
        self._begun: float | None = None  # when the probe that is under way began
        self._changed = threading.Event()
        self._over = False

    @property
    def fault(self) -> str:
        """Why it does not work, in words for everybody; "" if it does. Asks nobody."""
        begun = self._begun
        if begun is not None and time.monotonic() - begun > _SILENCE:
            return f"{self._name} does not answer"
        return self._fault

    def note(self, error: Exception) -> str:
        """Take up that it failed elsewhere, and probe soon; gives the reason in words for everybody."""
        self._set(error)
        self._changed.set()
        return self._fault

    def run(self) -> None:
        """Probe until ``stop`` is called."""
        self._try()
        while True:
            changed = self._changed.wait(self._pause if self._fault else _STEADY)
            self._changed.clear()
            if self._over:
                return
            if not changed:  # else it failed just now: give it time
                self._try()

    def stop(self) -> None:
        """End ``run`` after the probe that is under way."""
        self._over = True
        self._changed.set()

    def _try(self) -> None:
        self._begun = time.monotonic()
        try:
            self._works()
        except Exception as error:  # of whatever kind: it is tried until it works
            self._set(error)
        else:
            self._fault = ""
        finally:
            self._begun = None

    def _set(self, error: Exception) -> None:
        fault = told_to_all(error) if isinstance(error, ClearcastError) else f"{self._name} fails"
        if fault != self._fault:  # the reason in full is for those who see the station's output
            _logger.warning("%s does not work: %s", self._name, error, exc_info=not isinstance(error, ClearcastError))
        self._fault = fault
