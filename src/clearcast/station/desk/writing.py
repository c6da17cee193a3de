"""Executor with daemon threads, for disk writes that may hang."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DaemonExecutor:
    """Thread pool with daemon threads, so that a disk that hangs does not keep the process from ending.

    (Python waits for the threads of ``ThreadPoolExecutor`` at exit.)

    Args:
        threads: number of threads.
        name: name of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a function on a thread of the pool."""
        future: Future[_T] = Future()

        def do() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(*args, **kwargs))
                except BaseException as error:  # passed to the caller by the future
                    future.set_exception(error)

        self._jobs.put(do)
        return future

    def shutdown(self) -> None:
        """End the threads after the work submitted so far, without waiting for them."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
            del job  # release it before waiting for the next
