"""Tables of a degraded data set: the sheet, the noise parameters and the groups."""

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
    """A noisy image and its reference.

    Attributes:
        source: path of the input image below the input folder.
        reference, noisy: paths of the written images below OUT.
        level: parameters of the noise.
        psnr: PSNR of the noisy image in decibels; infinite for equal images.
    """

    source: str
    reference: str
    noisy: str
    level: Level
    psnr: float


def read_parts(table: Path) -> dict[str, str]:
    """Read the part of each path from a ``parts.csv``; empty if there is no such table, or it has other columns.

    Raises:
        SheetError: the table cannot be read.
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
        raise SheetError(
            f"{table}: cannot be read ({error}); expected CSV in UTF-8 with the columns path, part"
        ) from None


def write_tables(out: Path, pairs: Sequence[Pair], parts: Mapping[str, str]) -> Path:
    """Write ``levels.csv``, ``groups.csv`` if ``parts`` (source to part) is not empty, and ``Labels.xlsx`` last.

    Returns:
        The path of ``Labels.xlsx``.

    Raises:
        OSError: a table cannot be written.
    """
    write_csv(out / "levels.csv", LEVEL_COLUMNS, map(_level_row, pairs))
    groups = [(pair.noisy, parts[pair.source]) for pair in pairs if pair.source in parts]
    if groups:
        write_csv(out / "groups.csv", ("path", "group"), groups)
    labels = out / "Labels.xlsx"
    _write_labels(labels, pairs)
    return labels


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV table; file names that are not valid Unicode are escaped, see ``filenames``.

    Raises:
        OSError: the table cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    return protect_cell(escape_name(value)) if isinstance(value, str) else value


def _level_row(pair: Pair) -> list[object]:
    """Return one row of ``LEVEL_COLUMNS``; of several waves, the columns describe the strongest."""
    kind = level_type(pair.level)
    row: dict[str, object] = {"noisy": pair.noisy, "noise_type": kind.value, "psnr_db": f"{pair.psnr:.3f}"}
    row |= kind.specification.level_cells(pair.level) | {"level_json": json.dumps(asdict(pair.level))}
    return [row.get(column, "") for column in LEVEL_COLUMNS]


def _write_labels(path: Path, pairs: Iterable[Pair]) -> None:
    """Write the sheet. Every path begins with the name of its folder, so none can be evaluated as a formula."""
    rows = [(pair.reference, SHEET_VALUES[level_type(pair.level)], pair.noisy) for pair in pairs]
    table = pd.DataFrame(rows, columns=list(SHEET_COLUMNS))
    with replace_file(path) as temporary:
        table.to_excel(temporary, sheet_name="Labels", index=False, engine="openpyxl")
