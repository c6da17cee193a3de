"""Detection of incomplete SQLite logs, whose files were separated or removed; they are refused, not recreated."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL

from clearcast.errors import OutputError
from clearcast.station.layout import is_shard

_LOCK_TIMEOUT = 10  # seconds
_logger = logging.getLogger(__name__)


def journal_of(path: Path) -> tuple[Path, Path]:
    """Return the paths of an SQLite file's journal, a part of the database, and its index; they may not exist."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def require_whole(url: URL, pictures: Path | None) -> None:
    """Refuse an incomplete SQLite log, instead of starting a new one.

    Args:
        url: URL of the log; PostgreSQL is not checked.
        pictures: folder of the station's images; None: unknown.

    Raises:
        OutputError: the file is missing but its journal exists; the journal was removed; or the file has no tables,
            though there are images.
    """
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    path = Path(url.database)
    journal, index = journal_of(path)
    if path.exists():
        if _is_lost(journal, index):
            raise OutputError(
                f"The journal {journal} was removed: it is part of the log, and without it the latest entries are "
                "missing. Put it back; if that is impossible, restore a backup made by 'clearcast log backup', or "
                f"remove {index.name} to continue without them"
            )
        if pictures and _contains_images(pictures) and not has_tables(path):
            raise OutputError(
                f"The log {path} has no tables, though images of earlier inspections are in {pictures}: it was "
                f"emptied, or its journal {journal.name}, which is part of it, was removed. Put {journal.name} back, "
                f"or restore a backup made by 'clearcast log backup'; to start a new log, move {path.name} away"
            )
    elif journal.exists() and journal.stat().st_size:
        raise OutputError(
            f"The log {path} is missing, but its journal {journal.name} exists: put {path.name} back beside it, or "
            f"replace both by a backup; to start a new log, move {journal.name} away too"
        )
    elif pictures and _contains_images(pictures):
        _logger.warning("%s is missing, though images of earlier inspections exist: starting a new log", path)


def _is_lost(journal: Path, index: Path) -> bool:
    """Return whether a journal was removed by hand: SQLite creates it before its index, and removes it after.

    Checked twice, since another process may open the log at the same time.
    """
    return not journal.exists() and index.exists() and not journal.exists()


def has_tables(path: Path) -> bool:
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
            return any(is_shard(entry.name) for entry in entries)
    except OSError:
        return False
