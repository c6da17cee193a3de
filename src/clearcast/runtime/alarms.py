"""Tell of defects and retakes outside: run a command, post to an address. What fails is told, and stops nothing.

Each target has a queue and a thread of its own, so that a dead address delays no command. Nothing here ever keeps the
inspection waiting: a queue that is full loses its oldest alarm, since the newest is of the part that is passing now.
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
"""Called with the inspection of a picture that is not ok; raises what it likes where it failed."""

_POST_SECONDS = 10
_PAUSES = (1.0, 3.0)  # seconds between the attempts of a post
_WAITING = 1000  # alarms of one target
_ENDING_SECONDS = 10.0  # that alarms are given when the watch ends
_NAMED = 3  # pictures whose alarms were lost that a message names


class Alarms:
    """Raises alarms, those of each target one after the other in a thread of its own.

    In a ``with``; at its end, alarms that wait or are under way are given some seconds, and then it is told which were
    not raised. ``tell`` is given what failed, in any thread.
    """

    def __init__(self, alarms: Sequence[Alarm], tell: Callable[[str], None]) -> None:
        self._targets = [_Target(alarm, tell) for alarm in alarms]

    def raise_for(self, inspection: Inspection) -> None:
        """Raise all alarms for a picture, soon; returns at once."""
        for target in self._targets:
            target.put(inspection)

    def __enter__(self) -> Self:
        for target in self._targets:
            target.thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        end = time.monotonic() + _ENDING_SECONDS
        for target in self._targets:
            target.close()
        try:
            for target in self._targets:
                target.thread.join(max(0.0, end - time.monotonic()))
        finally:  # also when a second Ctrl-C ends the waiting
            for target in self._targets:
                target.abandon()


class _Target:
    """One target's queue and thread."""

    def __init__(self, alarm: Alarm, tell: Callable[[str], None]) -> None:
        self.thread = threading.Thread(target=self._work, name="alarms", daemon=True)
        self._alarm = alarm
        self._tell = tell
        self._changed = threading.Condition()
        self._waiting: deque[Inspection] = deque()
        self._under_way: Inspection | None = None
        self._lost = 0
        self._closed = False

    def put(self, inspection: Inspection) -> None:
        """Raise an alarm when its turn comes."""
        with self._changed:
            if len(self._waiting) >= _WAITING:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(inspection)
            self._changed.notify()

    def close(self) -> None:
        """End the thread when nothing waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def abandon(self) -> None:
        """End what is under way, and say what was not raised."""
        with self._changed:
            lost = [each for each in (self._under_way, *self._waiting) if each]
            self._waiting.clear()
        if isinstance(self._alarm, Hook):
            self._alarm.stop()
        if lost:
            names = ", ".join(each.path for each in lost[:_NAMED])
            more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
            self._say(
                f"{getattr(self._alarm, 'name', 'alarm')}: not delivered for {names}{more}; the results have them"
            )

    def _work(self) -> None:
        while True:
            with self._changed:
                self._under_way = None
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                inspection = self._under_way = self._waiting.popleft()
                lost, self._lost = self._lost, 0
            if lost:
                self._say(f"{getattr(self._alarm, 'name', 'alarm')}: too slow; the oldest {lost} alarms were dropped")
            try:
                self._alarm(inspection)
            except Exception as error:  # whatever an alarm does, the next ones are raised
                self._say(f"{inspection.path}: {error}")

    def _say(self, message: str) -> None:
        with suppress(Exception):  # nobody may be there to hear it
            self._tell(message)


def hook_alarm(command: str) -> Alarm:
    """An alarm that runs a command; see ``hooks.Hook``.

    Raises:
        OutputError: there is no such command.
    """
    return Hook(command)


def webhook_alarm(url: str) -> Alarm:
    """An alarm that posts the row as JSON to an address, three times at most, until it answers 2xx.

    Raises:
        OutputError: not an address of http or https.
    """
    return _Webhook(url)


class _Webhook:
    name = "webhook"

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise OutputError(f"webhook {url!r}: needed is an address such as https://host/path")
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
    """A redirected post would become an empty question to somebody else, and look like a success."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow nowhere."""
