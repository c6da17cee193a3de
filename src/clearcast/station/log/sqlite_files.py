"""Files of an SQLite log: a log with missing files is refused, and a large journal is truncated."""

import logging
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Engine, QueuePool, exc

from clearcast.core.errors import OutputError
from clearcast.station.retention import is_shard_name

JOURNAL_LIMIT_BYTES: Final = 32 * 1024 * 1024
_LOCK_TIMEOUT = 10  # seconds
_CHECKPOINT_TIMEOUT = 1000  # milliseconds to wait for readers, while writers are blocked
_logger = logging.getLogger(__name__)


def journal_paths(path: Path) -> tuple[Path, Path]:
    """Return the paths of an SQLite file's journal, a part of the database, and its index; they may not exist."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def require_complete_log(url: URL, image_folder: Path | None) -> None:
    """Refuse an incomplete SQLite log, instead of starting a new one.

    Args:
        url: URL of the log; PostgreSQL is not checked.
        image_folder: folder of the station's images; None: unknown.

    Raises:
        OutputError: the file is missing but its journal exists; the journal was removed; or the file has no tables,
            though there are images.
    """
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    path = Path(url.database)
    journal, index = journal_paths(path)
    if path.exists():
        if _is_lost(journal, index):
            raise OutputError(
                f"The journal {journal} was removed: it is part of the log, and without it the latest entries are "
                "missing. Put it back; if that is impossible, restore a backup made by 'clearcast log backup', or "
                f"remove {index.name} to continue without them"
            )
        if image_folder and _contains_images(image_folder) and not has_sqlite_tables(path):
            raise OutputError(
                f"The log {path} has no tables, though images of earlier inspections are in {image_folder}: it was "
                f"emptied, or its journal {journal.name}, which is part of it, was removed. Put {journal.name} back, "
                f"or restore a backup made by 'clearcast log backup'; to start a new log, move {path.name} away"
            )
    elif journal.exists() and journal.stat().st_size:
        raise OutputError(
            f"The log {path} is missing, but its journal {journal.name} exists: put {path.name} back beside it, or "
            f"replace both by a backup; to start a new log, move {journal.name} away too"
        )
    elif image_folder and _contains_images(image_folder):
        _logger.warning("%s is missing, though images of earlier inspections exist: starting a new log", path)


def _is_lost(journal: Path, index: Path) -> bool:
    """Return whether a journal was removed by hand: SQLite creates it before its index, and removes it after.

    Checked twice, since another process may open the log at the same time.
    """
    return not journal.exists() and index.exists() and not journal.exists()


def has_sqlite_tables(path: Path) -> bool:
    """Return whether an SQLite file has tables; True also if it cannot be read, or is locked."""
    if path.stat().st_size == 0:
        return False
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_LOCK_TIMEOUT)
        ) as connection:
            (count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return int(count) > 0
    except sqlite3.Error:  # opening it as a log reports the error
        return True


def _contains_images(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(is_shard_name(entry.name) for entry in entries)
    except OSError:
        return False


class SqliteJournal:
    """Truncates the journal of an SQLite file when it is large; does nothing for other databases.

    Not thread-safe.

    Args:
        engines: all engines with connections to the database.
    """

    def __init__(self, *engines: Engine) -> None:
        url = engines[0].url
        database = url.database if url.get_backend_name() == "sqlite" else None
        self._engines = engines
        self._path = journal_paths(Path(database))[0] if database else None
        self._limit = JOURNAL_LIMIT_BYTES

    def shorten(self) -> None:
        """Truncate the journal if it is large; if readers prevent that, retry once it has grown by as much again."""
        if self._path and _size(self._path) > self._limit:
            self._checkpoint()
            self._limit = _size(self._path) + JOURNAL_LIMIT_BYTES

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
            cursor.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_TIMEOUT}")
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
