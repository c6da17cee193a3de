"""What is left of a log in SQLite whose files were taken apart by hand; it is refused instead of being begun anew."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL

from clearcast.errors import OutputError
from clearcast.station.layout import is_shard

_PATIENCE = 10  # seconds that another program may lock the file
_logger = logging.getLogger(__name__)


def journal_of(path: Path) -> tuple[Path, Path]:
    """The journal of a file of SQLite, which is a part of it, and the journal's index; they need not be there."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def require_whole(url: URL, pictures: Path | None) -> None:
    """Refuse to begin a log anew beside what is left of one.

    Args:
        url: of the log; one of PostgreSQL is taken as it is.
        pictures: the folder of its pictures; None: not known.

    Raises:
        OutputError: the file is gone and its journal is not; the journal was removed; or the file has no tables, though
            there are pictures.
    """
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    path = Path(url.database)
    journal, index = journal_of(path)
    if path.exists():
        if _is_lost(journal, index):
            raise OutputError(
                f"The journal {journal} was removed: it is a part of the log, and without it, what was logged last is "
                "missing. Put it back; if that cannot be, restore a backup made by 'clearcast log backup', or remove "
                f"{index.name} to go on with what is left"
            )
        if pictures and _holds_pictures(pictures) and not has_tables(path):
            raise OutputError(
                f"The log {path} holds no tables, though pictures of earlier inspections are in {pictures}: it was "
                f"emptied, or its journal {journal.name}, which is a part of it, was removed. Put {journal.name} back, "
                f"or a backup made by 'clearcast log backup'; to begin a new log, move {path.name} away"
            )
    elif journal.exists() and journal.stat().st_size:
        raise OutputError(
            f"The log {path} is gone, but its journal {journal.name} is there: put {path.name} back beside it, or a "
            f"backup in the place of both; to begin a new log, move {journal.name} away too"
        )
    elif pictures and _holds_pictures(pictures):
        _logger.warning("%s is not there, though pictures of earlier inspections are: a new log is begun", path)


def _is_lost(journal: Path, index: Path) -> bool:
    """Whether a journal was removed by hand: SQLite makes it before its index, and removes it afterwards.

    Looked at twice, since another process may open the log meanwhile.
    """
    return not journal.exists() and index.exists() and not journal.exists()


def has_tables(path: Path) -> bool:
    """Whether a file of SQLite holds anything; also true of a file that cannot be read as such, or only later."""
    if path.stat().st_size == 0:
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_PATIENCE)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return int(count) > 0
    except sqlite3.Error:  # it is for whoever opens it as a log to say so
        return True


def _holds_pictures(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(is_shard(entry.name) for entry in entries)
    except OSError:
        return False
