"""Thread pools with bounded queues: each class of work has its own, so that none keeps another waiting."""

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

from clearcast.station.api.problems import refused, retry_after

_NICE = 10  # how far background threads stand back from those that inspect
_PATIENCE = 60.0  # seconds after which nobody waits any longer for a disk or a database
_SHARING = 32  # requests that may wait for the result of one job
_AGAIN = 2  # seconds after which it is worthwhile to ask a full queue again
_T = TypeVar("_T")
_logger = logging.getLogger("uvicorn.error")


@dataclass(eq=False, kw_only=True)
class _Job:
    """Work in a queue; ``waiters`` counts the requests that want its result."""

    work: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)
    waiters: int = 0


class WorkerPool:
    """Threads that do one class of work, and a queue that refuses what does not fit.

    ``run`` is called in the event loop only.

    Args:
        name: of the threads, and of the work in messages.
        threads: how many jobs are done at a time.
        waiting: how many more may wait; None: any number, because something else bounds them.
        background: whether the operating system prefers other threads to these (on Linux).
        patience: seconds after which a job is no longer waited for.
    """

    def __init__(
        self, name: str, *, threads: int, waiting: int | None, background: bool = False, patience: float = _PATIENCE
    ) -> None:
        self._name = name
        self._size = threads
        self._most = None if waiting is None else threads + waiting
        self._background = background
        self._patience = patience
        self._queue: OrderedDict[_Job, None] = OrderedDict()  # a cancelled job leaves it at once, wherever it stands
        self._shared: dict[Hashable, _Job] = {}
        self._changed = threading.Condition(threading.Lock())
        self._stopping = False
        self._taken = 0

    def start(self) -> None:
        """Start the threads. They are daemons: a drive that hangs must not keep the process from ending."""
        self._stopping = False
        for _ in range(self._size):
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """End the threads after the jobs that are in the queue."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    async def run(self, work: Callable[[], _T], *, request: Request | None = None, key: Hashable = None) -> _T:
        """Do some work on a thread of the pool.

        Args:
            work: what to do.
            request: whose client waits; if it goes away before the work has begun, the place in the queue is free.
            key: jobs of one key that are under way at the same time are done once; None: never shared.

        Raises:
            HTTPException: 429, the queue is full or too many wait for this job already; 503, the work took too long.
            ClientDisconnect: the client went away.
        """
        job = self._shared.get(key) or self._submit(work, key)
        if job.waiters >= _SHARING:
            raise self._full()
        job.waiters += 1
        try:
            return cast(_T, await self._result(job.future, request))
        finally:
            job.waiters -= 1
            if not job.waiters:
                job.future.cancel()  # which does nothing once it has begun
                if self._shared.get(key) is job:
                    del self._shared[key]

    def _submit(self, work: Callable[[], Any], key: Hashable) -> _Job:
        with self._changed:
            if self._most is not None and self._taken >= self._most:
                raise self._full()
            self._taken += 1
        job = _Job(work=work)
        job.future.add_done_callback(lambda _: self._leave(job))
        if key is not None:
            self._shared[key] = job
        with self._changed:
            self._queue[job] = None
            self._changed.notify()
        return job

    def _full(self) -> HTTPException:
        reason = f"Too many requests of this kind wait already ({self._name}); ask again in a moment"
        return refused(429, reason, headers=retry_after(_AGAIN))

    async def _result(self, future: Future[Any], request: Request | None) -> object:
        done = asyncio.get_running_loop().create_future()
        with _telling(future, done), _watching(request) as gone:
            waits = {done, gone} if gone else {done}
            await asyncio.wait(waits, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                return future.result()
            if gone and gone.done():
                gone.result()  # raises what kept the request from being whole, such as a deadline
                raise ClientDisconnect
        _logger.warning("A job of the pool %r took more than %.0f seconds", self._name, self._patience)
        raise refused(503, "The station's disk or database does not answer", headers=retry_after(_AGAIN))

    def _leave(self, job: _Job) -> None:
        with self._changed:
            self._taken -= 1
            self._queue.pop(job, None)

    def _next(self) -> _Job | None:
        """The job that has waited longest; waits for one, until the pool stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            return self._queue.popitem(last=False)[0] if self._queue else None

    def _work(self) -> None:
        if self._background:
            _stand_back()
        while job := self._next():
            if job.future.set_running_or_notify_cancel():
                try:
                    result = job.work()
                except BaseException as error:  # whoever waits for it hears of it
                    job.future.set_exception(error)
                else:
                    job.future.set_result(result)
                    del result
            del job  # else it would be held until the next comes


@contextmanager
def _telling(future: Future[Any], done: asyncio.Future[None]) -> Iterator[None]:
    """Mark ``done`` in the event loop when a thread is done with the work."""
    loop = done.get_loop()

    def mark() -> None:
        if not done.done():
            done.set_result(None)

    def tell(_: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(mark)

    future.add_done_callback(tell)
    try:
        yield
    finally:
        done.cancel()


@contextmanager
def _watching(request: Request | None) -> Iterator[asyncio.Task[None] | None]:
    """A task that ends when the client of a request goes away."""
    if request is None:
        yield None
        return
    watch = asyncio.create_task(_gone(request))
    try:
        yield watch
    finally:
        watch.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _stand_back() -> None:
    """Lower the priority of this thread; only Linux has one for each thread."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class Pools:
    """The thread pools of a station, by class of work.

    Attributes:
        inspecting: reading uploads, logging and what else operators write; bounded by the memory of uploads.
        lookups: what is found by its number, in milliseconds.
        searches: pages and counts of the log, which may go through much of it.
        trends: trends and tables of the log.
        pictures: pictures as they came, and thumbnails.
        sign_outs: sessions that end, each with a line in a file.
        drawings: heat maps and restored pictures; a large one takes hundreds of megabytes, so there is one at a time.
    """

    def __init__(self) -> None:
        self.inspecting = WorkerPool("inspecting", threads=4, waiting=None)
        self.lookups = WorkerPool("look-ups", threads=4, waiting=64)
        self.searches = WorkerPool("searches", threads=2, waiting=32, background=True)
        self.trends = WorkerPool("trends", threads=1, waiting=8, background=True)
        self.pictures = WorkerPool("pictures", threads=1, waiting=64, background=True)
        self.drawings = WorkerPool("drawings", threads=1, waiting=16, background=True)
        self.sign_outs = WorkerPool("sign-outs", threads=1, waiting=32)
        self._all = (
            *(self.inspecting, self.lookups, self.searches, self.trends),
            *(self.pictures, self.drawings, self.sign_outs),
        )

    def start(self) -> None:
        """Start all threads."""
        for pool in self._all:
            pool.start()

    def stop(self) -> None:
        """End all threads after their present jobs."""
        for pool in self._all:
            pool.stop()


async def _pools_of(request: Request) -> Pools:
    return cast(Pools, request.app.state.pools)


Workers = Annotated[Pools, Depends(_pools_of)]
