"""Path prefix of a reverse proxy (X-Forwarded-Prefix), so that URLs in responses lead back through it."""

import re
from typing import Annotated

from fastapi import Depends, Request

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]{1,100}){1,10}/?")


async def prefix_of(request: Request) -> str:
    """Read the path in X-Forwarded-Prefix, such as ``/clearcast``; "" if there is none.

    A sender can only change the URLs in its own response. Anything but a plain path is ignored, such as one that begins
    with two slashes, which browsers read as a host.
    """
    given = request.headers.get("x-forwarded-prefix", "")
    return given.rstrip("/") if _PREFIX.fullmatch(given) else ""


Prefix = Annotated[str, Depends(prefix_of)]
