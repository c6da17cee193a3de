"""Hook: runs a user's command for an image, and ends it with all its child processes on a timeout."""

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
_GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL


class Hook:
    """Alert that runs a command, without a shell, with the image's path and its verdict as last arguments.

    The verdict is ``error`` for an image that could not be inspected. The environment contains the whole row:
    CLEARCAST_PATH, CLEARCAST_VERDICT, CLEARCAST_P_DEFECT and so on. A command that takes more than a minute is ended
    with all its child processes. (On Windows use a program: a .bat would interpret names as a shell does.)

    Raises:
        OutputError: there is no such command.
    """

    name = "hook"

    def __init__(self, command: str) -> None:
        try:
            words = shlex.split(command, posix=os.name != "nt")
        except ValueError as error:
            raise OutputError(f"hook {command!r}: {error}; expected a program and its arguments") from None
        if not words or shutil.which(words[0]) is None:
            raise OutputError(
                f"hook {command!r}: no such program, or it is not executable; expected a program and its arguments"
            )
        self._words = words
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def __call__(self, inspection: Inspection) -> None:
        """Run the command and wait until it ends.

        Raises:
            OSError: it cannot be started, failed or timed out.
        """
        words = [*self._words, inspection.path, str(inspection.verdict or "error")]
        with self._lock:
            if self._stopped:
                return
            # In its own process group: Ctrl-C ends the watch, and the command may finish.
            running = self._running = subprocess.Popen(
                words, env=_environment(inspection), stdin=subprocess.DEVNULL, start_new_session=True
            )
        try:
            code = running.wait(_HOOK_SECONDS)
        except subprocess.TimeoutExpired:
            _end_group(running)
            raise OSError(f"hook {self._words[0]}: timed out after {_HOOK_SECONDS:g} s") from None
        finally:
            with self._lock:
                self._running = None
        if code and not self._stopped:
            raise OSError(f"hook {self._words[0]}: failed with exit status {code}")

    def stop(self) -> None:
        """End the running command, if there is one, and start no other."""
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
    """End a process and all others of its session: SIGTERM, a short wait, SIGKILL."""
    if sys.platform == "win32":
        with suppress(OSError):
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    with suppress(ProcessLookupError, PermissionError):  # also for children that outlived the first process
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
