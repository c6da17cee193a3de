"""Backups of a log in SQLite, by SQLite's own means; they may be made while stations write."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from clearcast.errors import OutputError
from clearcast.progress import Progress
from clearcast.station.log.away import LogAway
from clearcast.station.log.opening import VERSIONS, log_url, place_of

LOG_FILE = "log.sqlite"  # in a station's folder
_PAGES = 4096  # that are copied between two reports of progress
_PATIENCE = 30  # seconds that another program may lock the log


def back_up_log(place: str, out: Path, progress: Progress | None = None) -> None:
    """Copy a log as it is at this moment into a new file, and check the copy.

    Args:
        place: a station's folder, or its log as a file of SQLite.
        out: the new file; what is there is never overwritten.
        progress: called with (done, all) pages.

    Raises:
        OutputError: there is no such log, ``out`` is there or cannot be written, or the copy is damaged.
        LogAway: the log cannot be read just now.
    """
    source = _file_of(place)
    if out.exists() or out.is_symlink():
        raise OutputError(f"{out} is there, and nothing is overwritten; name another file")
    with _temporary_beside(out) as temporary:
        _copy(source, temporary, progress)
        _check(source, temporary)
        _publish(temporary, out)


def _file_of(place: str) -> Path:
    if "://" in place and log_url(place).get_backend_name() != "sqlite":
        raise OutputError(
            f"{place_of(log_url(place))}: a log in PostgreSQL is backed up by PostgreSQL's own pg_dump: "
            "pg_dump --format=custom --file=OUT DATABASE"
        )
    path = Path(log_url(place).database or "") if "://" in place else Path(place)
    path = path / LOG_FILE if path.is_dir() else path
    if not path.is_file():
        raise OutputError(f"{path}: no such log; expected a station's folder with its {LOG_FILE}, or such a file")
    return path


@contextmanager
def _temporary_beside(out: Path) -> Iterator[Path]:
    """An empty file in the same folder that only its owner can read, removed at the end."""
    try:
        number, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
        os.close(number)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another place") from None
    temporary = Path(name)
    try:
        yield temporary
    finally:
        for path in (temporary, *(temporary.with_name(temporary.name + end) for end in ("-journal", "-wal", "-shm"))):
            path.unlink(missing_ok=True)


def _copy(source: Path, target: Path, progress: Progress | None) -> None:
    def report(_: int, remaining: int, total: int) -> None:
        if progress:
            progress(total - remaining, total)

    try:
        # "rw" makes no file; a log that nobody has open cannot be read without writing its index.
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=_PATIENCE)) as log,
            closing(sqlite3.connect(target)) as copy,
        ):
            # One state from begin to end; without, every write of another process would begin the copy anew.
            log.execute("BEGIN")
            _require_log(log, source)
            copy.execute("PRAGMA synchronous = OFF")  # it is flushed once, when it is whole
            log.backup(copy, pages=_PAGES, progress=report)
            copy.execute("PRAGMA journal_mode = DELETE")  # so that the copy is a single file
    except sqlite3.OperationalError as error:
        raise LogAway(f"The log {source} could not be copied to {target.parent}: {error}; try again") from error
    except sqlite3.DatabaseError as error:
        raise OutputError(f"{source}: not a log in SQLite, or a damaged one ({error})") from error


def _require_log(log: sqlite3.Connection, source: Path) -> None:
    tables = {name for (name,) in log.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {VERSIONS, "inspections"} <= tables:
        raise OutputError(
            f"{source}: not a station's log, or one without its tables; expected a station's folder with its {LOG_FILE}"
        )


def _check(source: Path, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        (found, *_) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise OutputError(f"{source}: the copy is damaged, and so the log may be ({found}); no backup was written")


def _publish(temporary: Path, out: Path) -> None:
    """Flush the copy and give it its name, unless something took that meanwhile."""
    try:
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.link(temporary, out)
    except FileExistsError:
        raise OutputError(f"{out} is there by now, and nothing is overwritten; name another file") from None
    except OSError as error:
        if out.exists():
            raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another place") from None
        temporary.replace(out)  # a file system without links
