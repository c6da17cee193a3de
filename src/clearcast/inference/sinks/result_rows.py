r"""Rows of results files: their columns, and their encoding and reading as CSV, JSON lines or Parquet.

Columns are ``RESULTS_COLUMNS``, in this order. Numbers have 6 significant digits; None and NaN are an empty cell, null
in JSON. CSV is RFC 4180 in UTF-8, but with ``\n`` as line end. Files of earlier versions lack some of
``FILE_COLUMNS``; these are read as empty.

An image has several rows if its file changed: the last row is of its latest inspection.

Paths are written as they are, even if they begin with ``=`` or ``@``, which a spreadsheet would take for a formula: a
path must lead back to its image, and to its row on resume. If file names come from outside, load the results as text.
The one exception is names that are not Unicode: ``escape_name`` writes their invalid bytes as ``\udcff``,
since one such byte would make the whole file unreadable for others.
"""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from clearcast.core.errors import MissingDependencyError, OutputError
from clearcast.core.files import escape_name, unescape_name
from clearcast.inference.sinks.inspected import NameSet
from clearcast.types import Inspection

VERDICT_COLUMNS = (
    "path",
    "sha256",
    "verdict",
    "p_defect",
    "threshold",
    "noise_type",
    "noise_level",
    "p_noise",
    "ms",
    "model",
    "error",
)
FILE_COLUMNS = ("size", "modified", "denoised", "heatmap")
RESULTS_COLUMNS = (*VERDICT_COLUMNS, *FILE_COLUMNS)

PARQUET_SUFFIX = ".parquet"
_RESULTS_SUFFIXES = (".csv", ".jsonl", ".ndjson", PARQUET_SUFFIX)

ResultsRow = dict[str, str | float | None]

_PATH_COLUMNS = ("path", "denoised", "heatmap")
_REQUIRED_COLUMNS, _KNOWN_COLUMNS = set(VERDICT_COLUMNS), set(RESULTS_COLUMNS)
_ROW_GROUP_SIZE = 50_000  # rows in memory at a time
_NUMERIC_COLUMNS = frozenset({"p_defect", "threshold", "p_noise", "ms"})


@dataclass(frozen=True)
class LineFormat:
    """Line format of results: header, and functions to encode and decode rows.

    ``decode`` takes a line and the columns in the file's header.
    """

    header: str
    encode: Callable[[ResultsRow], str]
    decode: Callable[[str, Sequence[str]], dict[str, Any]]
    quotes: bool  # whether a quoted cell may contain line ends

    def complete(self, file: BinaryIO) -> Iterator[bytes]:
        """Iterate over the complete lines of a file, header included; a truncated last one is skipped."""
        pieces: list[bytes] = []
        open_quote = False
        for piece in file:
            pieces.append(piece)
            open_quote ^= self.quotes and piece.count(b'"') % 2 == 1
            if piece.endswith(b"\n") and not open_quote:
                yield b"".join(pieces)
                pieces.clear()


def to_results_row(inspection: Inspection) -> ResultsRow:
    """Convert an inspection to a row, without its images."""
    return {name: _to_cell(getattr(inspection, name)) for name in RESULTS_COLUMNS}


def complete_row(row: dict[str, Any]) -> dict[str, Any]:
    """Complete a row that was read: all columns, and paths as the system knows them.

    Raises:
        ValueError: it lacks a column or has an unknown one, has no path, or its size is not a number.
    """
    _require_results_columns(tuple(row))
    if not isinstance(row["path"], str):
        raise ValueError("a row has no path")
    paths = {name: unescape_name(row[name]) for name in _PATH_COLUMNS if row.get(name)}
    size = int(row["size"]) if row.get("size") else None
    return dict.fromkeys(RESULTS_COLUMNS) | row | paths | {"size": size}


def _require_results_columns(columns: Sequence[str]) -> None:
    """Check that a file has the columns of results, of this version or an earlier one.

    Raises:
        ValueError: the columns differ.
    """
    if not _REQUIRED_COLUMNS <= set(columns) <= _KNOWN_COLUMNS or len(set(columns)) != len(columns):
        raise ValueError(f"it has other columns; expected {', '.join(RESULTS_COLUMNS)}")


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a results file as dictionaries by column, with paths as the system knows them.

    In CSV, all values but the size are text; missing ones are empty, or None in columns that an older file lacks. A
    path has several rows if its file changed and was inspected again; the newest is last.

    Raises:
        ValueError: it is not a results file.
    """
    return map(complete_row, read_raw_rows(path, line_format_of(path)))


def read_newest_results(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a results file, only the last one of each path; see ``read_results``."""
    names, older_rows = NameSet(), Counter[str]()
    for row in read_results(path):
        if row["path"] in names:
            older_rows[row["path"]] += 1
        names.add(row["path"])
    for row in read_results(path):
        if older_rows.get(row["path"]):
            older_rows[row["path"]] -= 1
        else:
            yield row


