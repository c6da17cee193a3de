"""Backup of an SQLite log with SQLite's backup API; stations may write to the log at the same time."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from clearcast.core.console import ProgressCallback
from clearcast.core.errors import OutputError
from clearcast.station.log.database import VERSION_TABLE, LogUnavailable, describe_log_url, log_url

LOG_FILE = "log.sqlite"  # in a station's folder
_BATCH_PAGES = 4096  # pages copied between two progress reports
_LOCK_TIMEOUT = 30  # seconds


def back_up_log(place: str, out: Path, progress: ProgressCallback | None = None) -> None:
    """Copy the current state of a log into a new file, and check the copy.

    Args:
        place: a station's folder, or its SQLite log file.
        out: the new file; an existing file is never overwritten.
        progress: called with (done, all) pages.

    Raises:
        OutputError: there is no such log, ``out`` exists or cannot be written, or the copy is damaged.
        LogUnavailable: the log cannot be read at the moment.
    """
    source = _find_log_file(place)
    if out.exists() or out.is_symlink():
        raise OutputError(f"{out} exists and will not be overwritten; choose another file")
    with _temporary_file(out) as temporary:
        _copy(source, temporary, progress)
        _check(source, temporary)
        _publish(temporary, out)


def _find_log_file(place: str) -> Path:
    if "://" in place and log_url(place).get_backend_name() != "sqlite":
        raise OutputError(
            f"{describe_log_url(log_url(place))}: back up a log in PostgreSQL with PostgreSQL's own pg_dump: "
            "pg_dump --format=custom --file=OUT DATABASE"
        )
    path = Path(log_url(place).database or "") if "://" in place else Path(place)
    path = path / LOG_FILE if path.is_dir() else path
    if not path.is_file():
        raise OutputError(f"{path}: no such log; expected a station's folder with its {LOG_FILE}, or such a file")
    return path


@contextmanager
def _temporary_file(out: Path) -> Iterator[Path]:
    """Create an empty file in the same folder, readable by its owner only; remove it at the end."""
    try:
        number, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
        os.close(number)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another folder") from None
    temporary = Path(name)
    try:
        yield temporary
    finally:
        for path in (temporary, *(temporary.with_name(temporary.name + end) for end in ("-journal", "-wal", "-shm"))):
            path.unlink(missing_ok=True)


def _copy(source: Path, target: Path, progress: ProgressCallback | None) -> None:
    def report(_: int, remaining: int, total: int) -> None:
        if progress:
            progress(total - remaining, total)

    try:
        # "rw" creates no file; reading a log that is not open elsewhere requires writing its index.
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=_LOCK_TIMEOUT)) as log,
            closing(sqlite3.connect(target)) as copy,
        ):
            # One snapshot; without it, every write of another process would restart the copy.
            log.execute("BEGIN")
            _require_log(log, source)
            copy.execute("PRAGMA synchronous = OFF")  # it is flushed once, when complete
            log.backup(copy, pages=_BATCH_PAGES, progress=report)
            copy.execute("PRAGMA journal_mode = DELETE")  # so that the copy is a single file
    except sqlite3.OperationalError as error:
        raise LogUnavailable(f"The log {source} could not be copied to {target.parent}: {error}; try again") from error
    except sqlite3.DatabaseError as error:
        raise OutputError(f"{source}: not an SQLite log, or damaged ({error})") from error


def _require_log(log: sqlite3.Connection, source: Path) -> None:
    tables = {name for (name,) in log.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {VERSION_TABLE, "inspections"} <= tables:
        raise OutputError(
            f"{source}: not a station's log, or its tables are missing; expected a station's folder with its {LOG_FILE}"
        )


def _check(source: Path, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        (found, *_) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise OutputError(f"{source}: the copy is damaged, and perhaps the log ({found}); no backup was written")


def _publish(temporary: Path, out: Path) -> None:
    """Flush the copy and link it to its final name, unless another file has that name by now."""
    try:
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.link(temporary, out)
    except FileExistsError:
        raise OutputError(
            f"{out} was created during the backup and will not be overwritten; choose another file"
        ) from None
    except OSError as error:
        if out.exists():
            raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another folder") from None
        temporary.replace(out)  # the file system has no links
