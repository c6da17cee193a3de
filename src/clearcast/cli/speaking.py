"""Lines for a terminal that may be paused, full or gone: work never waits for them."""

import os
import select
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

from clearcast.cli.output import say

_LINES = 1000  # that wait to be printed
_LONGEST = 1000  # characters; what a pipe takes at once, it takes whole
_ENDING_SECONDS = 2.0
_LOOK_SECONDS = 0.2


class LinePrinter:
    """Prints lines in a thread of its own, in a ``with``.

    Where lines come faster than they are taken, the oldest are lost, and counted. When the terminal is gone, all are.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._lost = 0
        self._end: float | None = None  # when waiting ends, by the monotonic clock
        self._thread = threading.Thread(target=self._work, name="lines", daemon=True)

    def say(self, line: str) -> None:
        """Print a line, soon; returns at once."""
        with self._changed:
            if len(self._lines) >= _LINES:
                self._lines.popleft()
                self._lost += 1
            self._lines.append(line)
            self._changed.notify()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with self._changed:
            self._end = time.monotonic() + _ENDING_SECONDS
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while self._room():
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._end)
                if not self._lines:
                    return
                line = self._lines.popleft()
                lost, self._lost = self._lost, 0
            try:
                if lost:
                    say(f"... {lost} lines were not printed, since nobody took them")
                say(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…")
            except (OSError, ValueError, SystemExit):  # the last is how Rich takes a broken pipe
                _print_nowhere()

    def _room(self) -> bool:
        """Wait until a line can be printed without waiting; False when the end has come before."""
        while not _takes_more():
            if self._end and time.monotonic() > self._end:
                return False
        return True


def _takes_more() -> bool:
    """Whether standard output takes a line now; looks for a fraction of a second."""
    if sys.platform == "win32":  # cannot be asked there
        return True
    try:
        return bool(select.select([], [sys.stdout.fileno()], [], _LOOK_SECONDS)[1])
    except (OSError, ValueError):  # closed, or no file; printing will show
        return True


def _print_nowhere() -> None:
    """Drop what is printed from now on; nobody is there to see it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
