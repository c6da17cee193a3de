"""Alerts of the folder watch: a command (hook) or an HTTP request (webhook) for each image that is not ok."""

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

_HOOK_TIMEOUT = 60.0  # seconds
_TERMINATION_TIMEOUT = 2.0  # seconds between SIGTERM and SIGKILL
_WEBHOOK_TIMEOUT = 10  # seconds of one attempt
_RETRY_DELAYS = (1.0, 3.0)  # seconds between the attempts of a webhook
_QUEUE_SIZE = 1000  # alerts of one target
_SHUTDOWN_TIMEOUT = 10.0  # seconds for pending alerts when the watch ends
_MAX_NAMED = 3  # images that a message on undelivered alerts names

AlertFunction = Callable[[Inspection], None]
"""Function that sends an alert for an inspection that is not ok; it may raise any exception on failure."""


class AlertDispatcher:
    """Dispatcher that sends the alerts of each target one after the other, in a separate thread for each.

    Use it as a context manager. At its end, pending alerts get some seconds, and the undelivered ones are reported.

    Args:
        targets: functions that send an alert.
        report: called with a message for each failure, in any thread.
    """

    def __init__(self, targets: Sequence[AlertFunction], report: Callable[[str], None]) -> None:
        self._queues = [_AlertQueue(target, report) for target in targets]

    def send(self, inspection: Inspection) -> None:
        """Queue the alerts for an image; returns at once."""
        for queue in self._queues:
            queue.put(inspection)

    def __enter__(self) -> Self:
        for queue in self._queues:
            queue.thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        end = time.monotonic() + _SHUTDOWN_TIMEOUT
        for queue in self._queues:
            queue.close()
        try:
            for queue in self._queues:
                queue.thread.join(max(0.0, end - time.monotonic()))
        finally:  # also if a second Ctrl-C interrupts the waiting
            for queue in self._queues:
                queue.abandon()


class _AlertQueue:
    """Queue and thread of one target."""

    def __init__(self, send: AlertFunction, report: Callable[[str], None]) -> None:
        self.thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._send = send
        self._report_failure = report
        self._changed = threading.Condition()
        self._pending: deque[Inspection] = deque()
        self._current: Inspection | None = None
        self._dropped = 0
        self._closed = False

    def put(self, inspection: Inspection) -> None:
        """Queue an alert; if the queue is full, the oldest one is dropped."""
        with self._changed:
            if len(self._pending) >= _QUEUE_SIZE:
                self._pending.popleft()
                self._dropped += 1
            self._pending.append(inspection)
            self._changed.notify()

    def close(self) -> None:
        """End the thread when the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def abandon(self) -> None:
        """Stop the current alert, and report the undelivered ones."""
        with self._changed:
            undelivered = [each for each in (self._current, *self._pending) if each]
            self._pending.clear()
        if isinstance(self._send, HookAlert):
            self._send.stop()
        if undelivered:
            names = ", ".join(each.path for each in undelivered[:_MAX_NAMED])
            more = f" and {len(undelivered) - _MAX_NAMED} more" if len(undelivered) > _MAX_NAMED else ""
            self._report(f"{self._name}: not delivered for {names}{more}; their rows are in the results")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._current = None
                self._changed.wait_for(lambda: self._pending or self._closed)
                if not self._pending:
                    return
                inspection = self._current = self._pending.popleft()
                dropped, self._dropped = self._dropped, 0
            if dropped:
                self._report(f"{self._name}: too slow; the oldest {dropped} alerts were dropped")
            try:
                self._send(inspection)
            except Exception as error:  # whatever happens, the next alerts are sent
                self._report(f"{inspection.path}: {error}")

    @property
    def _name(self) -> str:
        return getattr(self._send, "name", "alert")

    def _report(self, message: str) -> None:
        with suppress(Exception):  # the output may be closed
            self._report_failure(message)


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
        self._command = words
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def __call__(self, inspection: Inspection) -> None:
        """Run the command and wait until it ends.

        Raises:
            OSError: it cannot be started, failed or timed out.
        """
        arguments = [*self._command, inspection.path, str(inspection.verdict or "error")]
        with self._lock:
            if self._stopped:
                return
            # In its own process group: Ctrl-C ends the watch, and the command may finish.
            process = self._process = subprocess.Popen(
                arguments, env=_environment(inspection), stdin=subprocess.DEVNULL, start_new_session=True
            )
        try:
            code = process.wait(_HOOK_TIMEOUT)
        except subprocess.TimeoutExpired:
            _terminate_process_group(process)
            raise OSError(f"hook {self._command[0]}: timed out after {_HOOK_TIMEOUT:g} s") from None
        finally:
            with self._lock:
                self._process = None
        if code and not self._stopped:
            raise OSError(f"hook {self._command[0]}: failed with exit status {code}")

    def stop(self) -> None:
        """End the running command, if there is one, and start no other."""
        with self._lock:
            self._stopped = True
            process = self._process
        if process:
            _terminate_process_group(process)


def _environment(inspection: Inspection) -> dict[str, str]:
    row = to_results_row(inspection) | {"path": inspection.path}
    return os.environ | {
        f"CLEARCAST_{name.upper()}": "" if value is None else str(value) for name, value in row.items()
    }


def _terminate_process_group(process: "subprocess.Popen[bytes]") -> None:
    """Terminate a process and all others of its session: SIGTERM, a short wait, SIGKILL."""
    if sys.platform == "win32":
        with suppress(OSError):
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_TERMINATION_TIMEOUT)
    with suppress(ProcessLookupError, PermissionError):  # also for children that outlived the first process
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class WebhookAlert:
    """Alert that posts the row as JSON to a URL, with up to three attempts until the response is 2xx.

    Raises:
        OutputError: not an http or https URL.
    """

    name = "webhook"

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise OutputError(f"webhook {url!r}: expected a URL such as https://host/path")
        self._url = url
        self._opener = urllib.request.build_opener(_NoRedirect)

    def __call__(self, inspection: Inspection) -> None:
        """Post the row.

        Raises:
            OSError: the last attempt failed.
        """
        body = json.dumps(to_results_row(inspection)).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        for delay in (*_RETRY_DELAYS, None):
            try:
                self._opener.open(request, timeout=_WEBHOOK_TIMEOUT).close()
                return
            except (OSError, HTTPException) as error:
                if delay is None:
                    raise OSError(f"webhook: {error}") from None
                time.sleep(delay)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirect handler that follows none: a redirected POST would become an empty GET, and look like a success."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Do not redirect."""
