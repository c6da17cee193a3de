"""Read a sheet: one row an image, its noise type, its reference and, in a column or in the path's words, its label."""

import csv
import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import pandas as pd

from clearcast.data.words import labels_in_path, parse_label, parse_noise_type
from clearcast.domain import Label, NoiseType
from clearcast.errors import MissingDependencyError, SheetError

SUFFIXES = (".xlsx", ".xls", ".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The names of a sheet's columns. The defaults are those of the report's data."""

    noisy: str = "Noisy Image"
    noise_type: str = "Noise Type"
    reference: str = "Denoise Image"
    label: str | None = None  # None: the label is in the path's words


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row as it was understood. ``number`` counts from 1 as spreadsheets do, with the header in row 1.

    Paths are relative to the sheet's root, with forward slashes. ``problems`` says what could not be understood.
    """

    number: int
    noisy: str
    noise_type: NoiseType | None
    reference: str
    label: Label | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A sheet that was read: its rows, and the folder that their paths are relative to."""

    path: Path
    root: Path
    sha256: str
    rows: tuple[Row, ...] = field(repr=False)

    def resolve(self, path: str) -> Path:
        """The file that a row's path names; ``read_sheet`` has made sure that it lies inside the root."""
        return self.root / path


def read_sheet(path: Path, *, columns: Columns = Columns(), root: Path | None = None) -> Sheet:
    """Read a sheet in .xlsx, .xls, .csv or .parquet.

    Rows without any entry are skipped. A row that cannot be understood is kept and says so in ``problems``; ``check``
    reports all of them at once.

    Args:
        path: the sheet; of a workbook, its first worksheet is read.
        columns: the names of the columns; capitals and spaces around them do not matter.
        root: the folder that paths are relative to; by default the sheet's own.

    Raises:
        SheetError: no such file, not a sheet, a column is missing, or there is no row.
    """
    if not path.is_file():
        raise SheetError(f"{path}: no such sheet; needed is a file that ends in {', '.join(SUFFIXES)}")
    table = _read_table(path, columns)
    names = _find_columns(table, columns, path)
    root = (root or path.parent).absolute()
    if not root.is_dir():
        raise SheetError(f"{root}: no such folder; needed is the root that the sheet's paths are relative to")
    texts = {role: [_text(cell) for cell in table[name].tolist()] for role, name in names.items()}
    records = (dict(zip(texts, cells, strict=True)) for cells in zip(*texts.values(), strict=True))
    rows = tuple(_parse_row(number, record, root) for number, record in enumerate(records, 2) if any(record.values()))
    if not rows:
        raise SheetError(f"{path}: the sheet has no rows below its header; needed is one row an image")
    return Sheet(path=path, root=root, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), rows=rows)


def _read_table(path: Path, columns: Columns) -> pd.DataFrame:
    suffix = path.suffix.lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix in {".xlsx", ".xls"}:
                return pd.read_excel(path, dtype=object, engine="calamine", keep_default_na=False)
            if suffix == ".csv":
                return _read_csv(path, columns)
            if suffix == ".parquet":
                return pd.read_parquet(path)
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading {suffix} needs a package that is not installed ({error}); "
            "install it with: pip install 'clearcast[parquet]'"
        ) from None
    except pd.errors.EmptyDataError:
        raise SheetError(f"{path}: the sheet is empty; needed are a header and one row an image") from None
    except UnicodeDecodeError:
        raise SheetError(f"{path}: not UTF-8 text; save the sheet again as 'CSV UTF-8'") from None
    except Exception as error:  # the readers raise dozens of kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SheetError(f"{path}: cannot be read as {suffix} ({reason}); save the sheet again") from None
    raise SheetError(f"{path}: a sheet ends in {', '.join(SUFFIXES)}, this one in {suffix or 'nothing'}")


