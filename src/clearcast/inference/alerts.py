"""Hook: runs a user's command for an image, and ends it with all its child processes on a timeout."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException, HTTPMessage
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlsplit

from clearcast.core.errors import OutputError
from clearcast.inference.sinks.result_rows import to_results_row
from clearcast.types import Inspection

_HOOK_SECONDS = 60.0
_GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL


class HookAlert:
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
    row = to_results_row(inspection) | {"path": inspection.path}
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


AlertFunction = Callable[[Inspection], None]
"""Function that sends an alert for an inspection that is not ok; it may raise any exception on failure."""

_POST_SECONDS = 10
_PAUSES = (1.0, 3.0)  # seconds between the attempts of a post
_QUEUE_SIZE = 1000  # alerts of one target
_SHUTDOWN_SECONDS = 10.0  # for pending alerts when the watch ends
_MAX_NAMED = 3  # images that a message on undelivered alerts names


class AlertDispatcher:
    """Alert dispatcher: sends the alerts of each target one after the other in a separate thread.

    Use it as a context manager; at its end, pending alerts get some seconds, and the undelivered ones are reported.
    ``tell`` is called with each failure, in any thread.
    """

    def __init__(self, alarms: Sequence[AlertFunction], tell: Callable[[str], None]) -> None:
        self._targets = [_Target(alarm, tell) for alarm in alarms]

    def send(self, inspection: Inspection) -> None:
        """Queue the alerts for an image; returns at once."""
        for target in self._targets:
            target.put(inspection)

    def __enter__(self) -> Self:
        for target in self._targets:
            target.thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        end = time.monotonic() + _SHUTDOWN_SECONDS
        for target in self._targets:
            target.close()
        try:
            for target in self._targets:
                target.thread.join(max(0.0, end - time.monotonic()))
        finally:  # also if a second Ctrl-C interrupts the waiting
            for target in self._targets:
                target.abandon()


class _Target:
    """Queue and thread of one target."""

    def __init__(self, alarm: AlertFunction, tell: Callable[[str], None]) -> None:
        self.thread = threading.Thread(target=self._work, name="alarms", daemon=True)
        self._alarm = alarm
        self._tell = tell
        self._changed = threading.Condition()
        self._waiting: deque[Inspection] = deque()
        self._current: Inspection | None = None
        self._dropped = 0
        self._closed = False

    def put(self, inspection: Inspection) -> None:
        """Queue an alert."""
        with self._changed:
            if len(self._waiting) >= _QUEUE_SIZE:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(inspection)
            self._changed.notify()

    def close(self) -> None:
        """End the thread when the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def abandon(self) -> None:
        """Stop the current alert, and report the undelivered ones."""
        with self._changed:
            undelivered = [each for each in (self._current, *self._waiting) if each]
            self._waiting.clear()
        if isinstance(self._alarm, HookAlert):
            self._alarm.stop()
        if undelivered:
            names = ", ".join(each.path for each in undelivered[:_MAX_NAMED])
            more = f" and {len(undelivered) - _MAX_NAMED} more" if len(undelivered) > _MAX_NAMED else ""
            self._report(f"{self._name}: not delivered for {names}{more}; their rows are in the results")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._current = None
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                inspection = self._current = self._waiting.popleft()
                dropped, self._dropped = self._dropped, 0
            if dropped:
                self._report(f"{self._name}: too slow; the oldest {dropped} alerts were dropped")
            try:
                self._alarm(inspection)
            except Exception as error:  # whatever happens, the next alerts are sent
                self._report(f"{inspection.path}: {error}")

    @property
    def _name(self) -> str:
        return getattr(self._alarm, "name", "alert")

    def _report(self, message: str) -> None:
        with suppress(Exception):  # the output may be closed
            self._tell(message)


def make_hook_alert(command: str) -> AlertFunction:
    """Create an alert that runs a command; see ``hooks.HookAlert``.

    Raises:
        OutputError: there is no such command.
    """
    return HookAlert(command)


def make_webhook_alert(url: str) -> AlertFunction:
    """Create an alert that posts the row as JSON to a URL, with up to three attempts until the response is 2xx.

    Raises:
        OutputError: not an http or https URL.
    """
    return _Webhook(url)


class _Webhook:
    name = "webhook"

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise OutputError(f"webhook {url!r}: expected a URL such as https://host/path")
        self._url = url
        self._opener = urllib.request.build_opener(_NoRedirect)

    def __call__(self, inspection: Inspection) -> None:
        body = json.dumps(to_results_row(inspection)).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        for pause in (*_PAUSES, None):
            try:
                self._opener.open(request, timeout=_POST_SECONDS).close()
                return
            except (OSError, HTTPException) as error:
                if pause is None:
                    raise OSError(f"webhook: {error}") from None
                time.sleep(pause)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirect handler that follows none: a redirected POST would become an empty GET, and look like a success."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Do not redirect."""
