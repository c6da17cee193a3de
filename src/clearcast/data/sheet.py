"""Read a sheet: one row an image, its noise type, its reference and, in a column or in the path's words, its label."""

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
    table = _read_table(path)
    names = _find_columns(table, columns, path)
    root = (root or path.parent).absolute()
    if not root.is_dir():
        raise SheetError(f"{root}: no such folder; needed is the root that the sheet's paths are relative to")
    used = table[list(dict.fromkeys(names.values()))]
    filled = used.apply(lambda column: column.map(_text)).ne("").any(axis=1) if len(used) else []
    rows = tuple(
        _parse_row(index + 2, {role: _text(record[name]) for role, name in names.items()}, root)
        for index, (record, is_filled) in enumerate(zip(used.to_dict("records"), filled, strict=True))
        if is_filled
    )
    if not rows:
        raise SheetError(f"{path}: the sheet has no rows below its header; needed is one row an image")
    return Sheet(path=path, root=root, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), rows=rows)


def _read_table(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix in {".xlsx", ".xls"}:
                return pd.read_excel(path, dtype=object, engine="calamine", keep_default_na=False)
            if suffix == ".csv":
                separator = _csv_separator(path)
                return pd.read_csv(path, dtype=str, keep_default_na=False, sep=separator, encoding="utf-8-sig")
            if suffix == ".parquet":
                return pd.read_parquet(path)
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading {suffix} needs a package that is not installed ({error}); "
            "install it with: pip install 'clearcast[parquet]'"
        ) from None
    except pd.errors.EmptyDataError:
        raise SheetError(f"{path}: the sheet is empty; needed are a header and one row an image") from None
    except Exception as error:  # the readers raise dozens of kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SheetError(f"{path}: cannot be read as {suffix} ({reason}); save the sheet again") from None
    raise SheetError(f"{path}: a sheet ends in {', '.join(SUFFIXES)}, this one in {suffix or 'nothing'}")


def _csv_separator(path: Path) -> str:
    """Spreadsheets write CSV with comma, semicolon or tab, by the country; the header tells which."""
    with path.open(encoding="utf-8-sig") as lines:
        header = lines.readline()
    return max(",;\t", key=header.count)


def _find_columns(table: pd.DataFrame, columns: Columns, path: Path) -> dict[str, str]:
    """Map each role to the table's own column name."""
    present = {str(name).strip().casefold(): name for name in table.columns}
    wanted = {"noisy": columns.noisy, "noise_type": columns.noise_type, "reference": columns.reference}
    if columns.label is not None:
        wanted["label"] = columns.label
    missing = [name for name in wanted.values() if name.strip().casefold() not in present]
    if missing:
        raise SheetError(
            f"{path}: no column {_quoted(missing)}; the sheet has {_quoted(table.columns) or 'no columns'}; name yours "
            "with --noisy-column, --noise-column, --reference-column, --label-column"
        )
    return {role: present[name.strip().casefold()] for role, name in wanted.items()}


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
    relative = os.path.relpath(os.path.join(root, text.replace("\\", "/")), root)  # noqa: PTH118
    if relative.startswith("..") or "\x00" in text or (len(text) > 1 and text[1] == ":"):
        problems.append(f"the {role} path {text!r} lies outside the root {root}; name another with --root")
        return ""
    return Path(relative).as_posix()


def _label_from_paths(noisy: str, reference: str, problems: list[str]) -> Label | None:
    labels = labels_in_path(noisy) | labels_in_path(reference)
    if len(labels) == 1:
        return next(iter(labels))
    said = "both ok and defect" if labels else "neither ok nor def(ect)"
    problems.append(f"the words of {noisy or reference!r} say {said}; rename it or name a --label-column")
    return None


def _text(cell: Any) -> str:  # noqa: ANN401 -- a cell holds whatever the spreadsheet put there
    """A cell as trimmed text; an empty one, NaN or None is ''. 1.0 is '1', as a person would have typed it."""
    if cell is None or (isinstance(cell, float) and cell != cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def _quoted(names: Sequence[Any] | pd.Index) -> str:
    return ", ".join(repr(str(name)) for name in names)
