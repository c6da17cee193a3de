"""Work that may never end."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

ResultT = TypeVar("ResultT")


def call_within(seconds: float, work: Callable[[], ResultT], stop: Callable[[], None]) -> ResultT:
    """Call a function in a thread of its own, and wait for it so long at most.

    Args:
        seconds: how long to wait.
        work: the function; what it raises is raised here.
        stop: called when the time is over, to end the work. Where it cannot, the thread goes on, and keeps nobody from
            ending the process.

    Raises:
        TimeoutError: the time is over.
    """
    outcome: Future[ResultT] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # it is raised where the result is waited for
            outcome.set_exception(error)

    threading.Thread(target=run, name="deadline", daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        stop()
        raise
