"""Writer of a results file: appends rows, resumes an interrupted file, and locks it against other processes.

Rows go to a partial file that is renamed at the end. The lock is held on a separate file that is never replaced. The
operating system holds the lock, and releases it whenever the process ends. The mere existence of a lock file, such as
after a killed process, blocks nobody.
"""

import csv
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clearcast.core.errors import OutputError
from clearcast.core.files import escape_name, replace_file
from clearcast.inference.sinks.inspected import InspectedIndex
from clearcast.inference.sinks.result_rows import (
    PARQUET_SUFFIX,
    LineFormat,
    complete_row,
    count_complete_bytes,
    has_all_columns,
    line_format_of,
    read_raw_lines,
    read_raw_rows,
    to_results_row,
    write_parquet_results,
)
from clearcast.types import Inspection

_FREE, _HELD, _UNKNOWN = "free", "held", "unknown"
_LOCKED_BYTE = 1 << 20  # on Windows nobody can read locked bytes; the text before it stays readable


class ResultsWriter:
    """Writer of an open results file, made by ``open_results_writer``.

    As a context manager, it keeps the rows for resuming after an error.

    Attributes:
        warning: message for the user about the drive of the file, or "".
    """

    def __init__(self, path: Path, partial: Path, lines: LineFormat, file: FileIO, lock: "ResultsLock") -> None:
        self.warning = lock.warning
        self._lock = lock
        self._path = path
        self._partial = partial
        self._lines = lines
        self._extends_existing = path.exists()
        self._file = file
        if os.fstat(file.fileno()).st_size == 0:
            self._append(lines.header)

    def write(self, inspection: Inspection) -> None:
        """Append one row."""
        self._append(self._lines.encode(to_results_row(inspection)))

    def close(self) -> None:
        """Complete the file: rename it to its final name.

        Raises:
            OutputError: another process has created a file of that name.
        """
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            if self._partial != self._path:
                self._finalise()
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Keep the rows so far for resuming; if there are none, remove the file."""
        try:
            empty = os.fstat(self._file.fileno()).st_size <= len(self._lines.header)
            self._file.close()
            if empty and self._partial != self._path:
                self._partial.unlink()
        finally:
            self._lock.release()

    def _finalise(self) -> None:
        if self._path.exists() and not self._extends_existing:
            raise OutputError(
                f"{self._path}: was created by another process and will not be overwritten; the rows are in "
                f"{self._partial}"
            )
        if self._path.suffix.lower() != PARQUET_SUFFIX:
            self._partial.replace(self._path)
            return
        with replace_file(self._path) as temporary:
            write_parquet_results(read_raw_lines(self._partial, self._lines), temporary)
        self._partial.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.stop()

    def _append(self, text: str) -> None:
        remaining = memoryview(text.encode("utf-8"))
        while remaining:
            remaining = remaining[self._file.write(remaining) :]


def open_results_writer(
    path: Path, *, model: str, resume: bool, live: bool = False
) -> tuple[ResultsWriter, InspectedIndex]:
    """Open a results file for writing, and index the images that it already has.

    A file of an earlier version is upgraded with the columns that it lacks, empty in its rows.

    Args:
        path: ends in .csv, .jsonl or .ndjson (JSON lines), or .parquet.
        model: value of the column ``model`` of all rows.
        resume: continue an existing file, complete or not, or start a new one.
        live: write to ``path`` itself, for a file that is never complete; not for Parquet, which cannot be appended to.

    Returns:
        The open file, and the index of its images.

    Raises:
        OutputError: an unknown suffix; the file exists, without ``resume``; with it, it has other columns or another
            model; another process is writing it; or it cannot be written.
        MissingDependencyError: Parquet without pyarrow.
    """
    lines = line_format_of(path)
    if live and path.suffix.lower() == PARQUET_SUFFIX:
        raise OutputError(f"{path}: cannot append rows to Parquet; choose .csv or .jsonl")
    partial = path if live else path.with_name(f"{path.name}.partial")
    with ExitStack() as opened:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = ResultsLock(path)
            opened.callback(lock.release)
            if not resume:
                _require_new(path, partial)
            if not live and path.exists():
                _copy_complete_rows(path, partial, lines, model)
            if partial.exists() and not has_all_columns(partial, lines):
                _copy_rows(partial, partial, lines)
            file = opened.enter_context(partial.open("ab", buffering=0))
            inspected = _index_rows(_parse_rows(read_raw_lines(partial, lines), partial, model))
            file.truncate(count_complete_bytes(partial, lines))
            writer = ResultsWriter(path, partial, lines, file, lock)
        except OSError as error:
            raise OutputError(f"{path}: cannot write ({error}); free some space or choose another place") from None
        opened.pop_all()
    return writer, inspected


def _require_new(path: Path, partial: Path) -> None:
    if path.exists():
        raise OutputError(
            f"{path}: already exists and will not be overwritten; extend it with --resume, or choose another file"
        )
    if partial.exists():
        raise OutputError(f"{partial}: has rows of an interrupted run; continue it with --resume, or remove the file")


def _copy_complete_rows(path: Path, partial: Path, lines: LineFormat, model: str) -> None:
    """Make the partial file start with the rows of a complete file."""
    existing = _parse_rows(read_raw_rows(path, lines), path, model)
    if not partial.exists():
        for _ in existing:  # check everything before writing anything
            pass
        _copy_rows(path, partial, lines)
        return
    inspected = _index_rows(_parse_rows(read_raw_lines(partial, lines), partial, model))
    if any(row["path"] not in inspected for row in existing):
        raise OutputError(f"{path} has rows that {partial} lacks; remove the outdated one of the two")


def _copy_rows(path: Path, partial: Path, lines: LineFormat) -> None:
    """Copy complete rows, with all columns; the target is replaced atomically."""
    with replace_file(partial) as temporary:
        if path.suffix.lower() != PARQUET_SUFFIX and has_all_columns(path, lines):
            shutil.copyfile(path, temporary)
            os.truncate(temporary, count_complete_bytes(temporary, lines))
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(lines.header)
            file.writelines(lines.encode(row) for row in read_raw_rows(path, lines))


def _parse_rows(rows: Iterable[dict[str, Any]], path: Path, model: str) -> Iterator[dict[str, Any]]:
    """Decode rows, with paths as the system knows them; raise if one is of another model."""
    try:
        for row in map(complete_row, rows):
            if row["model"] != escape_name(model):
                raise OutputError(
                    f"{path}: expected rows of the model {model!r}, got {row['model']!r}; choose another file"
                )
            yield row
    except (ValueError, csv.Error) as error:  # ValueError: also text that is not UTF-8, JSON, Parquet
        raise OutputError(f"{path}: cannot resume from this file ({error}); choose another") from None


def _index_rows(rows: Iterable[dict[str, Any]]) -> InspectedIndex:
    inspected = InspectedIndex()
    for row in rows:
        inspected.add_row(row)
    return inspected


class ResultsLock:
    """Exclusive lock on a results file, from construction to ``release``.

    Attributes:
        warning: message for the user if the drive does not support locks, else "".

    Raises:
        OutputError: another process holds the lock.
        OSError: the lock file cannot be written.
    """

    def __init__(self, results: Path) -> None:
        target = results.resolve()
        self._path = target.with_name(f".{target.name}.lock")
        self.warning = ""
        while True:
            self._file = FileIO(self._path, "a+")
            state = _try_lock(self._file)
            if state == _HELD:
                owner = _read_owner(self._file)
                self._file.close()
                raise OutputError(f"{results}: {owner} is writing it; wait until it ends, or choose another file")
            if _has_path(self._file, self._path):
                break
            self._file.close()  # the previous owner removed it between our opening and our locking
        if state == _UNKNOWN:
            self.warning = (
                f"{results}: this drive does not support locks; make sure that no other process writes the file at the "
                "same time"
            )
        self._file.truncate(0)
        self._file.write(f"{os.getpid()} {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Release the lock; no effect if called again."""
        if self._file.closed:
            return
        with suppress(OSError):  # Windows cannot remove an open file
            self._path.unlink()
        self._file.close()
        if sys.platform == "win32":
            with suppress(OSError):  # another process may have it by now
                self._path.unlink()


def _has_path(file: FileIO, path: Path) -> bool:
    """Return whether an open file still has that path; if not, a third process may have locked a new one."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _read_owner(file: FileIO) -> str:
    """Describe the process that wrote the lock file."""
    try:
        file.seek(0)
        number, host = file.read(300).decode().split()
        where = "" if host == socket.gethostname() else f" on {host}"
        return f"another process ({int(number)}{where})"
    except (OSError, ValueError):  # not written yet
        return "another process"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: FileIO) -> str:
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return _HELD
        except OSError:
            return _UNKNOWN
        return _FREE

else:
    import fcntl

    def _try_lock(file: FileIO) -> str:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _HELD
        except OSError:  # some network drives do not support locks
            return _UNKNOWN
        return _FREE
