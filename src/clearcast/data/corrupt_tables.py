"""The tables beside corrupted pictures: what is where, how strong its noise is, and what part it shows."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from clearcast.cells import protect_cell
from clearcast.errors import SheetError
from clearcast.filenames import escape_name
from clearcast.files import replace_file
from clearcast.noise import NOISES, Level, level_type

SHEET_COLUMNS = ("Denoise Image", "Noise Type", "Noisy Image")
SHEET_VALUES = {kind: word for word, kind in sorted((kind.specification.sheet_word, kind) for kind in NOISES)}
LEVEL_COLUMNS = (
    *("noisy", "noise_type", "psnr_db"),
    *dict.fromkeys(column for kind in NOISES for column in kind.specification.level_columns()),
    "level_json",
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A noisy picture and its reference, as written: ``source`` below the folder that was read, both others below OUT.

    ``psnr`` is in decibels, infinite for equal pictures.
    """

    source: str
    reference: str
    noisy: str
    level: Level
    psnr: float


def read_parts(table: Path) -> dict[str, str]:
    """Path to part, from a ``parts.csv``; empty where there is no table, or one of another kind.

    Raises:
        SheetError: it cannot be read.
    """
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if not {"path", "part"} <= set(rows.fieldnames or ()):
                return {}
            return {row["path"]: row["part"] for row in rows if row["path"] and row["part"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SheetError(f"{table}: cannot be read ({error}); needed is CSV in UTF-8 with a path and a part") from None


def write_tables(out: Path, pairs: Sequence[Pair], parts: Mapping[str, str]) -> Path:
    """Write ``levels.csv``, ``groups.csv`` where ``parts`` (source to part) names any, and ``Labels.xlsx`` at last.

    Returns:
        The path of ``Labels.xlsx``.

    Raises:
        OSError: they cannot be written.
    """
    write_csv(out / "levels.csv", LEVEL_COLUMNS, map(_level_row, pairs))
    groups = [(pair.noisy, parts[pair.source]) for pair in pairs if pair.source in parts]
    if groups:
        write_csv(out / "groups.csv", ("path", "group"), groups)
    labels = out / "Labels.xlsx"
    _write_labels(labels, pairs)
    return labels


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table; file names that UTF-8 cannot hold are spelt out, see ``filenames``.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    return protect_cell(escape_name(value)) if isinstance(value, str) else value


def _level_row(pair: Pair) -> list[object]:
    """One row of ``LEVEL_COLUMNS``; of many waves, the strongest is the one spelt out."""
    kind = level_type(pair.level)
    row: dict[str, object] = {"noisy": pair.noisy, "noise_type": kind.value, "psnr_db": f"{pair.psnr:.3f}"}
    row |= kind.specification.level_cells(pair.level) | {"level_json": json.dumps(asdict(pair.level))}
    return [row.get(column, "") for column in LEVEL_COLUMNS]


def _write_labels(path: Path, pairs: Iterable[Pair]) -> None:
    """Every path begins with its folder's name, so none can be taken for a formula."""
    rows = [(pair.reference, SHEET_VALUES[level_type(pair.level)], pair.noisy) for pair in pairs]
    table = pd.DataFrame(rows, columns=list(SHEET_COLUMNS))
    with replace_file(path) as temporary:
        table.to_excel(temporary, sheet_name="Labels", index=False, engine="openpyxl")
