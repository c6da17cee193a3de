"""Terminal output of commands: lines, warnings, a line printer that never blocks, and messages about packages."""

import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from clearcast.core.console import TerminalConsole, escape_unprintable
from clearcast.core.errors import MissingDependencyError

_MAX_LINES = 1000  # in the queue of a line printer
_MAX_CHARACTERS = 1000  # of its lines; few enough that a pipe takes a line at once
_FLUSH_SECONDS = 2.0  # to print the remaining lines at the end
_POLL_SECONDS = 0.2

console = TerminalConsole()


def print_line(message: str) -> None:
    """Print a line unchanged: a path may contain markup or terminal control characters."""
    console.print(escape_unprintable(message), markup=False, highlight=False, soft_wrap=True)


def print_warning(message: str) -> None:
    """Print a warning, in yellow."""
    console.print(f"Warning: {message}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def remind_to_sign(source: Path, out: Path) -> None:
    """Remind the user that a bundle made from a signed one is not signed."""
    from clearcast.bundle.archive import open_reader, read_signature

    if read_signature(open_reader(source)):
        print_line(f"{source} is signed, but {out} is not; sign it with 'clearcast export {out} SIGNED --sign KEY'")


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Turn the error of a missing package into a message with the command that installs the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"this needs the package {error.name}, which is not installed; install it with: "
            f"pip install 'clearcast[{extra}]'"
        ) from None


class LinePrinter:
    """Line printer with its own thread, for use in a ``with`` block.

    If lines come faster than the terminal takes them, the oldest are dropped and counted. If it is closed, all are.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._deadline: float | None = None  # to print the remaining lines, by the monotonic clock
        self._thread = threading.Thread(target=self._work, name="lines", daemon=True)

    def say(self, line: str) -> None:
        """Queue a line; returns at once."""
        with self._changed:
            if len(self._lines) >= _MAX_LINES:
                self._lines.popleft()
                self._dropped += 1
            self._lines.append(line)
            self._changed.notify()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with self._changed:
            self._deadline = time.monotonic() + _FLUSH_SECONDS
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while self._wait_for_room():
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._deadline)
                if not self._lines:
                    return
                line = self._lines.popleft()
                dropped, self._dropped = self._dropped, 0
            try:
                if dropped:
                    print_line(f"... {dropped} lines were dropped: the terminal did not take them")
                print_line(line if len(line) <= _MAX_CHARACTERS else f"{line[:_MAX_CHARACTERS]}…")
            except (OSError, ValueError, SystemExit):  # Rich raises SystemExit for a broken pipe
                _discard_output()

    def _wait_for_room(self) -> bool:
        """Wait until a line can be printed without blocking; False at the deadline."""
        while not _is_writable():
            if self._deadline and time.monotonic() > self._deadline:
                return False
        return True


def _is_writable() -> bool:
    """Whether standard output takes a line; waits for a fraction of a second."""
    if sys.platform == "win32":  # select does not support it there
        return True
    try:
        return bool(select.select([], [sys.stdout.fileno()], [], _POLL_SECONDS)[1])
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
