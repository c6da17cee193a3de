"""Checkpointing of SQLite's write-ahead log (the journal), to keep it small.

SQLite reuses its journal from the beginning only when no reader uses it. Overlapping readers, such as several open
pages, would let it grow without limit.
"""

import logging
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, QueuePool, exc

from clearcast.station.log.remains import journal_of

JOURNAL_BYTES: Final = 32 * 1024 * 1024
_PATIENCE = 1000  # milliseconds to wait for readers, while writers are blocked
_logger = logging.getLogger(__name__)


class Journal:
    """Truncates the journal of an SQLite file when it is large; does nothing for other databases.

    Not thread-safe.

    Args:
        engines: all engines with connections to the database.
    """

    def __init__(self, *engines: Engine) -> None:
        url = engines[0].url
        database = url.database if url.get_backend_name() == "sqlite" else None
        self._engines = engines
        self._path = journal_of(Path(database))[0] if database else None
        self._limit = JOURNAL_BYTES

    def shorten(self) -> None:
        """Truncate the journal if it is large; if readers prevent that, retry once it has grown by as much again."""
        if self._path and _size(self._path) > self._limit:
            self._checkpoint()
            self._limit = _size(self._path) + JOURNAL_BYTES

    @property
    def is_missing(self) -> bool:
        """Whether the journal was removed while connections use it; only they still have its content."""
        return bool(self._path and any(map(_has_connection, self._engines)) and not self._path.exists())

    def rescue(self) -> bool:
        """Write a missing journal's content into the database file through an open connection; False: not all of it."""
        done = self._checkpoint()
        if done:
            _logger.error(
                "%s was removed while it was in use. Its content has been saved to the log; never remove it, it is "
                "part of the log",
                self._path,
            )
        return done

    def _checkpoint(self) -> bool:
        """Write the whole journal into the database file; False: readers use it, or the file cannot be written."""
        with suppress(sqlite3.Error, exc.SQLAlchemyError), closing(self._connected.raw_connection()) as connection:
            cursor = connection.cursor()
            (before,) = cursor.execute("PRAGMA busy_timeout").fetchone() or (0,)
            cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
            try:
                (busy, _, _) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() or (1, 0, 0)
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {before}")
            return busy == 0
        return False

    @property
    def _connected(self) -> Engine:
        """An engine with an open connection: a new connection would not see a removed journal."""
        return next(filter(_has_connection, self._engines), self._engines[0])


def _has_connection(engine: Engine) -> bool:
    return isinstance(engine.pool, QueuePool) and engine.pool.checkedin() > 0


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
