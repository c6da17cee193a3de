"""Alerts for defects, retakes and errors: run a command, or post to a webhook. Failures are reported, and stop nothing.

Each target has its own queue and thread, so that a dead webhook delays no command. Alerts never block the inspection:
a full queue drops its oldest alert, since the newest is of the part that is passing now.
"""

import json
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

from clearcast.domain import Inspection
from clearcast.errors import OutputError
from clearcast.runtime.hooks import Hook
from clearcast.runtime.sinks.rows import row_of

Alarm = Callable[[Inspection], None]
"""Function that sends an alert for an inspection that is not ok; it may raise any exception on failure."""

_POST_SECONDS = 10
_PAUSES = (1.0, 3.0)  # seconds between the attempts of a post
_QUEUE_SIZE = 1000  # alerts of one target
_SHUTDOWN_SECONDS = 10.0  # for pending alerts when the watch ends
_MAX_NAMED = 3  # images that a message on undelivered alerts names


class Alarms:
    """Alert dispatcher: sends the alerts of each target one after the other in a separate thread.

    Use it as a context manager; at its end, pending alerts get some seconds, and the undelivered ones are reported.
    ``tell`` is called with each failure, in any thread.
    """

    def __init__(self, alarms: Sequence[Alarm], tell: Callable[[str], None]) -> None:
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

    def __init__(self, alarm: Alarm, tell: Callable[[str], None]) -> None:
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
        if isinstance(self._alarm, Hook):
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


def hook_alarm(command: str) -> Alarm:
    """Create an alert that runs a command; see ``hooks.Hook``.

    Raises:
        OutputError: there is no such command.
    """
    return Hook(command)


def webhook_alarm(url: str) -> Alarm:
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
        body = json.dumps(row_of(inspection)).encode()
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
