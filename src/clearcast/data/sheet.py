"""Read a sheet: one row an image, its noise type, its reference, its label and, where it says so, part and subset."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from clearcast.data.paths import FileNames
from clearcast.data.rows import UNKNOWN, Row, RowParser
from clearcast.data.table import READERS, read_table
from clearcast.data.tables.finding import plain
from clearcast.data.tables.lines import Note
from clearcast.data.words import LabelWords
from clearcast.errors import SheetError

__all__ = ["SUFFIXES", "UNKNOWN", "Columns", "Reading", "Row", "Sheet", "read_sheet"]

SUFFIXES = tuple(READERS)
_OPTIONS = "--noisy-column, --noise-column, --reference-column, --label-column, --group-column, --split-column"
_GROUP = "Group"  # a column of this name is used without being asked for


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The names of a sheet's columns. The defaults are those of the report's data."""

    noisy: str = "Noisy Image"
    noise_type: str = "Noise Type"
    reference: str = "Denoise Image"
    label: str | None = None  # None: the label is in the path's words
    group: str | None = None  # None: a column "Group" where there is one
    subset: str | None = None  # None: the sheet does not say how to divide its rows

    def unusual(self) -> dict[str, str | None]:
        """Names that are not the usual ones, by role; that of the subsets is the split's to tell."""
        usual, own = asdict(Columns()), asdict(self)
        return {role: name for role, name in own.items() if name != usual[role] and role != "subset"}


@dataclass(frozen=True, kw_only=True)
class Reading:
    r"""How a sheet is to be read, besides its columns.

    Attributes:
        worksheet: of a workbook, the one to read; None: the first that has the columns.
        strip_prefix: what is taken off the beginning of paths, such as ``C:\data`` or ``file:///data``.
        ok_values, defect_values: words for labels besides those that are known.
    """

    worksheet: str | None = None
    strip_prefix: tuple[str, ...] = ()
    ok_values: tuple[str, ...] = ()
    defect_values: tuple[str, ...] = ()

    def unusual(self) -> dict[str, Any]:
        """What was asked for, ready for JSON; empty if nothing was."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items() if value
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Reading":
        """The inverse of ``unusual``."""
        known: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in values.items()}
        return cls(**known)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A sheet that was read: its rows, by which columns and how, and the folder that their paths are relative to.

    Attributes:
        place: what was read, such as ``worksheet 'Labels', header in row 3, rows 4 to 15``.
        notes: what a person should know of how it was read, such as hidden rows.
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
        """The file that a row's path names; ``read_sheet`` has made sure that it lies inside the root."""
        return self.root / path

    def question(self) -> dict[str, Any]:
        """What its rows depend on, ready for JSON; how it was read is left out if nothing was asked for."""
        reading = self.reading.unusual()
        same = {"sheet_sha256": self.sha256, "columns": self.columns.unusual()}
        return same | ({"reading": reading} if reading else {})


def read_sheet(
    path: Path, *, columns: Columns = Columns(), root: Path | None = None, reading: Reading = Reading()
) -> Sheet:
    """Read a sheet in .xlsx, .xlsm, .xls, .csv or .parquet.

    Rows above the header and rows without any entry are skipped, and merged cells are filled. A row that cannot be
    understood is kept and says so in ``problems``; ``check`` reports all of them at once. Paths that differ from a
    file's name only in capitals or in their Unicode form are taken as the file is called, if there is only one.

    A path that leaves the root is a problem of its row and is never opened. This is judged by the path's text alone:
    links inside the root are followed wherever they lead, since only the folder's owner can have put them there and
    large data sets are often linked. Where others can write into the folder, do not read sheets from it.

    Args:
        path: the sheet.
        columns: the names of the columns; capitals and spaces around them do not matter.
        root: the folder that paths are relative to; by default the sheet's own.
        reading: which worksheet, and what paths and labels mean.

    Raises:
        SheetError: no such file, not a sheet, more than is read, a column is missing or not unique, or there is no row.
    """
    require_sheet(path)
    words = LabelWords(reading.ok_values, reading.defect_values)
    roles = _roles(columns)
    optional = [] if columns.group or plain(_GROUP) in map(plain, roles.values()) else [_GROUP]
    hint = f"; name yours with {_OPTIONS}"
    wanted = list(roles.values())
    table = read_table(path, wanted, optional=optional, worksheet=reading.worksheet, hint=hint)
    root = (root or path.parent).absolute()
    if not root.is_dir():
        raise SheetError(f"{root}: no such folder; needed is the root that the sheet's paths are relative to")
    parser = RowParser((*roles, "group")[: len(table.columns)], FileNames(root), reading.strip_prefix, words)
    rows, notes = parser.parse(table)
    if not rows:
        raise SheetError(f"{path}: the sheet has no rows below its header; needed is one row an image")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Sheet(
        path=path,
        root=root,
        sha256=sha256,
        rows=rows,
        columns=columns,
        # by the worksheet's own name, whoever named it, so that the same rows are the same question
        reading=replace(reading, worksheet=None if table.is_first else table.worksheet),
        place=table.place(),
        notes=(*table.notes, *notes),
    )


def require_sheet(path: Path) -> None:
    """Make sure that there is a file.

    Raises:
        SheetError: there is none, or a folder.
    """
    if path.is_dir():
        raise SheetError(
            f"{path}: no such sheet, but a folder; needed is a file that lists its images and ends in "
            f"{', '.join(SUFFIXES)}, such as 'clearcast corrupt {path} OUT' writes from clean images"
        )
    if not path.is_file():
        raise SheetError(f"{path}: no such sheet; needed is a file that ends in {', '.join(SUFFIXES)}")


def _roles(columns: Columns) -> dict[str, str]:
    """The name of each role's column; those that are optional have a role only if they are named.

    Raises:
        SheetError: one column is named for two roles.
    """
    optional = {"label": columns.label, "subset": columns.subset, "group": columns.group}
    roles = {"noisy": columns.noisy, "noise_type": columns.noise_type, "reference": columns.reference}
    roles |= {role: name for role, name in optional.items() if name is not None}
    for name in roles.values():
        named = [role for role, other in roles.items() if plain(other) == plain(name)]
        if len(named) > 1:
            raise SheetError(f"column {name!r} is named as {' and as '.join(named)}; name others with {_OPTIONS}")
    return roles
