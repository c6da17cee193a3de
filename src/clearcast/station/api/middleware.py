"""Middleware: checks of host and origin, limits on request bodies, security headers, and a counter of error responses.

It is plain ASGI, so that it sees a body while it streams in, also one without a Content-Length.
"""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearcast.station.api.problems import SECURITY_HEADERS, http_error, problem_response

MAX_OTHER_BODY_BYTES = 64 * 1024  # of a request without images
_IDLE_TIMEOUT = 30.0  # seconds without a byte
_BODY_TIMEOUTS = (300.0, 15.0)  # seconds for the body of a request with images, and of any other
_RATE_GRACE = 20.0  # seconds before the minimum rate applies
_MIN_RATE = 8 * 1024  # average bytes per second
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class RequestGuardMiddleware:
    """Middleware that rejects requests with a foreign host or origin, and bodies that are too large or too slow.

    Args:
        app: the application behind it.
        hosts: host names of the station, without port; None: any. They protect from DNS rebinding: a foreign page
            whose name points at this machine still sends its own name.
        image_request_bytes: maximum bytes of a request with images.
        idle_timeout: maximum seconds without a byte.
        body_timeouts: maximum seconds for the body of a request with images, and of any other.
        grace: seconds before the minimum rate applies.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str] | None,
        image_request_bytes: int,
        idle_timeout: float = _IDLE_TIMEOUT,
        body_timeouts: tuple[float, float] = _BODY_TIMEOUTS,
        grace: float = _RATE_GRACE,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._image_request_bytes = image_request_bytes
        self._idle_timeout = idle_timeout
        self._body_timeouts = body_timeouts
        self._grace = grace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        with_images = scope["path"] == "/v1/inspect"
        limit = self._image_request_bytes if with_images else MAX_OTHER_BODY_BYTES
        rejection, length = self._rejection(scope["method"], headers), headers.get("content-length", "")
        if rejection:
            await problem_response(403, rejection)(scope, receive, _with_headers(send))
        elif length.isdecimal() and int(length[:20]) > limit:
            await problem_response(413, _too_large(limit))(scope, receive, _with_headers(send))
        else:
            timeout = self._body_timeouts[0 if with_images else 1]
            await self._app(scope, self._limited(receive, limit, timeout), _with_headers(send))

    def _rejection(self, method: str, headers: Headers) -> str:
        """Return why a request is rejected; "" if it is not."""
        host = headers.get("host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            names = ", ".join(sorted(self._hosts))
            return f"Unknown host name; use one of {names}, or start the station with --token-file to allow any"
        if method in _SAFE_METHODS:
            return ""
        return "" if _is_same_origin(headers) else "Requests from pages of another origin are not allowed"

    def _limited(self, receive: Receive, limit: int, timeout: float) -> Receive:
        """Wrap ``receive`` so that a body that is too large, too slow or stalled raises 413 or 408."""
        received, complete, started = 0, False, time.monotonic()

        async def limited() -> Message:
            nonlocal received, complete
            if complete:  # the next message is the disconnect, which may come as late as the response
                return await receive()
            elapsed = time.monotonic() - started
            try:
                async with asyncio.timeout(max(min(self._idle_timeout, timeout - elapsed), 0)):
                    message = await receive()
            except TimeoutError:
                detail = f"The request took too long: {received:,} bytes arrived before the timeout; send it again"
                raise http_error(408, detail) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > limit:
                raise http_error(413, _too_large(limit))
            if not complete and elapsed > self._grace and received < _MIN_RATE * elapsed:
                detail = f"The request is too slow: {received:,} bytes arrived in {elapsed:.0f} s; send it again"
                raise http_error(408, detail)
            return message

        return limited


class ErrorCounterMiddleware:
    """Middleware that counts error responses: calls ``count_error`` with the HTTP status of each."""

    def __init__(self, app: ASGIApp, *, count_error: Callable[[int], None]) -> None:
        self._app = app
        self._count_error = count_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        started = False

        async def counting_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if message["status"] >= 400:
                    self._count_error(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, counting_send)
        except Exception:  # a bug, answered with 500 by an outer middleware
            if not started:
                self._count_error(500)
            raise


def _with_headers(send: Send) -> Send:
    """Wrap ``send`` so that every response gets the security headers that it does not set itself."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", []))
            names = {name.lower() for name, _ in own}
            message["headers"] = own + [header for header in _HEADERS if header[0] not in names]
        await send(message)

    return sending


def _is_same_origin(headers: Headers) -> bool:
    """Return whether a request that changes something was not sent by a page of another origin.

    Browsers report this in Sec-Fetch-Site, also if a proxy before the station rewrote the header Host. Those that do
    not (old ones, or if the address is neither https nor of this machine) send Origin. No page of another origin can
    make a browser send the header X-Forwarded-Host.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in {"same-origin", "none"}
    own = {headers.get("host", "").lower(), headers.get("x-forwarded-host", "").lower()} - {""}
    return origin is None or _origin_host(origin) in own


def _host_name(host: str) -> str:
    """Return a Host header without its port; an IPv6 address keeps its brackets."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _origin_host(origin: str) -> str:
    """Return host and port of an origin; "" if it has none, such as the origin of a sandboxed page."""
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:
        return ""


def _too_large(limit: int) -> str:
    return f"The request is too large; the limit is {limit:,} bytes"
