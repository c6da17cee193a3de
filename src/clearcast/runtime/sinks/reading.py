"""Read results files: CSV, JSON lines or Parquet, whole or cut off, of this version or an earlier one."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clearcast.errors import OutputError
from clearcast.runtime.sinks.done import Done
from clearcast.runtime.sinks.parquet import read_parquet, require_pyarrow
from clearcast.runtime.sinks.rows import CSV, JSON, Lines, named_row, require_known

PARQUET = ".parquet"
SUFFIXES = (".csv", ".jsonl", ".ndjson", PARQUET)


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a results file, by column, with paths as the system knows them.

    Of CSV, all values but the size are text, and those that are not there empty, or None in columns that an older file
    lacks. Where a file was inspected again since it had changed, a path has several rows, the newest last.

    Raises:
        ValueError: it is no results file.
    """
    return map(named_row, stored_rows(path, lines_of(path)))


def read_newest_results(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a results file, of several rows of one path only the last; see ``read_results``."""
    seen, older = Done(), Counter[str]()
    for row in read_results(path):
        if row["path"] in seen:
            older[row["path"]] += 1
        seen.add(row["path"])
    for row in read_results(path):
        if older.get(row["path"]):
            older[row["path"]] -= 1
        else:
            yield row


def lines_of(path: Path) -> Lines:
    """How the rows of a file are written as lines; those of Parquet are, while it grows.

    Raises:
        OutputError: an unknown suffix.
        MissingDependencyError: Parquet without pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(f"{path}: results end in {', '.join(SUFFIXES)}, this in {suffix or 'nothing'}")
    if suffix == PARQUET:
        require_pyarrow(path)
    return CSV if suffix == ".csv" else JSON


def stored_rows(path: Path, lines: Lines) -> Iterator[dict[str, Any]]:
    """The rows of a whole file as they are stored: paths are escaped, and an older file's columns may be missing."""
    return read_parquet(path) if path.suffix.lower() == PARQUET else line_rows(path, lines)


def line_rows(path: Path, lines: Lines) -> Iterator[dict[str, Any]]:
    """The rows of a file of lines that were written whole, as they are stored.

    Raises:
        ValueError: it has other columns, or a row cannot be read.
    """
    with path.open("rb") as file:
        whole = lines.whole(file)
        columns = next(whole, b"").decode().rstrip("\n").split(",") if lines.header else []
        if columns and columns != [""]:
            require_known(columns)
        for line in whole:
            yield lines.decode(line.decode(), columns)


def has_all_columns(path: Path, lines: Lines) -> bool:
    """Whether rows of this version can be added to a file of lines; each line of JSON names its own columns."""
    with path.open("rb") as file:
        first = next(lines.whole(file), b"")
    return not lines.header or not first or first.decode() == lines.header


def whole_bytes(path: Path, lines: Lines) -> int:
    """How many bytes of a file of lines were written whole."""
    with path.open("rb") as file:
        return sum(map(len, lines.whole(file)))
