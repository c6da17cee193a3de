"""What an inspection station is made of, as the API is handed it."""

from dataclasses import dataclass, field
from pathlib import Path

from clearcast.station.api.tokens import Tokens
from clearcast.station.desk import Desk
from clearcast.station.log import Log
from clearcast.station.shelf import Shelf


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is taken from one sender.

    Attributes:
        bytes: of one picture's file.
        pixels: of one picture, as its header says.
        files: of one request.
        request_bytes: of one request with pictures; of any other, ``OTHER_BYTES`` of ``guard``.
        held_bytes: of all whole requests whose pictures are in memory at the same time; those that still arrive hold
            ``request_bytes`` together at most, and so do pictures that are being sent ``held_bytes``.
    """

    bytes: int = 64 * 1024 * 1024
    pixels: int = 30_000_000
    files: int = 32
    request_bytes: int = 256 * 1024 * 1024
    held_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long pictures are kept; None: for ever. Those that people gave feedback on are kept."""

    days: float | None = None
    bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Station:
    """What the API works with.

    Attributes:
        desk: inspects.
        log: keeps what was said.
        shelf: keeps the pictures.
        name: of this station, for inspections whose sender names none.
        tokens: who may do what; None: whoever reaches the station may do everything.
        hosts: the names by which the station may be addressed, without port; None: any.
        signed_out: the file that keeps which sessions were signed out of; None: only memory does.
    """

    desk: Desk
    log: Log
    shelf: Shelf
    name: str = ""
    limits: Limits = field(default_factory=Limits)
    retention: Retention = field(default_factory=Retention)
    tokens: Tokens | None = None
    hosts: frozenset[str] | None = None
    signed_out: Path | None = None
