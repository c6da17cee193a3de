"""What stands before the API: who is addressed, who asks, how much is sent; and the headers of every answer.

It is plain ASGI, so that it sees a body while it streams in, also one whose length nobody told.
"""

import asyncio
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearcast.station.api.headers import SECURITY
from clearcast.station.api.problems import problem, refused

OTHER_BYTES = 64 * 1024  # of a request without pictures
PATIENCE = 30.0  # seconds without a byte after which a sender has gone
SECONDS = (300.0, 15.0)  # that a request may take to arrive: one with pictures, any other
GRACE = 20.0  # seconds after which a sender is measured
_RATE = 8 * 1024  # bytes a second that it sends on average at least
_SEND_AGAIN = "send it again"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Lets through what may pass.

    Args:
        app: behind it.
        hosts: by which the station may be addressed, without port; None: any. A page of a stranger whose name is
            made to point at this machine (DNS rebinding) still sends its own name.
        picture_bytes: of a request with pictures.
        patience: seconds without a byte after which a sender has gone.
        seconds: that a request with pictures may take to arrive, and any other.
        grace: seconds after which a sender is measured; see ``_RATE``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str] | None,
        picture_bytes: int,
        patience: float = PATIENCE,
        seconds: tuple[float, float] = SECONDS,
        grace: float = GRACE,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._picture_bytes = picture_bytes
        self._patience = patience
        self._seconds = seconds
        self._grace = grace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        pictures = scope["path"] == "/v1/inspect"
        limit = self._picture_bytes if pictures else OTHER_BYTES
        said, told = self._objection(scope["method"], headers), headers.get("content-length", "")
        if said:
            await problem(403, said)(scope, receive, _with_headers(send))
        elif told.isdecimal() and int(told[:20]) > limit:
            await problem(413, _too_much(limit))(scope, receive, _with_headers(send))
        else:
            seconds = self._seconds[0 if pictures else 1]
            await self._app(scope, self._limited(receive, limit, seconds), _with_headers(send))

    def _objection(self, method: str, headers: Headers) -> str:
        """Why a request is refused; "" where it is not."""
        host = headers.get("host", "")
        if self._hosts is not None and _name_of(host) not in self._hosts:
            names = ", ".join(sorted(self._hosts))
            return f"This station is not addressed by that name; its names are {names}, or any with --token-file"
        if method in _SAFE:
            return ""
        return "" if _is_own_page(headers) else "A page of another origin may not do this here"

    def _limited(self, receive: Receive, limit: int, seconds: float) -> Receive:
        """The same body, but for what goes beyond the limit, only while it comes, and not for ever."""
        came, whole, begun = 0, False, time.monotonic()

        async def limited() -> Message:
            nonlocal came, whole
            if whole:  # what follows is that the sender goes, which may take as long as the answer
                return await receive()
            elapsed = time.monotonic() - begun
            try:
                async with asyncio.timeout(max(min(self._patience, seconds - elapsed), 0)):
                    message = await receive()
            except TimeoutError:
                raise refused(408, f"The request took too long to arrive: {came:,} bytes came; {_SEND_AGAIN}") from None
            came += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if came > limit:
                raise refused(413, _too_much(limit))
            if not whole and elapsed > self._grace and came < _RATE * elapsed:
                raise refused(408, f"The request arrives too slowly: {came:,} bytes in {elapsed:.0f} s; {_SEND_AGAIN}")
            return message

        return limited


def _with_headers(send: Send) -> Send:
    """What the answer says itself stays."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", []))
            there = {name.lower() for name, _ in own}
            message["headers"] = own + [header for header in _HEADERS if header[0] not in there]
        await send(message)

    return sending


def _is_own_page(headers: Headers) -> bool:
    """Whether no page of another origin sent a request that changes something.

    Browsers say so themselves, also where a proxy before the station rewrote the header Host; those that do not (they
    are older, or the address is neither https nor of this machine) send the origin. No page of another origin can make
    a browser send the header X-Forwarded-Host.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in {"same-origin", "none"}
    own = {headers.get("host", "").lower(), headers.get("x-forwarded-host", "").lower()} - {""}
    return origin is None or _place_of(origin) in own


def _name_of(host: str) -> str:
    """A Host header without its port; an address of IPv6 keeps its brackets."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _place_of(origin: str) -> str:
    """Host and port of an origin; "" where it has none, such as of a page in a sandbox."""
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:
        return ""


def _too_much(limit: int) -> str:
    return f"The request is too large; at most {limit:,} bytes are taken here"


_HEADERS = [(name.encode(), value.encode()) for name, value in SECURITY.items()]
