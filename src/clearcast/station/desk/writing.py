"""Threads that write beside those that inspect, and may hang with a drive."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DaemonExecutor:
    """Daemon threads that do what is submitted, so that a drive that hangs does not keep the process from ending.

    Those of ``ThreadPoolExecutor`` are waited for when Python ends.

    Args:
        threads: how many jobs are done at a time.
        name: of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Let a thread do some work."""
        future: Future[_T] = Future()

        def do() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(*args, **kwargs))
                except BaseException as error:  # whoever waits for it hears of it
                    future.set_exception(error)

        self._jobs.put(do)
        return future

    def shutdown(self) -> None:
        """End the threads after what was submitted so far, without waiting for them."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
            del job  # else it would be held until the next comes
