"""Revoked sessions: those that were signed out before they expired."""

import logging
import threading
import time
from pathlib import Path

from clearcast.files import replace_file
from clearcast.station.api.tokens import Session

_MIN_REWRITE = 1000  # sessions; below, expired ones are not worth removing
_MAX_DIGITS = 12  # of a Unix time
_logger = logging.getLogger("uvicorn.error")


class Revocations:
    """Set of revoked sessions, kept until they expire; in a file, so that they stay revoked after a restart.

    If the file cannot be read or written, a warning is logged; sessions revoked since the start stay revoked.

    Args:
        path: of the file; None: in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._ends = _read(path) if path and path.exists() else {}
        self._lock = threading.Lock()
        self._rewrite_at = 0  # number of sessions from which the file is rewritten without expired ones

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
                self._rewrite_at = 0  # the next call writes this one too
                _logger.warning("%s: cannot save a revoked session (%s)", self._path, error)

    def _rewrite(self) -> None:
        now = time.time()
        self._ends = {number: ends for number, ends in self._ends.items() if ends > now}
        if self._path:
            with replace_file(self._path) as temporary:
                temporary.write_text("".join(map(_line, self._ends, self._ends.values())), "ascii")
        self._rewrite_at = max(_MIN_REWRITE, 2 * len(self._ends))


def _line(number: str, ends: int) -> str:
    return f"{number} {ends}\n"


def _append(path: Path, session: Session) -> None:
    with path.open("a", encoding="ascii") as file:
        file.write(_line(session.number, session.ends))


def _read(path: Path) -> dict[str, int]:
    """Read the sessions of a file; damaged lines are skipped."""
    try:
        lines = path.read_text("ascii", errors="replace").splitlines()
    except OSError as error:
        _logger.warning("%s: cannot read the revoked sessions (%s)", path, error)
        return {}
    found, damaged = dict[str, int](), 0
    for line in lines:
        number, _, ends = line.strip().partition(" ")
        if number and ends.isdecimal() and len(ends) <= _MAX_DIGITS:
            found[number] = int(ends)
        else:
            damaged += 1
    if damaged:
        _logger.warning("%s: %d of %d lines are damaged; these sessions may be valid again", path, damaged, len(lines))
    return found
