"""Components and settings of an inspection station, as the API uses them."""

from dataclasses import dataclass, field
from pathlib import Path

from clearcast.station.api.tokens import Tokens
from clearcast.station.desk import Desk
from clearcast.station.log import Log
from clearcast.station.shelf import Shelf


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Upload limits.

    Attributes:
        bytes: of one image file.
        pixels: of one image, according to its header.
        files: of one request.
        request_bytes: of one request with images, and of all requests that are still arriving together; any other
            request may have ``guard.OTHER_BYTES``.
        held_bytes: of all complete requests whose images are in memory at one time, and likewise of all image
            responses.
    """

    bytes: int = 64 * 1024 * 1024
    pixels: int = 30_000_000
    files: int = 32
    request_bytes: int = 256 * 1024 * 1024
    held_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Retention of images by age and total size; None: unlimited. Images with feedback are always kept."""

    days: float | None = None
    bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Station:
    """Components and settings that the API works with.

    Attributes:
        service: inspects images.
        log: stores inspections and feedback.
        image_store: stores images.
        name: of this station, for inspections whose sender gives none.
        limits: on uploads.
        retention: of images.
        tokens: of operators and readers; None: everybody who reaches the station may do everything.
        hosts: host names of the station, without port; None: any.
        signed_out: file of revoked sessions; None: in memory only.
    """

    service: Desk
    log: Log
    image_store: Shelf
    name: str = ""
    limits: Limits = field(default_factory=Limits)
    retention: Retention = field(default_factory=Retention)
    tokens: Tokens | None = None
    hosts: frozenset[str] | None = None
    signed_out: Path | None = None
