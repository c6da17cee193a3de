"""Connections that end: deadlines for request heads and for answers that nobody reads, and a limit on how many.

uvicorn has neither, so that a thousand silent connections would make a station deaf. The deadlines of request bodies
are the guard's, which sees them stream in.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

KNOWN = "clearcast.known"  # in the scope of a request: 1, it came from somebody who may look at the station; 2, and act
_LOOK = 1.0  # seconds between two looks at a connection
_Line = TypeVar("_Line", bound="BoundedProtocol")
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\nThe station has too many connections; ask again in a moment\n"
)


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """What connections may take.

    Attributes:
        most: of them at the same time.
        head: seconds from a connection's begin, or from the first byte of a further request, until the head is whole.
        grace: seconds that a reader of an answer may stall.
        rate: bytes a second that it reads on average at least, after ``grace``.
    """

    most: int = 500
    head: float = 10.0
    grace: float = 20.0
    rate: int = 16 * 1024


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 on a connection, which is closed when its time is over, or to make room for others.

    Room is made by expendable connections: first by those that never showed a token that counts, then by readers', then
    by operators'; among these, by the oldest of the address that has the most connections. Whatever holds a descriptor
    counts, also a connection that is closing but still has bytes to send.
    """

    limits = ConnectionLimits()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.born = self.loop.time()
        self._known = 0  # the most that ``KNOWN`` was for its requests
        self._head_since: float | None = self.born  # when the wait for a head that has a deadline began
        self._stalled: tuple[float, int] | None = None  # when an answer began to wait for its reader, and its bytes
        self._timer = self.loop.call_later(_LOOK, self._look)
        self.aborted = False  # its descriptor is free in the next turn of the event loop
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take up bytes; the first of a request starts the deadline of its head."""
        if self._head_since is None and not self._answering:
            self._head_since = self.loop.time()
        super().data_received(data)
        if self._answering:
            self._head_since = None

    def on_response_complete(self) -> None:
        """Wait for the next request; what is left of this one, or has come of the next, has a deadline."""
        self._known = self.known
        self._head_since = None
        super().on_response_complete()
        begun = self.conn.their_state is not h11.IDLE or bool(self.conn.trailing_data[0])
        if begun and not self._answering:
            self._head_since = self.loop.time()

    def resume_writing(self) -> None:
        """The reader goes on."""
        self._stalled = None
        super().resume_writing()

    @property
    def expendable(self) -> bool:
        """Whether little is lost if it is closed: no request is under way, or nothing but an answer nobody reads.

        Nor is much lost with a request whose body is still to come, but for pictures: whoever sends those has shown a
        token; nor with one that only reads and still waits for its answer: it can be asked again.
        """
        if not self._answering or self.transport.is_closing():
            return True
        if self.scope["method"] in ("GET", "HEAD") and not self.cycle.response_started:
            return True
        return self.flow.write_paused or (self.cycle.more_body and self.scope["path"] != "/v1/inspect")

    @property
    def known(self) -> int:
        """Who uses it: 0, nobody who showed a token that counts; 1, a reader; 2, an operator."""
        return max(self._known, cast(int, self.scope.get(KNOWN, 0))) if self.cycle is not None else 0

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _make_room(self) -> None:
        others = [each for each in self.connections if isinstance(each, BoundedProtocol) and each is not self]
        others = [each for each in others if not each.aborted]
        if len(others) < self.limits.most:
            return
        victim = oldest_of_most([each for each in others if each.expendable], others)
        if victim:
            victim.aborted = True
            victim.transport.abort()
        else:
            self.aborted = True
            self.transport.write(_FULL)  # so short that it fits into the socket's buffer
            self.transport.close()

    def _look(self) -> None:
        now = self.loop.time()
        if self._is_stalled(now):
            self.transport.abort()
        elif self._head_since is not None and now - self._head_since > self.limits.head:
            self._end()
        self._timer = self.loop.call_later(_LOOK, self._look)

    def _is_stalled(self, now: float) -> bool:
        """Whether an answer is read too slowly; also where the connection is closing and only waits for that."""
        left = self.transport.get_write_buffer_size()
        if not left:
            self._stalled = None
        elif self._stalled is None or left > self._stalled[1]:  # more was written, so there was room
            self._stalled = now, left
        else:
            since, bytes_then = self._stalled
            return now - since > self.limits.grace and bytes_then - left < self.limits.rate * (now - since)
        return False

    def _end(self) -> None:
        """Say goodbye; what is still to be sent of an answer is, within its own deadline."""
        self._head_since = None
        self.transport.close()


def oldest_of_most(lines: Sequence[_Line], every: Sequence[_Line]) -> _Line | None:
    """The oldest of some connections of the address that has the most of all, the least known first; None: no lines."""
    count = Counter(line.client and line.client[0] for line in every)
    return min(lines, key=lambda line: (line.known, -count[line.client and line.client[0]], line.born), default=None)


def protocol_within(limits: ConnectionLimits) -> type[BoundedProtocol]:
    """The protocol with some limits."""
    return type("LimitedProtocol", (BoundedProtocol,), {"limits": limits})


def connections_at_most(wanted: int = ConnectionLimits.most) -> int:
    """How many connections leave enough file descriptors for log and pictures; raises the process' limit if it may."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 4 * wanted
    if 0 <= soft < needed:  # below 0: without limit
        soft = needed if hard < 0 else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft < 0 else min(wanted, soft // 2)
