"""Tell of defects and retakes outside: run a command, post to an address. What fails is told, and stops nothing."""

import json
import os
import shlex
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPMessage
from queue import Queue
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlsplit

from clearcast.domain import Inspection
from clearcast.errors import OutputError
from clearcast.runtime.sinks.rows import row_of

Alarm = Callable[[Inspection], None]
"""Called with the inspection of a picture that is not ok; raises what it likes where it failed."""

_HOOK_SECONDS = 60
_POST_SECONDS = 10
_PAUSES = (1.0, 3.0)  # seconds between the attempts of a post
_WAITING = 1000  # alarms; beyond this, pictures wait for them


class Alarms:
    """Raises alarms one after the other in a thread of its own, so that pictures do not wait for a slow command.

    In a ``with``; at its end, alarms under way are waited for. ``tell`` is given what failed, in that thread.
    """

    def __init__(self, alarms: Sequence[Alarm], tell: Callable[[str], None]) -> None:
        self._alarms = alarms
        self._tell = tell
        self._waiting: Queue[Inspection | None] = Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="alarms", daemon=True)

    def raise_for(self, inspection: Inspection) -> None:
        """Raise all alarms for a picture, soon."""
        if self._alarms:
            self._waiting.put(inspection)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while inspection := self._waiting.get():
            for alarm in self._alarms:
                try:
                    alarm(inspection)
                except Exception as error:  # whatever an alarm does, the next ones are raised
                    self._tell(f"{inspection.path}: {error}")


def hook_alarm(command: str) -> Alarm:
    """An alarm that runs a command, without a shell, with the picture's path and its verdict as last arguments.

    The environment holds the whole row: CLEARCAST_PATH, CLEARCAST_VERDICT, CLEARCAST_P_DEFECT and so on. A command that
    takes more than a minute is ended. (On Windows name a program: a .bat would see names as a shell does.)

    Raises:
        OutputError: there is no such command.
    """
    try:
        words = shlex.split(command, posix=os.name != "nt")
    except ValueError as error:
        raise OutputError(f"hook {command!r}: {error}; needed is a program and its arguments") from None
    if not words or shutil.which(words[0]) is None:
        raise OutputError(
            f"hook {command!r}: there is no such program, or it may not be run; needed is one and its arguments"
        )

    def run(inspection: Inspection) -> None:
        row = row_of(inspection) | {"path": inspection.path}
        texts = {f"CLEARCAST_{name.upper()}": "" if value is None else str(value) for name, value in row.items()}
        subprocess.run(
            [*words, inspection.path, str(inspection.verdict)],
            env={**os.environ, **texts},
            stdin=subprocess.DEVNULL,
            timeout=_HOOK_SECONDS,
            check=True,
            start_new_session=True,  # Ctrl-C is for us; the command may finish
        )

    return run


def webhook_alarm(url: str) -> Alarm:
    """An alarm that posts the row as JSON to an address, three times at most, until it answers 2xx.

    Raises:
        OutputError: not an address of http or https.
    """
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise OutputError(f"webhook {url!r}: needed is an address such as https://host/path")
    opener = urllib.request.build_opener(_NoRedirect)

    def post(inspection: Inspection) -> None:
        body = json.dumps(row_of(inspection)).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        for pause in (*_PAUSES, None):
            try:
                opener.open(request, timeout=_POST_SECONDS).close()
                return
            except (OSError, HTTPException) as error:
                if pause is None:
                    raise OSError(f"webhook: {error}") from None
                time.sleep(pause)

    return post


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected post would become an empty question to somebody else, and look like a success."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow nowhere."""
