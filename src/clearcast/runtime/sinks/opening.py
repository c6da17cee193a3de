"""Results writer: creates or resumes a results file, appends row by row, and renames it when it is complete.

During a run, rows go to ``results.csv.partial``; at the end it becomes ``results.csv``, so that a file of that name is
always complete. Each row is passed to the operating system at once: a killed process loses none, and a truncated last
row is removed on resume. A power failure may lose the rows of the last seconds; on resume they are written again.

The file is locked first, because two processes would lose and duplicate rows.
"""

import csv
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clearcast.domain import Inspection
from clearcast.errors import OutputError
from clearcast.filenames import escape_name
from clearcast.files import replace_file
from clearcast.runtime.sinks.inspected import Inspected
from clearcast.runtime.sinks.lock import ResultsLock
from clearcast.runtime.sinks.parquet import write_parquet
from clearcast.runtime.sinks.reading import (
    PARQUET,
    has_all_columns,
    line_rows,
    lines_of,
    stored_rows,
    whole_bytes,
)
from clearcast.runtime.sinks.rows import Lines, named_row, row_of


class Sink:
    """Open results file, made by ``open_sink``. As a context manager, it keeps the rows for resuming after an error.

    Attributes:
        warning: message for the user about the drive of the file, or "".
    """

    def __init__(self, path: Path, growing: Path, lines: Lines, file: FileIO, lock: ResultsLock) -> None:
        self.warning = lock.warning
        self._lock = lock
        self._path = path
        self._growing = growing
        self._lines = lines
        self._extends = path.exists()
        self._file = file
        if os.fstat(file.fileno()).st_size == 0:
            self._append(lines.header)

    def write(self, inspection: Inspection) -> None:
        """Append one row."""
        self._append(self._lines.encode(row_of(inspection)))

    def close(self) -> None:
        """Complete the file: rename it to its final name.

        Raises:
            OutputError: another process has created a file of that name.
        """
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            if self._growing != self._path:
                self._finalise()
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Keep the rows so far for resuming; if there are none, remove the file."""
        try:
            empty = os.fstat(self._file.fileno()).st_size <= len(self._lines.header)
            self._file.close()
            if empty and self._growing != self._path:
                self._growing.unlink()
        finally:
            self._lock.release()

    def _finalise(self) -> None:
        if self._path.exists() and not self._extends:
            raise OutputError(
                f"{self._path}: was created by another process and will not be overwritten; the rows are in "
                f"{self._growing}"
            )
        if self._path.suffix.lower() != PARQUET:
            self._growing.replace(self._path)
            return
        with replace_file(self._path) as temporary:
            write_parquet(line_rows(self._growing, self._lines), temporary)
        self._growing.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.stop()

    def _append(self, text: str) -> None:
        rest = memoryview(text.encode("utf-8"))
        while rest:
            rest = rest[self._file.write(rest) :]


def open_sink(path: Path, *, model: str, resume: bool, live: bool = False) -> tuple[Sink, Inspected]:
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
    lines = lines_of(path)
    if live and path.suffix.lower() == PARQUET:
        raise OutputError(f"{path}: cannot append rows to Parquet; choose .csv or .jsonl")
    growing = path if live else path.with_name(f"{path.name}.partial")
    with ExitStack() as opened:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = ResultsLock(path)
            opened.callback(lock.release)
            if not resume:
                _require_new(path, growing)
            if not live and path.exists():
                _carry_over(path, growing, lines, model)
            if growing.exists() and not has_all_columns(growing, lines):
                _copy(growing, growing, lines)
            file = opened.enter_context(growing.open("ab", buffering=0))
            inspected = _index(_checked(line_rows(growing, lines), growing, model))
            file.truncate(whole_bytes(growing, lines))
            sink = Sink(path, growing, lines, file, lock)
        except OSError as error:
            raise OutputError(f"{path}: cannot write ({error}); free some space or choose another place") from None
        opened.pop_all()
    return sink, inspected


def _require_new(path: Path, growing: Path) -> None:
    if path.exists():
        raise OutputError(
            f"{path}: already exists and will not be overwritten; extend it with --resume, or choose another file"
        )
    if growing.exists():
        raise OutputError(f"{growing}: has rows of an interrupted run; continue it with --resume, or remove the file")


def _carry_over(path: Path, growing: Path, lines: Lines, model: str) -> None:
    """Make ``growing`` start with the rows of a complete file."""
    existing = _checked(stored_rows(path, lines), path, model)
    if not growing.exists():
        for _ in existing:  # check everything before writing anything
            pass
        _copy(path, growing, lines)
        return
    inspected = _index(_checked(line_rows(growing, lines), growing, model))
    if any(row["path"] not in inspected for row in existing):
        raise OutputError(f"{path} has rows that {growing} lacks; remove the outdated one of the two")


def _copy(path: Path, growing: Path, lines: Lines) -> None:
    """Copy complete rows, with all columns; the target is replaced atomically."""
    with replace_file(growing) as temporary:
        if path.suffix.lower() != PARQUET and has_all_columns(path, lines):
            shutil.copyfile(path, temporary)
            os.truncate(temporary, whole_bytes(temporary, lines))
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(lines.header)
            file.writelines(lines.encode(row) for row in stored_rows(path, lines))


def _checked(rows: Iterable[dict[str, Any]], path: Path, model: str) -> Iterator[dict[str, Any]]:
    """Decode rows, with paths as the system knows them; raise if one is of another model."""
    try:
        for row in map(named_row, rows):
            if row["model"] != escape_name(model):
                raise OutputError(
                    f"{path}: expected rows of the model {model!r}, got {row['model']!r}; choose another file"
                )
            yield row
    except (ValueError, csv.Error) as error:  # ValueError: also text that is not UTF-8, JSON, Parquet
        raise OutputError(f"{path}: cannot resume from this file ({error}); choose another") from None


def _index(rows: Iterable[dict[str, Any]]) -> Inspected:
    inspected = Inspected()
    for row in rows:
        inspected.add_row(row)
    return inspected
