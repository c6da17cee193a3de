"""Memory budgets: limits on the bytes of all uploads and of all image responses in memory at one time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from clearcast.station.api.problems import http_error, retry_after_header

_UPLOADS_FULL = "Too many images are being uploaded; retry in a moment"
_RESPONSES_FULL = "Too many images are being downloaded; retry in a moment"


class ArrivingUpload:
    """Memory accounting of one request while it arrives.

    Attributes:
        size: bytes so far.
        dropped: whether it was evicted in favour of smaller uploads.
    """

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self.size = 0
        self.dropped = False
        self._timeout = timeout

    def drop(self) -> None:
        """Stop receiving it and release its bytes."""
        self.size, self.dropped = 0, True
        self._timeout.reschedule(0)


class UploadMemoryBudget:
    """Memory budget of uploads, while they arrive and while they are inspected; used in the event loop only.

    If the arriving uploads exceed the budget, the largest is dropped: neither a slow sender nor a large upload blocks
    small ones.

    Args:
        arriving: maximum bytes of all incomplete uploads.
        held: maximum bytes of all complete uploads without a response yet; a single one always fits.
    """

    def __init__(self, *, arriving: int, held: int) -> None:
        self._max_arriving = arriving
        self._max_held = held
        self._held = 0
        self._arriving: set[ArrivingUpload] = set()

    @contextmanager
    def arrival(self, timeout: asyncio.Timeout) -> Iterator[ArrivingUpload]:
        """Account for an upload while it arrives; ``timeout`` is expired to drop it."""
        upload = ArrivingUpload(timeout)
        self._arriving.add(upload)
        try:
            yield upload
        finally:
            self._arriving.discard(upload)

    def grow(self, upload: ArrivingUpload, count: int) -> None:
        """Add bytes to an arriving upload.

        Raises:
            HTTPException: 429, the budget is exceeded and this upload is the largest.
        """
        if upload.dropped:
            raise upload_memory_error()
        upload.size += count
        while sum(each.size for each in self._arriving) > self._max_arriving:
            largest = max(self._arriving, key=lambda each: each.size)
            if largest is upload:
                raise upload_memory_error()
            largest.drop()

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Reserve the bytes of a complete upload until its response; a single upload always fits.

        Raises:
            HTTPException: 429, the budget is exceeded.
        """
        if self._held and self._held + size > self._max_held:
            raise upload_memory_error()
        self._held += size
        try:
            yield
        finally:
            self._held -= size


def upload_memory_error() -> Exception:
    """Error 429 for an upload that exceeds the memory budget."""
    return http_error(429, _UPLOADS_FULL, headers=retry_after_header(1))


class ResponseMemoryBudget:
    """Memory budget of image responses; a body sent to several clients counts once, and a single one always fits.

    Used in the event loop only.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bodies: dict[int, tuple[int, int]] = {}  # by identity: number of responses that send it, and its bytes

    @contextmanager
    def sending(self, body: bytes) -> Iterator[None]:
        """Reserve the bytes of a response body while it is sent.

        Raises:
            HTTPException: 429, the budget is exceeded, for example by clients that read slowly.
        """
        count, _ = self._bodies.get(id(body), (0, 0))
        held = sum(size for _, size in self._bodies.values())
        if not count and held and held + len(body) > self._max_bytes:
            raise http_error(429, _RESPONSES_FULL, headers=retry_after_header(1))
        self._bodies[id(body)] = count + 1, len(body)
        try:
            yield
        finally:
            count, size = self._bodies.pop(id(body))
            if count > 1:
                self._bodies[id(body)] = count - 1, size
