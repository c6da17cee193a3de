r"""One inspection as a row of results, and rows as lines of CSV or JSON.

Columns are ``COLUMNS``, in this order. Numbers have 6 significant digits; what is None (or no number) is an empty cell,
null in JSON. CSV is RFC 4180 in UTF-8, but with ``\n`` as the end of a line.

Paths are written as they are, also those that begin with ``=`` or ``@``, which a spreadsheet would take for a formula:
a path must lead back to its picture, and to its row after an interruption. Where strangers name the files, load the
results as text. The one exception are names that are not Unicode: their stray bytes are spelled out, ``\udcff``, since
one such byte would make the whole file unreadable to others.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from clearcast.domain import Inspection

COLUMNS = (
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

Row = dict[str, str | float | None]


@dataclass(frozen=True)
class Lines:
    """How rows are written as lines of text: what stands above them, and the way there and back."""

    header: str
    encode: Callable[[Row], str]
    decode: Callable[[str], dict[str, Any]]
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
    values = {name: getattr(inspection, name) for name in COLUMNS}
    return {name: _number(value) if isinstance(value, float) else _text(value) for name, value in values.items()}


def printable(name: str) -> str:
    r"""A name as results hold it: stray bytes that are no Unicode are spelled out.

    >>> print(printable("a\udcff.png"))
    a\udcff.png
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _text(value: str | None) -> str | None:
    return None if value is None else printable(str(value))


def _csv_line(row: Row) -> str:
    return ",".join(_csv_cell(row[name]) for name in COLUMNS) + "\n"


def _csv_cell(value: str | float | None) -> str:
    """Python's own writer leaves a lone carriage return without quotes, and readers take it for a line's end."""
    text = f"{value:.6g}" if isinstance(value, float) else value or ""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def _csv_row(line: str) -> dict[str, Any]:
    cells = next(csv.reader(io.StringIO(line, newline=""), strict=True))
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} cells where {len(COLUMNS)} are needed")
    return dict(zip(COLUMNS, cells, strict=True))


def _json_line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _json_row(line: str) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict) or tuple(row) != COLUMNS:
        raise ValueError("it has other columns")
    return row


CSV = Lines(header=",".join(COLUMNS) + "\n", encode=_csv_line, decode=_csv_row, quotes=True)
JSON = Lines(header="", encode=_json_line, decode=_json_row, quotes=False)