def _to_cell(value: str | float | None) -> str | float | None:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, int) else escape_name(str(value))


def _format_csv_line(row: ResultsRow) -> str:
    return ",".join(_format_csv_cell(row.get(name)) for name in RESULTS_COLUMNS) + "\n"


def _format_csv_cell(value: str | float | None) -> str:
    """Format a cell; Python's csv writer leaves a lone carriage return unquoted, which readers take for a line end."""
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def _parse_csv_line(line: str, columns: Sequence[str]) -> dict[str, Any]:
    cells = next(csv.reader(io.StringIO(line, newline=""), strict=True))
    if len(cells) != len(columns):
        raise ValueError(f"expected {len(columns)} cells in a row, got {len(cells)}")
    return dict(zip(columns, cells, strict=True))


def _format_json_line(row: ResultsRow) -> str:
    return json.dumps({name: row.get(name) for name in RESULTS_COLUMNS}, ensure_ascii=False) + "\n"


def _parse_json_line(line: str, _: Sequence[str]) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("expected a JSON object in each line")
    return row


_CSV_FORMAT = LineFormat(
    header=",".join(RESULTS_COLUMNS) + "\n", encode=_format_csv_line, decode=_parse_csv_line, quotes=True
)
_JSON_LINES_FORMAT = LineFormat(header="", encode=_format_json_line, decode=_parse_json_line, quotes=False)


def line_format_of(path: Path) -> LineFormat:
    """Choose the line format of a file by its suffix; for Parquet, it is that of the partial file.

    Raises:
        OutputError: an unknown suffix.
        MissingDependencyError: Parquet without pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix not in _RESULTS_SUFFIXES:
        raise OutputError(
            f"{path}: expected a file type of {', '.join(_RESULTS_SUFFIXES)}; got {suffix or 'no suffix'}"
        )
    if suffix == PARQUET_SUFFIX:
        _require_pyarrow(path)
    return _CSV_FORMAT if suffix == ".csv" else _JSON_LINES_FORMAT


def read_raw_rows(path: Path, lines: LineFormat) -> Iterator[dict[str, Any]]:
    """Read the raw rows of a complete file: paths are escaped, and an older file lacks columns."""
    return _read_parquet_results(path) if path.suffix.lower() == PARQUET_SUFFIX else read_raw_lines(path, lines)


def read_raw_lines(path: Path, lines: LineFormat) -> Iterator[dict[str, Any]]:
    """Read the complete raw rows of a line-based file.

    Raises:
        ValueError: it has other columns, or a row cannot be parsed.
    """
    with path.open("rb") as file:
        complete = lines.complete(file)
        columns = next(complete, b"").decode().rstrip("\n").split(",") if lines.header else []
        if columns and columns != [""]:
            _require_results_columns(columns)
        for line in complete:
            yield lines.decode(line.decode(), columns)


def has_all_columns(path: Path, lines: LineFormat) -> bool:
    """Return whether rows of this version can be appended; each line of JSON has its own columns."""
    with path.open("rb") as file:
        first = next(lines.complete(file), b"")
    return not lines.header or not first or first.decode() == lines.header


def count_complete_bytes(path: Path, lines: LineFormat) -> int:
    """Count the bytes of the complete lines of a file."""
    with path.open("rb") as file:
        return sum(map(len, lines.complete(file)))


def _require_pyarrow(path: Path) -> None:
    """Check early that Parquet can be written."""
    if find_spec("pyarrow") is None:
        raise MissingDependencyError(
            f"{path}: writing .parquet needs the package pyarrow, which is not installed; "
            "install it with: pip install 'clearcast[parquet]', or write .csv or .jsonl"
        )


def write_parquet_results(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """Write rows to a file; text is string, numbers are float64, the size is int64, None is null."""
    arrow, parquet = _import_pyarrow()
    types = {name: arrow.float64() if name in _NUMERIC_COLUMNS else arrow.string() for name in RESULTS_COLUMNS} | {
        "size": arrow.int64()
    }
    schema = arrow.schema(list(types.items()))
    remaining = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(remaining, _ROW_GROUP_SIZE)):
            writer.write_table(arrow.Table.from_pylist(group, schema))


def _read_parquet_results(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a file.

    Raises:
        ValueError: it is not Parquet, or has other columns.
    """
    _, parquet = _import_pyarrow()
    with parquet.ParquetFile(path) as file:
        _require_results_columns(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=_ROW_GROUP_SIZE):
            yield from batch.to_pylist()


def _import_pyarrow() -> tuple[ModuleType, ModuleType]:
    """Import the optional package pyarrow, which has no types, and its Parquet module."""
    return import_module("pyarrow"), import_module("pyarrow.parquet")
