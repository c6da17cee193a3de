"""Bounds what uploads hold in memory together, from their first byte to their answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from clearcast.station.api.problems import refused, retry_after

_FULL = "Too many pictures are being read just now; send them again in a moment"


class Upload:
    """What one request holds in memory.

    Attributes:
        size: bytes so far.
        dropped: whether it gave way to others.
    """

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self.size = 0
        self.dropped = False
        self._timeout = timeout

    def drop(self) -> None:
        """Stop waiting for the rest of it."""
        self.size, self.dropped = 0, True
        self._timeout.reschedule(0)


class MemoryBudget:
    """Counts the bytes of uploads, while they arrive and while they are inspected; used in the event loop only.

    Where those that still arrive do not fit together, the largest of them gives way: neither a slow sender nor a
    large upload keeps a small one from being inspected.

    Args:
        arriving: bytes of all uploads that are not whole yet, at most.
        held: bytes of all that are whole and not answered yet, at most; one alone always fits.
    """

    def __init__(self, *, arriving: int, held: int) -> None:
        self._most_arriving = arriving
        self._most_held = held
        self._held = 0
        self._arriving: set[Upload] = set()

    @contextmanager
    def arrival(self, timeout: asyncio.Timeout) -> Iterator[Upload]:
        """Count an upload while it arrives; ``timeout`` is what ends the waiting for it if it has to give way."""
        upload = Upload(timeout)
        self._arriving.add(upload)
        try:
            yield upload
        finally:
            self._arriving.discard(upload)

    def grow(self, upload: Upload, count: int) -> None:
        """Count so many bytes more of an upload that arrives.

        Raises:
            HTTPException: 429, it is the largest, and has to give way.
        """
        if upload.dropped:
            raise too_full()
        upload.size += count
        while sum(each.size for each in self._arriving) > self._most_arriving:
            largest = max(self._arriving, key=lambda each: each.size)
            if largest is upload:
                raise too_full()
            largest.drop()

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold so many bytes of a whole upload until it is answered; one alone always may.

        Raises:
            HTTPException: 429, they do not fit just now.
        """
        if self._held and self._held + size > self._most_held:
            raise too_full()
        self._held += size
        try:
            yield
        finally:
            self._held -= size


def too_full() -> Exception:
    """The refusal of an upload that does not fit into memory beside the others."""
    return refused(429, _FULL, headers=retry_after(1))


class AnswerBudget:
    """Counts the bytes of pictures that are being sent, each once however many want it; one alone always fits.

    Used in the event loop only.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bodies: dict[int, tuple[int, int]] = {}  # by identity: how many send it, and its bytes

    @contextmanager
    def sending(self, body: bytes) -> Iterator[None]:
        """Hold a body while it is sent.

        Raises:
            HTTPException: 429, too many others are being sent, such as to clients that read slowly.
        """
        times, _ = self._bodies.get(id(body), (0, 0))
        held = sum(size for _, size in self._bodies.values())
        if not times and held and held + len(body) > self._most:
            reason = "Too many pictures are being sent just now; ask again in a moment"
            raise refused(429, reason, headers=retry_after(1))
        self._bodies[id(body)] = times + 1, len(body)
        try:
            yield
        finally:
            times, size = self._bodies.pop(id(body))
            if times > 1:
                self._bodies[id(body)] = times - 1, size