def _read_csv(path: Path, columns: Columns) -> pd.DataFrame:
    """Spreadsheets write CSV with comma, semicolon or tab, by the country; the header tells which."""
    with path.open(encoding="utf-8-sig") as lines:
        header = lines.readline()
    wanted = {_plain(name) for name in _wanted(columns).values()}

    def fitness(separator: str) -> tuple[int, int]:
        found = next(csv.reader([header], delimiter=separator), [])
        return len(wanted.intersection(map(_plain, found))), len(found)

    return pd.read_csv(
        path,
        sep=max(",;\t", key=fitness),
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,  # they count in the rows' numbers
        index_col=False,  # a separator at the end of each line makes no index
        encoding="utf-8-sig",
    )


def _find_columns(table: pd.DataFrame, columns: Columns, path: Path) -> dict[str, str]:
    """Map each role to the table's own column name."""
    present = {_plain(name): name for name in reversed(table.columns)}  # of two alike, the first
    wanted = _wanted(columns)
    missing = [name for name in wanted.values() if _plain(name) not in present]
    if missing:
        raise SheetError(
            f"{path}: no column {_quoted(missing)}; the sheet has {_quoted(table.columns) or 'no columns'}; name yours "
            "with --noisy-column, --noise-column, --reference-column, --label-column"
        )
    return {role: present[_plain(name)] for role, name in wanted.items()}


def _wanted(columns: Columns) -> dict[str, str]:
    """The name of each role's column; without a label column there is no such role."""
    wanted = {"noisy": columns.noisy, "noise_type": columns.noise_type, "reference": columns.reference}
    return wanted if columns.label is None else wanted | {"label": columns.label}


def _plain(name: object) -> str:
    return str(name).strip().casefold()


def _parse_row(number: int, cells: dict[str, str], root: Path) -> Row:
    problems: list[str] = []
    noisy, reference = (_parse_path(cells[role], role, root, problems) for role in ("noisy", "reference"))
    noise_type = parse_noise_type(cells["noise_type"])
    if noise_type is None:
        known = ", ".join(kind.value for kind in NoiseType)
        problems.append(f"unknown noise type {cells['noise_type']!r}; known are {known}")
    if "label" in cells:
        label = parse_label(cells["label"])
        if label is None:
            problems.append(f"unknown label {cells['label']!r}; known are ok and defect")
    else:
        label = _label_from_paths(noisy, reference, problems)
    return Row(
        number=number, noisy=noisy, noise_type=noise_type, reference=reference, label=label, problems=tuple(problems)
    )


def _parse_path(text: str, role: str, root: Path, problems: list[str]) -> str:
    """Make a path relative to the root; one that leaves the root is a problem, and is never opened."""
    if not text:
        problems.append(f"no {role} picture is named")
        return ""
    base = Path(os.path.abspath(root))  # noqa: PTH100 -- resolves ".." by the text alone, and follows no link
    full = Path(os.path.abspath(base / text.replace("\\", "/")))  # noqa: PTH100
    foreign = os.name != "nt" and PureWindowsPath(text).drive
    if "\x00" in text or foreign or not full.is_relative_to(base):
        problems.append(f"the {role} path {text!r} lies outside the root {root}; name another with --root")
        return ""
    return full.relative_to(base).as_posix()


def _label_from_paths(noisy: str, reference: str, problems: list[str]) -> Label | None:
    labels = labels_in_path(noisy) | labels_in_path(reference)
    if len(labels) == 1:
        return next(iter(labels))
    if not noisy and not reference:  # which is a problem of its own
        return None
    said = "both ok and defect" if labels else "neither ok nor def(ect)"
    problems.append(f"the words of {noisy or reference!r} say {said}; rename it or name a --label-column")
    return None


def _text(cell: Any) -> str:  # noqa: ANN401 -- a cell holds whatever the spreadsheet put there
    """A cell as trimmed text; an empty one, NaN or None is ''. 1.0 is '1', as a person would have typed it."""
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def _quoted(names: Sequence[Any] | pd.Index) -> str:
    return ", ".join(repr(str(name)) for name in names)
