"""Time limit for a function that may never return."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

ResultT = TypeVar("ResultT")


def call_within(seconds: float, work: Callable[[], ResultT], stop: Callable[[], None]) -> ResultT:
    """Call a function in a separate thread, with a time limit.

    Args:
        seconds: the time limit.
        work: the function; its exceptions are raised here.
        stop: called after the time limit, to end the work. If that fails, the daemon thread continues, but does not
            keep the process alive.

    Raises:
        TimeoutError: the function did not return in time.
    """
    outcome: Future[ResultT] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # raised in the waiting thread
            outcome.set_exception(error)

    threading.Thread(target=run, name="deadline", daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        stop()
        raise
