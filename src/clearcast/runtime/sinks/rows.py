r"""Results rows: columns of an inspection, and their encoding as lines of CSV or JSON.

Columns are ``COLUMNS``, in this order. Numbers have 6 significant digits; None and NaN are an empty cell, null in JSON.
CSV is RFC 4180 in UTF-8, but with ``\n`` as line end. Files of earlier versions lack some of ``FILE_COLUMNS``; these
are read as empty.

An image has several rows if its file changed: the last row is of its latest inspection.

Paths are written as they are, even if they begin with ``=`` or ``@``, which a spreadsheet would take for a formula: a
path must lead back to its image, and to its row on resume. If file names come from outside, load the results as text.
The one exception are names that are not Unicode: ``filenames.escape_name`` writes their invalid bytes as ``\udcff``,
since one such byte would make the whole file unreadable for others.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from clearcast.domain import Inspection
from clearcast.filenames import escape_name, unescape_name

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
COLUMNS = (*VERDICT_COLUMNS, *FILE_COLUMNS)

Row = dict[str, str | float | None]

_PATHS = ("path", "denoised", "heatmap")
_REQUIRED, _KNOWN = set(VERDICT_COLUMNS), set(COLUMNS)


@dataclass(frozen=True)
class Lines:
    """Line format of results: header, and functions to encode and decode rows.

    ``decode`` takes a line and the columns in the file's header.
    """

    header: str
    encode: Callable[[Row], str]
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


def row_of(inspection: Inspection) -> Row:
    """Convert an inspection to a row, without its images."""
    return {name: _cell(getattr(inspection, name)) for name in COLUMNS}


def named_row(row: dict[str, Any]) -> dict[str, Any]:
    """Complete a row that was read: all columns, and paths as the system knows them.

    Raises:
        ValueError: it lacks a column or has an unknown one, has no path, or its size is not a number.
    """
    require_known(tuple(row))
    if not isinstance(row["path"], str):
        raise ValueError("a row has no path")
    paths = {name: unescape_name(row[name]) for name in _PATHS if row.get(name)}
    size = int(row["size"]) if row.get("size") else None
    return dict.fromkeys(COLUMNS) | row | paths | {"size": size}


def require_known(columns: Sequence[str]) -> None:
    """Check that a file has the columns of results, of this version or an earlier one.

    Raises:
        ValueError: it has not.
    """
    if not _REQUIRED <= set(columns) <= _KNOWN or len(set(columns)) != len(columns):
        raise ValueError(f"it has other columns; expected {', '.join(COLUMNS)}")


def _cell(value: str | float | None) -> str | float | None:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, int) else escape_name(str(value))


def _csv_line(row: Row) -> str:
    return ",".join(_csv_cell(row.get(name)) for name in COLUMNS) + "\n"


def _csv_cell(value: str | float | None) -> str:
    """Format a cell; Python's csv writer leaves a lone carriage return unquoted, which readers take for a line end."""
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def _csv_row(line: str, columns: Sequence[str]) -> dict[str, Any]:
    cells = next(csv.reader(io.StringIO(line, newline=""), strict=True))
    if len(cells) != len(columns):
        raise ValueError(f"expected {len(columns)} cells in a row, got {len(cells)}")
    return dict(zip(columns, cells, strict=True))


def _json_line(row: Row) -> str:
    return json.dumps({name: row.get(name) for name in COLUMNS}, ensure_ascii=False) + "\n"


def _json_row(line: str, _: Sequence[str]) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("expected a JSON object in each line")
    return row


CSV = Lines(header=",".join(COLUMNS) + "\n", encode=_csv_line, decode=_csv_row, quotes=True)
JSON = Lines(header="", encode=_json_line, decode=_json_row, quotes=False)
