"""Worker pools with bounded queues."""

import asyncio
import gc
import os
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect
from starlette.types import Message

from clearcast.station.api.workers import WorkerPool
from tests.station.services import wait_until

Run = Callable[..., Coroutine[Any, Any, int]]


@asynccontextmanager
async def pool_of(**options: Any) -> AsyncIterator[tuple[Run, threading.Event, list[int]]]:  # noqa: ANN401
    """A pool of one thread, an event that its jobs wait for, and the jobs that have started."""
    pool = WorkerPool("test", **{"threads": 1, "queue_size": 2, **options})
    resume, started = threading.Event(), list[int]()

    def job(number: int) -> int:
        started.append(number)
        assert resume.wait(60)
        return number

    async def run(number: int, **more: Any) -> int:  # noqa: ANN401
        return await pool.run(lambda: job(number), **more)

    pool.start()
    try:
        yield run, resume, started
    finally:
        resume.set()
        pool.stop()


def request(disconnected: asyncio.Event) -> Request:
    """A request whose client disconnects when the event is set."""

    async def receive() -> Message:
        await disconnected.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


def test_a_full_queue_rejects_jobs_at_once() -> None:
    async def run() -> None:
        async with pool_of() as (job, resume, _):
            tasks = [asyncio.create_task(job(number)) for number in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(HTTPException) as error:
                await job(3)
            assert error.value.status_code == 429
            assert error.value.headers
            assert int(error.value.headers["Retry-After"]) >= 1
            resume.set()
            assert await asyncio.gather(*tasks) == [0, 1, 2]
            assert await job(4) == 4, "there is room again"

    asyncio.run(run())


def test_a_disconnect_cancels_a_job_unless_it_has_started() -> None:
    async def run() -> None:
        async with pool_of(queue_size=1) as (job, resume, started):
            disconnected = [asyncio.Event(), asyncio.Event()]
            tasks = [asyncio.create_task(job(n, request=request(disconnected[n]))) for n in range(2)]
            await wait_until(lambda: started == [0])
            for event, task in zip(disconnected, tasks, strict=True):
                event.set()
                with pytest.raises(ClientDisconnect):
                    await task
            third = asyncio.create_task(job(2))
            await asyncio.sleep(0)
            with pytest.raises(HTTPException):
                await job(3)  # the first is still running
            resume.set()
            assert await third == 2
            assert started == [0, 2]

    asyncio.run(run())


def test_jobs_with_one_key_run_once_and_share_the_result() -> None:
    async def run() -> None:
        async with pool_of() as (job, resume, started):
            disconnects = asyncio.Event()
            first = asyncio.create_task(job(1, key="a", request=request(disconnects)))
            others = [asyncio.create_task(job(n, key="a")) for n in range(2, 30)]
            different = asyncio.create_task(job(50, key="b"))
            await wait_until(lambda: started == [1])
            disconnects.set()
            with pytest.raises(ClientDisconnect):
                await first
            resume.set()
            assert await asyncio.gather(*others) == 28 * [1]
            assert await different == 50
            assert await job(60, key="a") == 60, "results are not cached"
            assert started == [1, 50, 60]

    asyncio.run(run())


class Work:
    """A job that can be weakly referenced."""

    def __call__(self) -> int:
        return 7


def test_cancelled_jobs_are_released() -> None:
    pool = WorkerPool("cancelled", threads=1, queue_size=2)  # not started, so that all wait

    async def submit_and_cancel() -> weakref.ref[Work]:
        work = Work()
        task = asyncio.create_task(pool.run(work))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return weakref.ref(work)

    async def run() -> None:
        references = [await submit_and_cancel() for _ in range(100)]
        await asyncio.sleep(0.01)  # the event loop holds the last for a moment
        gc.collect()
        assert [place for place, work in enumerate(references) if work()] == []
        last = asyncio.create_task(pool.run(Work()))
        pool.start()
        assert await last == 7
        pool.stop()

    asyncio.run(run())


def test_a_stopping_pool_finishes_its_queue() -> None:
    async def run() -> None:
        pool = WorkerPool("stopping", threads=2, queue_size=8)
        tasks = [asyncio.create_task(pool.run(lambda: 7)) for _ in range(5)]
        await asyncio.sleep(0)
        pool.start()
        pool.stop()
        assert await asyncio.gather(*tasks) == 5 * [7]
        await wait_until(lambda: all(thread.name != "stopping" for thread in threading.enumerate()))

    asyncio.run(run())


def test_the_sharers_of_a_job_are_limited() -> None:
    async def run() -> None:
        async with pool_of() as (job, resume, started):
            tasks = [asyncio.create_task(job(0, key="a")) for _ in range(100)]
            done, waiting = await asyncio.wait(tasks, timeout=0.2)
            errors = [task.exception() for task in done]
            assert {error.status_code for error in errors if isinstance(error, HTTPException)} == {429}
            assert len(waiting) == 32
            resume.set()
            assert await asyncio.gather(*waiting) == 32 * [0]
            assert started == [0]

    asyncio.run(run())


def test_jobs_time_out() -> None:
    async def run() -> None:
        async with pool_of(timeout=0.05) as (job, resume, started):
            for number in range(2):
                with pytest.raises(HTTPException) as error:
                    await job(number)
                assert error.value.status_code == 503
            resume.set()
            assert await job(2) == 2
            assert started == [0, 2], "the second had not started"

    asyncio.run(run())


def test_errors_are_raised_and_the_thread_continues() -> None:
    async def run() -> None:
        pool = WorkerPool("test", threads=1, queue_size=0)
        pool.start()
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 / 0)
        assert await pool.run(lambda: 7) == 7
        pool.stop()

    asyncio.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_background_threads_have_a_low_priority() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def run() -> None:
        pool = WorkerPool("test", threads=1, queue_size=0, background=True)
        pool.start()
        assert await pool.run(niceness) > niceness()
        pool.stop()

    asyncio.run(run())
