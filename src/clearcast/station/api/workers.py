"""Worker pools with bounded queues: each kind of job has its own, so that none delays another."""

import asyncio
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, HTTPException, Request
from starlette.requests import ClientDisconnect

from clearcast.station.api.problems import http_error, retry_after_header

_NICENESS = 10  # of background threads, so that those that inspect have priority
_TIMEOUT = 60.0  # seconds, for a disk or a database that does not respond
_MAX_SHARERS = 32  # requests that wait for the result of one job
_RETRY_SECONDS = 2  # if a queue is full
_T = TypeVar("_T")
_logger = logging.getLogger("uvicorn.error")


@dataclass(eq=False, kw_only=True)
class _Job:
    """Job in a queue; ``waiters`` counts the requests that wait for its result."""

    work: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)
    waiters: int = 0


class WorkerPool:
    """Thread pool for one kind of job, with a queue that rejects jobs when it is full.

    Call ``run`` in the event loop only.

    Args:
        name: of the threads, and of the jobs in messages.
        threads: number of jobs at a time.
        queue_size: number of further jobs that may wait; None: unlimited, because something else limits them.
        background: whether the threads have a low priority (on Linux).
        timeout: maximum seconds to wait for a job.
    """

    def __init__(
        self, name: str, *, threads: int, queue_size: int | None, background: bool = False, timeout: float = _TIMEOUT
    ) -> None:
        self._name = name
        self._size = threads
        self._max_jobs = None if queue_size is None else threads + queue_size
        self._background = background
        self._timeout = timeout
        self._queue: OrderedDict[_Job, None] = OrderedDict()  # a cancelled job leaves it at once, at any position
        self._shared: dict[Hashable, _Job] = {}
        self._changed = threading.Condition(threading.Lock())
        self._stopping = False
        self._jobs = 0

    def start(self) -> None:
        """Start the threads. They are daemons: a hanging drive must not keep the process from ending."""
        self._stopping = False
        for _ in range(self._size):
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Stop the threads after the jobs that are in the queue."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    async def run(self, work: Callable[[], _T], *, request: Request | None = None, key: Hashable = None) -> _T:
        """Run a job on a thread of the pool.

        Args:
            work: the job.
            request: of the client that waits; if it disconnects before the job has started, the job is cancelled.
            key: concurrent jobs with the same key run once and share the result; None: never shared.

        Raises:
            HTTPException: 429, the queue is full or too many requests share this job; 503, timeout.
            ClientDisconnect: the client disconnected.
        """
        job = self._shared.get(key) or self._submit(work, key)
        if job.waiters >= _MAX_SHARERS:
            raise self._queue_full()
        job.waiters += 1
        try:
            return cast(_T, await self._result(job.future, request))
        finally:
            job.waiters -= 1
            if not job.waiters:
                job.future.cancel()  # no effect once it has started
                if self._shared.get(key) is job:
                    del self._shared[key]

    def _submit(self, work: Callable[[], Any], key: Hashable) -> _Job:
        with self._changed:
            if self._max_jobs is not None and self._jobs >= self._max_jobs:
                raise self._queue_full()
            self._jobs += 1
        job = _Job(work=work)
        job.future.add_done_callback(lambda _: self._remove(job))
        if key is not None:
            self._shared[key] = job
        with self._changed:
            self._queue[job] = None
            self._changed.notify()
        return job

    def _queue_full(self) -> HTTPException:
        reason = f"Too many requests of this kind are waiting already ({self._name}); retry in a moment"
        return http_error(429, reason, headers=retry_after_header(_RETRY_SECONDS))

    async def _result(self, future: Future[Any], request: Request | None) -> object:
        done = asyncio.get_running_loop().create_future()
        with _notifying(future, done), _watching_disconnect(request) as disconnect:
            waits = {done, disconnect} if disconnect else {done}
            await asyncio.wait(waits, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                return future.result()
            if disconnect and disconnect.done():
                disconnect.result()  # raises the error of an incomplete request, such as a timeout
                raise ClientDisconnect
        _logger.warning("A job of the pool %r took more than %.0f seconds", self._name, self._timeout)
        raise http_error(
            503, "The station's disk or database does not respond", headers=retry_after_header(_RETRY_SECONDS)
        )

    def _remove(self, job: _Job) -> None:
        with self._changed:
            self._jobs -= 1
            self._queue.pop(job, None)

    def _next(self) -> _Job | None:
        """Wait for the next job of the queue; None when the pool stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            return self._queue.popitem(last=False)[0] if self._queue else None

    def _work(self) -> None:
        if self._background:
            _lower_priority()
        while job := self._next():
            if job.future.set_running_or_notify_cancel():
                try:
                    result = job.work()
                except BaseException as error:  # raised where the result is awaited
                    job.future.set_exception(error)
                else:
                    job.future.set_result(result)
                    del result
            del job  # otherwise it would be held until the next one comes


@contextmanager
def _notifying(future: Future[Any], done: asyncio.Future[None]) -> Iterator[None]:
    """Complete ``done`` in the event loop when a thread has finished the job."""
    loop = done.get_loop()

    def mark() -> None:
        if not done.done():
            done.set_result(None)

    def notify(_: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(mark)

    future.add_done_callback(notify)
    try:
        yield
    finally:
        done.cancel()


@contextmanager
def _watching_disconnect(request: Request | None) -> Iterator[asyncio.Task[None] | None]:
    """Run a task that ends when the client of a request disconnects."""
    if request is None:
        yield None
        return
    watch = asyncio.create_task(_wait_for_disconnect(request))
    try:
        yield watch
    finally:
        watch.cancel()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _lower_priority() -> None:
    """Lower the priority of this thread; only Linux has priorities of threads."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class WorkerPools:
    """Worker pools of a station by kind of job.

    Attributes:
        inspecting: checking uploads, logging, feedback; limited by the memory budget of uploads.
        lookups: look-ups by id, in milliseconds.
        searches: pages and counts of the log, which may scan much of it.
        trends: trends and CSV exports of the log.
        images: uploaded images and thumbnails.
        sign_outs: revoking sessions, which writes a file.
        renderings: heat maps and denoised images; a large one takes hundreds of megabytes, so only one at a time.
    """

    def __init__(self) -> None:
        self.inspecting = WorkerPool("inspecting", threads=4, queue_size=None)
        self.lookups = WorkerPool("look-ups", threads=4, queue_size=64)
        self.searches = WorkerPool("searches", threads=2, queue_size=32, background=True)
        self.trends = WorkerPool("trends", threads=1, queue_size=8, background=True)
        self.images = WorkerPool("images", threads=1, queue_size=64, background=True)
        self.renderings = WorkerPool("renderings", threads=1, queue_size=16, background=True)
        self.sign_outs = WorkerPool("sign-outs", threads=1, queue_size=32)
        self._all = (
            *(self.inspecting, self.lookups, self.searches, self.trends),
            *(self.images, self.renderings, self.sign_outs),
        )

    def start(self) -> None:
        """Start all threads."""
        for pool in self._all:
            pool.start()

    def stop(self) -> None:
        """Stop all threads after the jobs in their queues."""
        for pool in self._all:
            pool.stop()


async def _get_pools(request: Request) -> WorkerPools:
    return cast(WorkerPools, request.app.state.pools)


WorkerPoolsDep = Annotated[WorkerPools, Depends(_get_pools)]
