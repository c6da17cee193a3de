"""Sessions that people signed out of before they ended."""

import logging
import threading
import time
from pathlib import Path

from clearcast.files import replace_file
from clearcast.station.api.tokens import Session

_FEW = 1000  # sessions that cost nothing to keep a little longer than needed
_DIGITS = 12  # of a Unix time
_logger = logging.getLogger("uvicorn.error")


class Revocations:
    """Remembers ended sessions until they would have ended by themselves; in a file, so that a restart revives none.

    Args:
        path: of the file; None: they are remembered in memory alone.

    A file that cannot be read or written is told in the station's output; what was signed out meanwhile stays so.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._ends = _read(path) if path and path.exists() else {}
        self._lock = threading.Lock()
        self._rewrite_at = 0  # the number of sessions from which the file is written anew, without those that ended

    def __contains__(self, session: Session) -> bool:
        return session.number in self._ends

    def add(self, session: Session) -> None:
        """Revoke a session."""
        with self._lock:
            self._ends[session.number] = session.ends
            try:
                if len(self._ends) >= self._rewrite_at:
                    self._rewrite()
                elif self._path:
                    _append(self._path, session)
            except OSError as error:
                self._rewrite_at = 0  # the next one writes all that this one could not
                _logger.warning("%s: a session was signed out, but this cannot be kept (%s)", self._path, error)

    def _rewrite(self) -> None:
        now = time.time()
        self._ends = {number: ends for number, ends in self._ends.items() if ends > now}
        if self._path:
            with replace_file(self._path) as temporary:
                temporary.write_text("".join(map(_line, self._ends, self._ends.values())), "ascii")
        self._rewrite_at = max(_FEW, 2 * len(self._ends))


def _line(number: str, ends: int) -> str:
    return f"{number} {ends}\n"


def _append(path: Path, session: Session) -> None:
    with path.open("a", encoding="ascii") as file:
        file.write(_line(session.number, session.ends))


def _read(path: Path) -> dict[str, int]:
    """The sessions of a file; a damaged line costs only itself."""
    try:
        lines = path.read_text("ascii", errors="replace").splitlines()
    except OSError as error:
        _logger.warning("%s: the sessions that were signed out cannot be read (%s)", path, error)
        return {}
    found, damaged = dict[str, int](), 0
    for line in lines:
        number, _, ends = line.strip().partition(" ")
        if number and ends.isdecimal() and len(ends) <= _DIGITS:
            found[number] = int(ends)
        else:
            damaged += 1
    if damaged:
        _logger.warning("%s: %d of %d lines are damaged; those sessions may live again", path, damaged, len(lines))
    return found
