"""What a desk takes, says of itself, and refuses with."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clearcast.errors import ClearcastError
from clearcast.runtime.manifest import Manifest
from clearcast.station.log import LogAway
from clearcast.station.records import Record

LOG_AWAY = (
    "the log cannot be reached or written just now; whoever looks after the station finds the reason in its output"
)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A picture that is handed in.

    Attributes:
        data: its bytes as they came, of any kind.
        name: what the sender calls it; any text.
        station: which station, camera or line sends it; "" where nobody said.
    """

    data: bytes = field(repr=False)
    name: str
    station: str = ""


@dataclass(frozen=True, kw_only=True)
class State:
    """How a desk stands.

    Attributes:
        ready: whether pictures can be inspected, kept and logged just now.
        reasons: why not, a sentence each; for people.
        model: the bundle's name as inspections give it; None until it is loaded. So are the next three.
        threshold: the probability above which the verdict is defect, 0..1; None also where it judges nothing.
        has_evidence: whether it says where a defect is.
        manifest: all that it says of itself.
        shadow: the name of the bundle in shadow; None where there is none, or until it is loaded.
        shadow_fault: why there is no opinion of the bundle in shadow, though there should be; "" where there is.
        waiting: pictures that were taken and not answered yet.
        repeats: pictures since the start that were the same as their sender's one before.
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


class DeskFull(ClearcastError):  # noqa: N818 - named by what is so, not by whose fault it is
    """So many pictures wait that no more are taken; try again in ``retry_after`` seconds."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"{waiting} pictures wait already; try again in {retry_after} s")
        self.retry_after = retry_after


class DeskAway(ClearcastError):  # noqa: N818 - as above
    """The bundle, the log or the pictures' folder is away; try again later.

    Attributes:
        logged: inspections of the same request that were logged before it went away, in their order.
    """

    def __init__(self, reason: str, logged: Sequence[Record] = ()) -> None:
        super().__init__(reason)
        self.logged = tuple(logged)


def told_to_all(error: ClearcastError) -> str:
    """What anybody may read of an error: nothing of paths, addresses and users of the log's database."""
    return LOG_AWAY if isinstance(error, LogAway) else str(error)
