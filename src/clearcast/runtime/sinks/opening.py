"""Open a results file anew or where it stopped, write row by row, and put it in its place when all is done.

While work goes on, rows are in ``results.csv.partial``; when all is done it becomes ``results.csv``, so that a file of
that name is always whole. Each row is handed to the system at once: a killed process loses none, and what it had begun
to write is cut off when the work goes on. A power failure may take the last seconds' rows, which are then missing from
the end, and are made again.

Before anything else the file is locked: two processes would lose and double rows.
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
    """An open results file; made by ``open_sink``. In a ``with``, an error or Ctrl-C leaves the rows for later.

    Attributes:
        warning: what to tell the user of the place where the file is; "" where there is nothing to tell.
    """

    def __init__(self, path: Path, growing: Path, lines: Lines, file: FileIO, lock: ResultsLock) -> None:
        self.warning = lock.warning
        self._lock = lock
        self._path = path
        self._growing = growing
        self._lines = lines
        self._adds = path.exists()
        self._file = file
        if os.fstat(file.fileno()).st_size == 0:
            self._put(lines.header)

    def write(self, inspection: Inspection) -> None:
        """Write one row."""
        self._put(self._lines.encode(row_of(inspection)))

    def close(self) -> None:
        """All is done: put the file in its place.

        Raises:
            OutputError: somebody else has put a file there meanwhile.
        """
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            if self._growing != self._path:
                self._put_in_place()
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Leave the rows so far for later; where there are none, leave nothing."""
        try:
            empty = os.fstat(self._file.fileno()).st_size <= len(self._lines.header)
            self._file.close()
            if empty and self._growing != self._path:
                self._growing.unlink()
        finally:
            self._lock.release()

    def _put_in_place(self) -> None:
        if self._path.exists() and not self._adds:
            raise OutputError(
                f"{self._path}: has come up meanwhile, and is not overwritten; rows are in {self._growing}"
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

    def _put(self, text: str) -> None:
        rest = memoryview(text.encode("utf-8"))
        while rest:
            rest = rest[self._file.write(rest) :]


def open_sink(path: Path, *, model: str, resume: bool, live: bool = False) -> tuple[Sink, Inspected]:
    """Open a results file, and say which pictures it holds already.

    A file of an earlier version gets the columns that it lacks, empty in the rows that it has.

    Args:
        path: ends in .csv, .jsonl or .ndjson (JSON lines), or .parquet.
        model: what the rows will have in their column ``model``.
        resume: go on with what is there, whole or not, or begin where nothing is.
        live: rows go to ``path`` itself, for a file that is never whole; not for Parquet, which cannot grow.

    Raises:
        OutputError: an unknown suffix; a file that is there, without ``resume``; with it, one of other columns or made
            by another model; another process is writing it; or it cannot be written.
        MissingDependencyError: Parquet without pyarrow.
    """
    lines = lines_of(path)
    if live and path.suffix.lower() == PARQUET:
        raise OutputError(f"{path}: Parquet cannot grow row by row; take .csv or .jsonl")
    growing = path if live else path.with_name(f"{path.name}.partial")
    with ExitStack() as opened:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = ResultsLock(path)
            opened.callback(lock.release)
            if not resume:
                _require_nothing(path, growing)
            if not live and path.exists():
                _carry_over(path, growing, lines, model)
            if growing.exists() and not has_all_columns(growing, lines):
                _copy(growing, growing, lines)
            file = opened.enter_context(growing.open("ab", buffering=0))
            inspected = _inspected(_checked(line_rows(growing, lines), growing, model))
            file.truncate(whole_bytes(growing, lines))
            sink = Sink(path, growing, lines, file, lock)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error}); free or choose another place") from None
        opened.pop_all()
    return sink, inspected


def _require_nothing(path: Path, growing: Path) -> None:
    if path.exists():
        raise OutputError(f"{path}: is there, and nothing is overwritten; add to it with --resume, or choose another")
    if growing.exists():
        raise OutputError(
            f"{growing}: holds rows of a run that was interrupted; go on with --resume, or remove it to begin anew"
        )


def _carry_over(path: Path, growing: Path, lines: Lines, model: str) -> None:
    """Where a whole file is there, make ``growing`` begin with its rows."""
    before = _checked(stored_rows(path, lines), path, model)
    if not growing.exists():
        for _ in before:  # everything is checked before anything is written
            pass
        _copy(path, growing, lines)
        return
    done = _inspected(_checked(line_rows(growing, lines), growing, model))
    if any(row["path"] not in done for row in before):
        raise OutputError(f"{path} holds rows that {growing} lacks; remove the one that is out of date")


def _copy(path: Path, growing: Path, lines: Lines) -> None:
    """Copy rows that are whole, with all columns; the file stays as it is until the other takes its place."""
    with replace_file(growing) as temporary:
        if path.suffix.lower() != PARQUET and has_all_columns(path, lines):
            shutil.copyfile(path, temporary)
            os.truncate(temporary, whole_bytes(temporary, lines))
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(lines.header)
            file.writelines(lines.encode(row) for row in stored_rows(path, lines))


def _checked(rows: Iterable[dict[str, Any]], path: Path, model: str) -> Iterator[dict[str, Any]]:
    """The rows, with paths as the system knows them, as far as they are those of this model."""
    try:
        for row in map(named_row, rows):
            if row["model"] != escape_name(model):
                raise OutputError(f"{path}: holds rows of {row['model']!r}, this is {model!r}; choose another file")
            yield row
    except (ValueError, csv.Error) as error:  # ValueError: also text that is not UTF-8, JSON, Parquet
        raise OutputError(f"{path}: cannot be gone on with ({error}); choose another file") from None


def _inspected(rows: Iterable[dict[str, Any]]) -> Inspected:
    inspected = Inspected()
    for row in rows:
        inspected.add_row(row)
    return inspected
