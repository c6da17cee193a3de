"""Reader of results files: CSV, JSON lines or Parquet, complete or truncated, of this version or an earlier one."""

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
    """Read the rows of a results file as dictionaries by column, with paths as the system knows them.

    In CSV, all values but the size are text; missing ones are empty, or None in columns that an older file lacks. A
    path has several rows if its file changed and was inspected again; the newest is last.

    Raises:
        ValueError: it is not a results file.
    """
    return map(named_row, stored_rows(path, lines_of(path)))


def read_newest_results(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a results file, only the last one of each path; see ``read_results``."""
    names, older = Done(), Counter[str]()
    for row in read_results(path):
        if row["path"] in names:
            older[row["path"]] += 1
        names.add(row["path"])
    for row in read_results(path):
        if older.get(row["path"]):
            older[row["path"]] -= 1
        else:
            yield row


def lines_of(path: Path) -> Lines:
    """Choose the line format of a file by its suffix; for Parquet, it is that of the partial file.

    Raises:
        OutputError: an unknown suffix.
        MissingDependencyError: Parquet without pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(f"{path}: expected a file type of {', '.join(SUFFIXES)}; got {suffix or 'no suffix'}")
    if suffix == PARQUET:
        require_pyarrow(path)
    return CSV if suffix == ".csv" else JSON


def stored_rows(path: Path, lines: Lines) -> Iterator[dict[str, Any]]:
    """Read the raw rows of a complete file: paths are escaped, and an older file lacks columns."""
    return read_parquet(path) if path.suffix.lower() == PARQUET else line_rows(path, lines)


def line_rows(path: Path, lines: Lines) -> Iterator[dict[str, Any]]:
    """Read the complete raw rows of a line-based file.

    Raises:
        ValueError: it has other columns, or a row cannot be parsed.
    """
    with path.open("rb") as file:
        complete = lines.complete(file)
        columns = next(complete, b"").decode().rstrip("\n").split(",") if lines.header else []
        if columns and columns != [""]:
            require_known(columns)
        for line in complete:
            yield lines.decode(line.decode(), columns)


def has_all_columns(path: Path, lines: Lines) -> bool:
    """Whether rows of this version can be appended to a line-based file; each line of JSON has its own columns."""
    with path.open("rb") as file:
        first = next(lines.complete(file), b"")
    return not lines.header or not first or first.decode() == lines.header


def whole_bytes(path: Path, lines: Lines) -> int:
    """Number of bytes of the complete lines of a file."""
    with path.open("rb") as file:
        return sum(map(len, lines.complete(file)))
