"""Keeping SQLite's journal small.

SQLite takes its journal up from the beginning only when nobody reads what is in it. Readers that follow each other
without a pause, as several pages do that are looked at, would let it grow for ever.
"""

import logging
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, QueuePool, exc

from clearcast.station.log.remains import journal_of

JOURNAL_BYTES: Final = 32 * 1024 * 1024
_PATIENCE = 1000  # milliseconds that readers may take to end, while nobody writes
_logger = logging.getLogger(__name__)


class Journal:
    """Empties the journal of a file of SQLite when it has become large; of other databases it does nothing.

    Not safe to use from several threads at a time.

    Args:
        engines: all that have connections to one database.
    """

    def __init__(self, *engines: Engine) -> None:
        url = engines[0].url
        database = url.database if url.get_backend_name() == "sqlite" else None
        self._engines = engines
        self._path = journal_of(Path(database))[0] if database else None
        self._limit = JOURNAL_BYTES

    def shorten(self) -> None:
        """Empty it if it is large; where readers hold it for longer, once it has grown by as much again."""
        if self._path and _size(self._path) > self._limit:
            self._empty()
            self._limit = _size(self._path) + JOURNAL_BYTES

    @property
    def is_missing(self) -> bool:
        """Whether it was removed although connections use it; what it held is theirs alone then."""
        return bool(self._path and any(map(_has_connection, self._engines)) and not self._path.exists())

    def rescue(self) -> bool:
        """Write what a missing journal held into the file, by a connection that has it; False: not all of it."""
        done = self._empty()
        if done:
            _logger.error(
                "%s was removed while it was in use. What it held is in the log now; never remove it, it is a part of "
                "the log",
                self._path,
            )
        return done

    def _empty(self) -> bool:
        """Write all of it into the file; False: readers hold it, or the file cannot be written."""
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
        """One that has a connection: a new one would not know a journal that was removed."""
        return next(filter(_has_connection, self._engines), self._engines[0])


def _has_connection(engine: Engine) -> bool:
    return isinstance(engine.pool, QueuePool) and engine.pool.checkedin() > 0


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
