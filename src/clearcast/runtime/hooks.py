"""Run a user's command for a picture, and end it with all that it started if it takes too long."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress

from clearcast.domain import Inspection
from clearcast.errors import OutputError
from clearcast.runtime.sinks.rows import row_of

_HOOK_SECONDS = 60.0
_GRACE_SECONDS = 2.0  # between asking a command to end and ending it


class Hook:
    """An alarm that runs a command, without a shell, with the picture's path and its verdict as last arguments.

    The verdict is ``error`` for a picture that could not be inspected. The environment holds the whole row:
    CLEARCAST_PATH, CLEARCAST_VERDICT, CLEARCAST_P_DEFECT and so on. A command that takes more than a minute is ended,
    and so is all that it started. (On Windows name a program: a .bat would see names as a shell does.)

    Raises:
        OutputError: there is no such command.
    """

    name = "hook"

    def __init__(self, command: str) -> None:
        try:
            words = shlex.split(command, posix=os.name != "nt")
        except ValueError as error:
            raise OutputError(f"hook {command!r}: {error}; needed is a program and its arguments") from None
        if not words or shutil.which(words[0]) is None:
            raise OutputError(
                f"hook {command!r}: there is no such program, or it may not be run; needed is one and its arguments"
            )
        self._words = words
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def __call__(self, inspection: Inspection) -> None:
        """Run the command and wait for its end.

        Raises:
            OSError: it cannot be started, failed or took too long.
        """
        words = [*self._words, inspection.path, str(inspection.verdict or "error")]
        with self._lock:
            if self._stopped:
                return
            # In a process group of its own: Ctrl-C ends the watch, and the command may finish.
            running = self._running = subprocess.Popen(
                words, env=_environment(inspection), stdin=subprocess.DEVNULL, start_new_session=True
            )
        try:
            code = running.wait(_HOOK_SECONDS)
        except subprocess.TimeoutExpired:
            _end_group(running)
            raise OSError(f"hook {self._words[0]}: timed out after {_HOOK_SECONDS:g} s, and was ended") from None
        finally:
            with self._lock:
                self._running = None
        if code and not self._stopped:
            raise OSError(f"hook {self._words[0]}: ended with exit status {code}")

    def stop(self) -> None:
        """End the command that is running, if one is; no other is started."""
        with self._lock:
            self._stopped = True
            running = self._running
        if running:
            _end_group(running)


def _environment(inspection: Inspection) -> dict[str, str]:
    row = row_of(inspection) | {"path": inspection.path}
    return os.environ | {
        f"CLEARCAST_{name.upper()}": "" if value is None else str(value) for name, value in row.items()
    }


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all others of its session: ask, wait a little, then do not ask."""
    if sys.platform == "win32":
        with suppress(OSError):
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    with suppress(ProcessLookupError, PermissionError):  # also what outlived the first process
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
