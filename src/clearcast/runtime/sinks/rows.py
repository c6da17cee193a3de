r"""One inspection as a row of results, and rows as lines of CSV or JSON.

Columns are ``COLUMNS``, in this order. Numbers have 6 significant digits; what is None (or no number) is an empty cell,
null in JSON. CSV is RFC 4180 in UTF-8, but with ``\n`` as the end of a line. Files of earlier versions lack columns of
``FILE_COLUMNS``; they are read as if these were empty.

A picture has several rows if its file changed: the last one is of the file as it was last inspected.

Paths are written as they are, also those that begin with ``=`` or ``@``, which a spreadsheet would take for a formula:
a path must lead back to its picture, and to its row after an interruption. Where strangers name the files, load the
results as text. The one exception are names that are not Unicode: ``filenames.escape_name`` spells out their stray
bytes, ``\udcff``, since one such byte would make the whole file unreadable to others.
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
    """How rows are written as lines of text: what stands above them, and the way there and back.

    ``decode`` is given a line and the columns that the file's header names.
    """

    header: str
    encode: Callable[[Row], str]
    decode: Callable[[str, Sequence[str]], dict[str, Any]]
    quotes: bool  # whether a cell in quotes may hold line ends

    def whole(self, file: BinaryIO) -> Iterator[bytes]:
        """The lines of a file that were written whole, the header too; a last one that was cut off is left out."""
        pieces: list[bytes] = []
        open_quote = False
        for piece in file:
            pieces.append(piece)
            open_quote ^= self.quotes and piece.count(b'"') % 2 == 1
            if piece.endswith(b"\n") and not open_quote:
                yield b"".join(pieces)
                pieces.clear()


def row_of(inspection: Inspection) -> Row:
    """The row of an inspection, without its pictures."""
    return {name: _cell(getattr(inspection, name)) for name in COLUMNS}


def named_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row that was read, with all columns, and paths as the system knows them.

    Raises:
        ValueError: it lacks a column, or has one that is not known, or no path, or a size that is no number.
    """
    require_known(tuple(row))
    if not isinstance(row["path"], str):
        raise ValueError("a row has no path")
    paths = {name: unescape_name(row[name]) for name in _PATHS if row.get(name)}
    size = int(row["size"]) if row.get("size") else None
    return dict.fromkeys(COLUMNS) | row | paths | {"size": size}


def require_known(columns: Sequence[str]) -> None:
    """Make sure that a file has the columns of results, of this version or an earlier one.

    Raises:
        ValueError: it has others.
    """
    if not _REQUIRED <= set(columns) <= _KNOWN or len(set(columns)) != len(columns):
        raise ValueError(f"it has other columns; needed are {', '.join(COLUMNS)}")


def _cell(value: str | float | None) -> str | float | None:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, int) else escape_name(str(value))


def _csv_line(row: Row) -> str:
    return ",".join(_csv_cell(row.get(name)) for name in COLUMNS) + "\n"


def _csv_cell(value: str | float | None) -> str:
    """Python's own writer leaves a lone carriage return without quotes, and readers take it for a line's end."""
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def _csv_row(line: str, columns: Sequence[str]) -> dict[str, Any]:
    cells = next(csv.reader(io.StringIO(line, newline=""), strict=True))
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells where {len(columns)} are needed")
    return dict(zip(columns, cells, strict=True))


def _json_line(row: Row) -> str:
    return json.dumps({name: row.get(name) for name in COLUMNS}, ensure_ascii=False) + "\n"


def _json_row(line: str, _: Sequence[str]) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("it has other columns")
    return row


CSV = Lines(header=",".join(COLUMNS) + "\n", encode=_csv_line, decode=_csv_row, quotes=True)
JSON = Lines(header="", encode=_json_line, decode=_json_row, quotes=False)
