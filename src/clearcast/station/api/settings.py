"""Components and settings of a station, and the path prefix of a reverse proxy (X-Forwarded-Prefix)."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from clearcast.station.api.tokens import StationTokens
from clearcast.station.image_store import ImageStore
from clearcast.station.log import InspectionLog
from clearcast.station.service import InspectionService

_PREFIX_PATTERN = re.compile(r"(/[A-Za-z0-9._~-]{1,100}){1,10}/?")


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    """Upload limits.

    Attributes:
        bytes: of one image file.
        pixels: of one image, according to its header.
        files: of one request.
        request_bytes: of one request with images, and of all requests that are still arriving together; any other
            request may have ``middleware.MAX_OTHER_BODY_BYTES``.
        held_bytes: of all complete requests whose images are in memory at one time, and likewise of all image
            responses.
    """

    bytes: int = 64 * 1024 * 1024
    pixels: int = 30_000_000
    files: int = 32
    request_bytes: int = 256 * 1024 * 1024
    held_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class RetentionLimits:
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

    service: InspectionService
    log: InspectionLog
    image_store: ImageStore
    name: str = ""
    limits: UploadLimits = field(default_factory=UploadLimits)
    retention: RetentionLimits = field(default_factory=RetentionLimits)
    tokens: StationTokens | None = None
    hosts: frozenset[str] | None = None
    signed_out: Path | None = None


async def get_path_prefix(request: Request) -> str:
    """Read the path in X-Forwarded-Prefix, such as ``/clearcast``; "" if there is none.

    With it, URLs in responses lead back through the proxy.

    A sender can only change the URLs in its own response. Anything but a plain path is ignored, such as one that begins
    with two slashes, which browsers read as a host.
    """
    given = request.headers.get("x-forwarded-prefix", "")
    return given.rstrip("/") if _PREFIX_PATTERN.fullmatch(given) else ""


PathPrefixDep = Annotated[str, Depends(get_path_prefix)]
