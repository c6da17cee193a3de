"""Uploads, status, errors and health probes of the inspection service."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clearcast.bundle.manifest import Manifest
from clearcast.core.errors import ClearcastError
from clearcast.station.log import LogUnavailable
from clearcast.station.records import InspectionRecord

LOG_UNAVAILABLE_MESSAGE = "the log cannot be reached or written at the moment; the station's own output has the reason"
_INTERVAL = 15.0  # seconds between two probes while the back end works
_TIMEOUT = 5.0  # seconds after which a running probe counts as a fault
_logger = logging.getLogger("uvicorn.error")


@dataclass(frozen=True, kw_only=True)
class ImageUpload:
    """An uploaded image.

    Attributes:
        data: the bytes as received; any content.
        name: the sender's name of the image; any text.
        station: the station, camera or line that sent it; "" if unknown.
    """

    data: bytes = field(repr=False)
    name: str
    station: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """Status of the inspection service.

    Attributes:
        ready: whether images can be inspected, stored and logged at the moment.
        reasons: why not, one public sentence each.
        model: the bundle's name, as in inspections; None until the bundle is loaded, as the next three.
        threshold: probability above which the verdict is defect, 0..1; None also if the bundle gives no verdict.
        has_evidence: whether the bundle gives heat maps.
        manifest: the bundle's manifest.
        shadow: the shadow bundle's name; None if there is none or it is not loaded yet.
        shadow_fault: why the shadow bundle is not loaded; "" if it is, or if there is none.
        waiting: images that were accepted and not answered yet.
        repeats: images since the start that were identical to their sender's previous one.
    """

    ready: bool
    reasons: tuple[str, ...]
    model: str | None
    threshold: float | None
    has_evidence: bool
    manifest: Manifest | None = field(repr=False)
    shadow: str | None
    shadow_fault: str
    waiting: int
    repeats: int = 0


class QueueFull(ClearcastError):  # noqa: N818 - named by the state
    """The queue is full; try again in ``retry_after`` seconds."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"the queue is full ({waiting} images are waiting); try again in {retry_after} s")
        self.retry_after = retry_after


class ServiceUnavailable(ClearcastError):  # noqa: N818 - as above
    """The bundle, the log or the image store is unavailable; try again later.

    Attributes:
        logged: inspections of the same request that were logged before the failure, in order.
    """

    def __init__(self, reason: str, logged: Sequence[InspectionRecord] = ()) -> None:
        super().__init__(reason)
        self.logged = tuple(logged)


def public_message(error: ClearcastError) -> str:
    """Return an error's public message, without paths, addresses and users of the log's database."""
    return LOG_UNAVAILABLE_MESSAGE if isinstance(error, LogUnavailable) else str(error)


class HealthProbe:
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
        fault = public_message(error) if isinstance(error, ClearcastError) else f"{self._name} fails"
        if fault != self._fault:  # the full reason goes to the station's own output only
            _logger.warning("%s does not work: %s", self._name, error, exc_info=not isinstance(error, ClearcastError))
        self._fault = fault
