"""Request, status and error types of the inspection service."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clearcast.errors import ClearcastError
from clearcast.runtime.manifest import Manifest
from clearcast.station.log import LogAway
from clearcast.station.records import Record

LOG_AWAY = "the log cannot be reached or written at the moment; the station's own output has the reason"


@dataclass(frozen=True, kw_only=True)
class Upload:
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
class State:
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


class DeskFull(ClearcastError):  # noqa: N818 - named by the state
    """The queue is full; try again in ``retry_after`` seconds."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"the queue is full ({waiting} images are waiting); try again in {retry_after} s")
        self.retry_after = retry_after


class DeskAway(ClearcastError):  # noqa: N818 - as above
    """The bundle, the log or the image store is unavailable; try again later.

    Attributes:
        logged: inspections of the same request that were logged before the failure, in order.
    """

    def __init__(self, reason: str, logged: Sequence[Record] = ()) -> None:
        super().__init__(reason)
        self.logged = tuple(logged)


def told_to_all(error: ClearcastError) -> str:
    """Return an error's public message, without paths, addresses and users of the log's database."""
    return LOG_AWAY if isinstance(error, LogAway) else str(error)
