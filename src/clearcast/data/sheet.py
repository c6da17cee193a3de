"""Sheet reader: one row per image, with its noise type, reference and label, and optionally its part and subset."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from clearcast.data.paths import FileNames
from clearcast.data.rows import UNKNOWN, Row, RowParser
from clearcast.data.table import READERS, Table, read_table
from clearcast.data.tables.finding import plain
from clearcast.data.tables.lines import Note
from clearcast.data.words import LabelWords
from clearcast.errors import SheetError

__all__ = ["SUFFIXES", "UNKNOWN", "Columns", "Reading", "Row", "Sheet", "read_sheet"]

SUFFIXES = tuple(READERS)
_OPTIONS = "--noisy-column, --noise-column, --reference-column, --label-column, --group-column, --split-column"
_GROUP = "Group"  # a column of this name is used by default


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Column names of a sheet. The defaults are those of the report's data."""

    noisy: str = "Noisy Image"
    noise_type: str = "Noise Type"
    reference: str = "Denoise Image"
    label: str | None = None  # None: the label is parsed from the paths
    group: str | None = None  # None: the column "Group", if there is one
    subset: str | None = None  # None: the sheet has no split column

    def non_default(self) -> dict[str, str | None]:
        """Return the names that differ from the defaults, by role, without the split column (recorded by the split)."""
        defaults, names = asdict(Columns()), asdict(self)
        return {role: name for role, name in names.items() if name != defaults[role] and role != "subset"}


@dataclass(frozen=True, kw_only=True)
class Reading:
    r"""Options for reading a sheet, in addition to its columns.

    Attributes:
        worksheet: the worksheet to read; None: the first that has the columns.
        strip_prefix: prefixes to remove from paths, such as ``C:\data`` or ``file:///data``.
        ok_values, defect_values: additional words for labels.
    """

    worksheet: str | None = None
    strip_prefix: tuple[str, ...] = ()
    ok_values: tuple[str, ...] = ()
    defect_values: tuple[str, ...] = ()

    def non_default(self) -> dict[str, Any]:
        """Return the options that are set, ready for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items() if value
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Reading":
        """Return the inverse of ``non_default``."""
        known: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in values.items()}
        return cls(**known)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A sheet: its rows, columns and reading options.

    Attributes:
        path: the file.
        root: the folder that paths are relative to.
        sha256: hash of the file.
        rows: the parsed rows.
        columns, reading: the column names and options used.
        place: the table that was read, such as ``worksheet 'Labels', header in row 3, rows 4 to 15``.
        notes: notes for the user about reading the sheet, such as hidden rows.
    """

    path: Path
    root: Path
    sha256: str
    rows: tuple[Row, ...] = field(repr=False)
    columns: Columns = Columns()
    reading: Reading = Reading()
    place: str = ""
    notes: tuple[Note, ...] = ()

    def resolve(self, path: str) -> Path:
        """Return the file that a row's path names; ``read_sheet`` has checked that it is inside the root."""
        return self.root / path

    def fingerprint(self) -> dict[str, Any]:
        """Return what determines the rows, ready for JSON: a part of the run fingerprint."""
        reading = self.reading.non_default()
        common = {"sheet_sha256": self.sha256, "columns": self.columns.non_default()}
        return common | ({"reading": reading} if reading else {})


def read_sheet(
    path: Path, *, columns: Columns = Columns(), root: Path | None = None, reading: Reading = Reading()
) -> Sheet:
    """Read a sheet in .xlsx, .xlsm, .xls, .csv or .parquet.

    Rows above the header and empty rows are skipped, and merged cells are filled. Errors of a row are collected in its
    ``problems``; ``check`` reports all of them. A path that differs from a file name only in case or Unicode
    normalisation is replaced by that name if there is only one such file.

    A path outside the root is a problem of its row and is never opened. Only the text of the path counts: links inside
    the root are followed wherever they point, since only the folder's owner can create them and large data sets are
    often linked. Do not read sheets from a folder that others can write to.

    Args:
        path: the sheet.
        columns: the column names; case and surrounding spaces are ignored.
        root: the folder that paths are relative to; by default the sheet's own folder.
        reading: reading options.

    Raises:
        SheetError: the file is missing, not a sheet or too large, a column is missing or not unique, or there are no
            rows.
    """
    require_sheet(path)
    words = LabelWords(reading.ok_values, reading.defect_values)
    roles = _roles(columns)
    table = _read_role_columns(path, roles, reading.worksheet)
    root = (root or path.parent).absolute()
    if not root.is_dir():
        raise SheetError(f"{root}: no such folder; expected the root folder that the sheet's paths are relative to")
    parser = RowParser((*roles, "group")[: len(table.columns)], FileNames(root), reading.strip_prefix, words)
    rows, notes = parser.parse(table)
    if not rows:
        raise SheetError(f"{path}: the sheet has no rows below its header; expected one row per image")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Sheet(
        path=path,
        root=root,
        sha256=sha256,
        rows=rows,
        columns=columns,
        # the worksheet's own spelling, so that the same rows have the same fingerprint
        reading=replace(reading, worksheet=None if table.is_first else table.worksheet),
        place=table.place(),
        notes=(*table.notes, *notes),
    )


def require_sheet(path: Path) -> None:
    """Check that a sheet exists.

    Raises:
        SheetError: there is no such file, or it is a folder.
    """
    if path.is_dir():
        raise SheetError(
            f"{path}: expected a sheet that lists the images ({', '.join(SUFFIXES)}), got a folder; 'clearcast corrupt "
            f"{path} OUT' makes noisy images and their sheet from noise-free images"
        )
    if not path.is_file():
        raise SheetError(f"{path}: no such sheet; expected a file that ends in {', '.join(SUFFIXES)}")


def _read_role_columns(path: Path, roles: Mapping[str, str], worksheet: str | None) -> Table:
    """Read the columns of all roles, and the column "Group" if there is one and no role uses it."""
    optional = [] if "group" in roles or plain(_GROUP) in map(plain, roles.values()) else [_GROUP]
    hint = f"; name yours with {_OPTIONS}"
    return read_table(path, list(roles.values()), optional=optional, worksheet=worksheet, hint=hint)


def _roles(columns: Columns) -> dict[str, str]:
    """Return the column name of each role; optional columns only if they are named.

    Raises:
        SheetError: a column is named for two roles.
    """
    optional = {"label": columns.label, "subset": columns.subset, "group": columns.group}
    roles = {"noisy": columns.noisy, "noise_type": columns.noise_type, "reference": columns.reference}
    roles |= {role: name for role, name in optional.items() if name is not None}
    for name in roles.values():
        named = [role for role, other in roles.items() if plain(other) == plain(name)]
        if len(named) > 1:
            raise SheetError(f"column {name!r} is named for {' and for '.join(named)}; name another with {_OPTIONS}")
    return roles
