"""What stands before the API: who is addressed, who asks, how much is sent; and the headers of every answer.

It is plain ASGI, so that it sees a body while it streams in, also one whose length nobody told.
"""

import asyncio
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearcast.station.api.headers import SECURITY
from clearcast.station.api.problems import problem, refused

OTHER_BYTES = 64 * 1024  # of a request without pictures
PATIENCE = 30.0  # seconds without a byte after which a sender has gone
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Lets through what may pass.

    Args:
        app: behind it.
        hosts: by which the station may be addressed, without port; None: any. A page of a stranger whose name is
            made to point at this machine (DNS rebinding) still sends its own name.
        picture_bytes: of a request with pictures.
        patience: seconds without a byte after which a sender has gone.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: frozenset[str] | None, picture_bytes: int, patience: float = PATIENCE
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._picture_bytes = picture_bytes
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._picture_bytes if scope["path"] == "/v1/inspect" else OTHER_BYTES
        said, told = self._objection(scope["method"], headers), headers.get("content-length", "")
        if said:
            await problem(403, said)(scope, receive, _with_headers(send))
        elif told.isdecimal() and int(told[:20]) > limit:
            await problem(413, _too_much(limit))(scope, receive, _with_headers(send))
        else:
            await self._app(scope, self._limited(receive, limit), _with_headers(send))

    def _objection(self, method: str, headers: Headers) -> str:
        """Why a request is refused; "" where it is not."""
        host = headers.get("host", "")
        if self._hosts is not None and _name_of(host) not in self._hosts:
            return f"This station is not addressed by that name; its names are {', '.join(sorted(self._hosts))}"
        if method in _SAFE:
            return ""
        origin = headers.get("origin")
        foreign = origin is not None and _place_of(origin) != host.lower()
        if foreign or headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            return "A page of another origin may not do this here"
        return ""

    def _limited(self, receive: Receive, limit: int) -> Receive:
        """The same body, but for what goes beyond the limit, and only while it comes."""
        came, whole = 0, False

        async def limited() -> Message:
            nonlocal came, whole
            if whole:  # what follows is that the sender goes, which may take as long as the answer
                return await receive()
            try:
                async with asyncio.timeout(self._patience):
                    message = await receive()
            except TimeoutError:
                raise refused(408, f"Nothing came for {self._patience:.0f} seconds; send the request again") from None
            came += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if came > limit:
                raise refused(413, _too_much(limit))
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
