"""Open a results file anew or where it stopped, write row by row, and put it in its place when all is done.

While work goes on, rows are in ``results.csv.partial``; when all is done it becomes ``results.csv``, so that a file of
that name is always whole. Each row is handed to the system at once: a killed process loses none, and what it had begun
to write is cut off when the work goes on. A power failure may take the last seconds' rows, which are then missing from
the end, and are made again.
"""

import csv
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clearcast.domain import Inspection
from clearcast.errors import OutputError
from clearcast.files import replace_file
from clearcast.runtime.sinks.done import Done
from clearcast.runtime.sinks.parquet import read_parquet, require_pyarrow, write_parquet
from clearcast.runtime.sinks.rows import COLUMNS, CSV, JSON, Lines, printable, row_of

PARQUET = ".parquet"
SUFFIXES = (".csv", ".jsonl", ".ndjson", PARQUET)


class Sink:
    """An open results file; made by ``open_sink``. In a ``with``, an error or Ctrl-C leaves the rows for later."""

    def __init__(self, path: Path, growing: Path, lines: Lines, file: FileIO) -> None:
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
        os.fsync(self._file.fileno())
        self._file.close()
        if self._growing == self._path:
            return
        if self._path.exists() and not self._adds:
            raise OutputError(
                f"{self._path}: has come up meanwhile, and is not overwritten; rows are in {self._growing}"
            )
        if self._path.suffix.lower() != PARQUET:
            self._growing.replace(self._path)
            return
        with replace_file(self._path) as temporary:
            write_parquet(_rows(self._growing, self._lines), temporary)
        self._growing.unlink()

    def stop(self) -> None:
        """Leave the rows so far for later; where there are none, leave nothing."""
        empty = os.fstat(self._file.fileno()).st_size <= len(self._lines.header)
        self._file.close()
        if empty and self._growing != self._path:
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


def open_sink(path: Path, *, model: str, resume: bool, live: bool = False) -> tuple[Sink, Done]:
    """Open a results file, and say which pictures it holds already.

    Args:
        path: ends in .csv, .jsonl or .ndjson (JSON lines), or .parquet.
        model: what the rows will have in their column ``model``.
        resume: go on with what is there, whole or not, or begin where nothing is.
        live: rows go to ``path`` itself, for a file that is never whole; not for Parquet, which cannot grow.

    Raises:
        OutputError: an unknown suffix; a file that is there, without ``resume``; with it, one of other columns or made
            by another model; or the file cannot be written.
        MissingDependencyError: Parquet without pyarrow.
    """
    lines = _lines_of(path, live=live)
    growing = path if live else path.with_name(f"{path.name}.partial")
    try:
        if not resume:
            _require_nothing(path, growing)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not live and path.exists():
            _carry_over(path, growing, lines, model)
        with ExitStack() as open_files:
            file = open_files.enter_context(growing.open("ab", buffering=0))
            _require_alone(file, growing)
            done = _done(_names(_rows(growing, lines), growing, model))
            file.truncate(_whole_bytes(growing, lines))
            open_files.pop_all()
        return Sink(path, growing, lines, file), done
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error}); free or choose another place") from None


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a whole results file, by column; of CSV, all values are text, and those that are not there empty."""
    return _results(path, _lines_of(path, live=False))


def _lines_of(path: Path, *, live: bool) -> Lines:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(f"{path}: results end in {', '.join(SUFFIXES)}, this in {suffix or 'nothing'}")
    if suffix == PARQUET:
        if live:
            raise OutputError(f"{path}: Parquet cannot grow row by row; take .csv or .jsonl")
        require_pyarrow(path)
    return CSV if suffix == ".csv" else JSON


def _require_nothing(path: Path, growing: Path) -> None:
    if path.exists():
        raise OutputError(f"{path}: is there, and nothing is overwritten; add to it with --resume, or choose another")
    if growing.exists():
        raise OutputError(
            f"{growing}: holds rows of a run that was interrupted; go on with --resume, or remove it to begin anew"
        )


def _carry_over(path: Path, growing: Path, lines: Lines, model: str) -> None:
    """Where a whole file is there, make ``growing`` begin with its rows."""
    before = _names(_results(path, lines), path, model)
    if not growing.exists():
        for _ in before:  # everything is checked before anything is written
            pass
        _copy(path, growing, lines)
        return
    done = _done(_names(_rows(growing, lines), growing, model))
    if any(name not in done for name in before):
        raise OutputError(f"{path} holds rows that {growing} lacks; remove the one that is out of date")


def _require_alone(file: FileIO, growing: Path) -> None:
    """Two processes that write the same file would double every row; the system frees the lock of a killed one."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{growing}: another process is writing it; stop that, or choose another file") from None
        except OSError:  # some network drives know no locks
            pass


def _copy(path: Path, growing: Path, lines: Lines) -> None:
    """Copy rows that are whole; the file stays as it is until the longer one takes its place."""
    with replace_file(growing) as temporary:
        if path.suffix.lower() == PARQUET:
            with temporary.open("w", encoding="utf-8") as file:
                file.writelines(lines.encode(row) for row in read_parquet(path))
        else:
            shutil.copyfile(path, temporary)
            os.truncate(temporary, _whole_bytes(temporary, lines))


def _results(path: Path, lines: Lines) -> Iterator[dict[str, Any]]:
    return read_parquet(path) if path.suffix.lower() == PARQUET else _rows(path, lines)


def _rows(path: Path, lines: Lines) -> Iterator[dict[str, Any]]:
    """The rows of a file that were written whole.

    Raises:
        ValueError: it has other columns, or a row cannot be read.
    """
    with path.open("rb") as file:
        whole = lines.whole(file)
        header = next(whole, b"").decode() if lines.header else ""
        if header and header != lines.header:
            raise ValueError(f"it has other columns; needed are {', '.join(COLUMNS)}")
        for line in whole:
            yield lines.decode(line.decode())


def _whole_bytes(path: Path, lines: Lines) -> int:
    with path.open("rb") as file:
        return sum(map(len, lines.whole(file)))


def _names(rows: Iterable[dict[str, Any]], path: Path, model: str) -> Iterator[str]:
    """The pictures' names, as far as the rows are those of this model."""
    try:
        for row in rows:
            if row["model"] != printable(model):
                raise OutputError(f"{path}: holds rows of {row['model']!r}, this is {model!r}; choose another file")
            if not isinstance(row["path"], str):
                raise ValueError("a row has no path")
            yield row["path"]
    except (ValueError, csv.Error) as error:  # ValueError: also text that is not UTF-8, JSON, Parquet
        raise OutputError(f"{path}: cannot be gone on with ({error}); choose another file") from None


def _done(names: Iterable[str]) -> Done:
    done = Done()
    for name in names:
        done.add(name)
    return done
