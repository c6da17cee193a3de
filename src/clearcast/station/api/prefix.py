"""Below which path a proxy shows the station, so that addresses in answers lead back through it."""

import re
from typing import Annotated

from fastapi import Depends, Request

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]{1,100}){1,10}/?")


async def prefix_of(request: Request) -> str:
    """The path that a proxy says in X-Forwarded-Prefix, such as ``/clearcast``; "" where there is none.

    Whoever sends it changes the addresses in their own answer alone; what is no plain path is not taken, such as one
    that begins with two slashes, which browsers take for a host.
    """
    given = request.headers.get("x-forwarded-prefix", "")
    return given.rstrip("/") if _PREFIX.fullmatch(given) else ""


Prefix = Annotated[str, Depends(prefix_of)]
