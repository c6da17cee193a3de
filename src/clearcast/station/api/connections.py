"""HTTP/1.1 protocol with timeouts for request heads and stalled responses, and a limit on open connections.

uvicorn has neither, so a thousand idle connections would block a station. ``RequestGuardMiddleware`` limits the time
of request bodies.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

ROLE_LEVEL_KEY = "clearcast.known"  # key in a request's scope: 1, sent by a reader; 2, sent by an operator
_CHECK_SECONDS = 1.0  # between two checks of a connection's deadlines
_Connection = TypeVar("_Connection", bound="LimitedHttpProtocol")
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\nThe station has too many connections; retry in a moment\n"
)


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """Limits on connections.

    Attributes:
        most: maximum number of open connections.
        head: seconds from opening, or from the first byte of a further request, until the request head is complete.
        grace: seconds that a client may stall while reading a response.
        rate: minimum average bytes per second that it must read after ``grace``.
    """

    most: int = 500
    head: float = 10.0
    grace: float = 20.0
    rate: int = 16 * 1024


class LimitedHttpProtocol(H11Protocol):
    """HTTP/1.1 connection that is closed when a timeout expires, or evicted when there are too many connections.

    Only expendable connections are evicted: first those without a valid token, then readers', then operators'; among
    these, the oldest of the address with the most connections. Everything that holds a file descriptor counts, also a
    closing connection that still has bytes to send.
    """

    limits = ConnectionLimits()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start waiting for the first request."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.opened_at = self.loop.time()
        self._max_role_level = 0  # highest ``ROLE_LEVEL_KEY`` of its requests so far
        self._head_since: float | None = self.opened_at  # start of the wait for a request head; None: not waiting
        self._stalled: tuple[float, int] | None = None  # start of a stall of the client, and bytes left to send then
        self._timer = self.loop.call_later(_CHECK_SECONDS, self._check_deadlines)
        self.aborted = False  # its descriptor is freed in the next iteration of the event loop
        self._evict()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive bytes; the first of a request starts the timeout of its head."""
        if self._head_since is None and not self._answering:
            self._head_since = self.loop.time()
        super().data_received(data)
        if self._answering:
            self._head_since = None

    def on_response_complete(self) -> None:
        """Wait for the next request; if bytes of it have arrived already, the timeout of its head starts."""
        self._max_role_level = self.role_level
        self._head_since = None
        super().on_response_complete()
        started = self.conn.their_state is not h11.IDLE or bool(self.conn.trailing_data[0])
        if started and not self._answering:
            self._head_since = self.loop.time()

    def resume_writing(self) -> None:
        """End a stall: the client reads again."""
        self._stalled = None
        super().resume_writing()

    @property
    def expendable(self) -> bool:
        """Whether it can be closed at little cost.

        It can if it is idle or its client does not read; if a GET request has no response yet, which the client can
        repeat; or if a request body is still arriving, unless it holds images, whose sender has shown a token.
        """
        if not self._answering or self.transport.is_closing():
            return True
        if self.scope["method"] in ("GET", "HEAD") and not self.cycle.response_started:
            return True
        return self.flow.write_paused or (self.cycle.more_body and self.scope["path"] != "/v1/inspect")

    @property
    def role_level(self) -> int:
        """Who uses it: 0, nobody with a valid token; 1, a reader; 2, an operator."""
        return max(self._max_role_level, cast(int, self.scope.get(ROLE_LEVEL_KEY, 0))) if self.cycle is not None else 0

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _evict(self) -> None:
        """Close one connection if there are too many: an expendable one, else this one."""
        others = [each for each in self.connections if isinstance(each, LimitedHttpProtocol) and each is not self]
        others = [each for each in others if not each.aborted]
        if len(others) < self.limits.most:
            return
        victim = choose_evicted([each for each in others if each.expendable], others)
        if victim:
            victim.aborted = True
            victim.transport.abort()
        else:
            self.aborted = True
            self.transport.write(_FULL)  # short enough for the socket's buffer
            self.transport.close()

    def _check_deadlines(self) -> None:
        now = self.loop.time()
        if self._is_stalled(now):
            self.transport.abort()
        elif self._head_since is not None and now - self._head_since > self.limits.head:
            self._head_since = None
            self.transport.close()  # a response that is still being sent has its own deadline
        self._timer = self.loop.call_later(_CHECK_SECONDS, self._check_deadlines)

    def _is_stalled(self, now: float) -> bool:
        """Return whether the client reads a response too slowly; this includes a connection that is closing."""
        left = self.transport.get_write_buffer_size()
        if not left:
            self._stalled = None
        elif self._stalled is None or left > self._stalled[1]:  # more was written, so the buffer had room
            self._stalled = now, left
        else:
            since, bytes_then = self._stalled
            return now - since > self.limits.grace and bytes_then - left < self.limits.rate * (now - since)
        return False


def choose_evicted(candidates: Sequence[_Connection], every: Sequence[_Connection]) -> _Connection | None:
    """Choose the connection to evict: lowest role first, then of the address with the most connections, then oldest.

    Args:
        candidates: connections that may be evicted; if there are none, the result is None.
        every: all connections, to count by address.
    """
    count = Counter(each.client and each.client[0] for each in every)
    return min(
        candidates,
        key=lambda each: (each.role_level, -count[each.client and each.client[0]], each.opened_at),
        default=None,
    )


def make_protocol(limits: ConnectionLimits) -> type[LimitedHttpProtocol]:
    """Make a protocol class with the given limits, for uvicorn's option ``http``."""
    return type("LimitedProtocol", (LimitedHttpProtocol,), {"limits": limits})


def max_connections(wanted: int = ConnectionLimits.most) -> int:
    """Return the number of connections that leave enough file descriptors for log and images.

    It raises the soft limit of the process if the hard limit allows it.
    """
    if sys.platform == "win32":
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 4 * wanted
    if 0 <= soft < needed:  # below 0: unlimited
        soft = needed if hard < 0 else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft < 0 else min(wanted, soft // 2)
