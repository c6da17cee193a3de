"""A line printer that never blocks, even if the terminal is paused or closed."""

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

_LINES = 1000  # in the queue, at most
_LONGEST = 1000  # characters of a line; few enough that a pipe takes it at once
_ENDING_SECONDS = 2.0
_LOOK_SECONDS = 0.2


class LinePrinter:
    """Prints lines in its own thread, within a ``with`` block.

    If lines come faster than they are printed, the oldest are dropped and counted. If the terminal is closed, all are.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._lost = 0
        self._end: float | None = None  # deadline to print the remaining lines, by the monotonic clock
        self._thread = threading.Thread(target=self._work, name="lines", daemon=True)

    def say(self, line: str) -> None:
        """Queue a line; returns at once."""
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
        while self._wait_for_room():
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._end)
                if not self._lines:
                    return
                line = self._lines.popleft()
                lost, self._lost = self._lost, 0
            try:
                if lost:
                    say(f"... {lost} lines were dropped: the terminal did not take them")
                say(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…")
            except (OSError, ValueError, SystemExit):  # Rich raises SystemExit for a broken pipe
                _discard_output()

    def _wait_for_room(self) -> bool:
        """Wait until a line can be printed without blocking; False at the deadline."""
        while not _is_writable():
            if self._end and time.monotonic() > self._end:
                return False
        return True


def _is_writable() -> bool:
    """Whether standard output takes a line; waits for a fraction of a second."""
    if sys.platform == "win32":  # select does not support it there
        return True
    try:
        return bool(select.select([], [sys.stdout.fileno()], [], _LOOK_SECONDS)[1])
    except (OSError, ValueError):  # closed, or not a file; printing will fail or work
        return True


def _discard_output() -> None:
    """Redirect all output to nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
