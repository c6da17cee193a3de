"""Sessions that people signed out of before they ended."""

import logging
import threading
import time
from pathlib import Path

from clearcast.files import replace_file
from clearcast.station.api.tokens import Session

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

    def __contains__(self, session: Session) -> bool:
        return session.number in self._ends

    def add(self, session: Session) -> None:
        """Revoke a session."""
        with self._lock:
            now = time.time()
            self._ends = {number: ends for number, ends in self._ends.items() if ends > now}
            self._ends[session.number] = session.ends
            if self._path:
                _write(self._path, self._ends)


def _read(path: Path) -> dict[str, int]:
    try:
        pairs = [line.split() for line in path.read_text("ascii").splitlines()]
        return {number: int(ends) for number, ends in pairs}
    except (OSError, ValueError) as error:
        _logger.warning("%s: the sessions that were signed out cannot be read (%s)", path, error)
        return {}


def _write(path: Path, sessions: dict[str, int]) -> None:
    try:
        with replace_file(path) as temporary:
            temporary.write_text("".join(f"{number} {ends}\n" for number, ends in sessions.items()), "ascii")
    except OSError as error:
        _logger.warning("%s: a session was signed out, but this cannot be kept (%s)", path, error)
