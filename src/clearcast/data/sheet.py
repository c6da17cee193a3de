"""Sheets: reading options, and parsing of rows into paths, noise type, label, part and subset.

Errors of a row are collected in its ``problems``; only errors of the whole sheet are raised.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from clearcast.core.errors import SheetError
from clearcast.data.paths import (
    FileNameIndex,
    find_foreign_prefixes,
    find_removable_prefixes,
    make_relative_to_root,
    normalise_path,
    strip_path_prefix,
    strip_prefix_option,
)
from clearcast.data.readers.grid import SheetNote, TableLine
from clearcast.data.readers.table import TABLE_READERS, ColumnTable, normalise_column_name, read_columns
from clearcast.data.vocabulary import LabelVocabulary, PathLabelParser, parse_noise_type, parse_subset
from clearcast.noise.registry import NoiseType
from clearcast.types import Label, Subset

SHEET_SUFFIXES = tuple(TABLE_READERS)
UNKNOWN_REFERENCE = "unknown"  # in place of a reference's path: there is no noise-free image
_PATH_ROLES = ("noisy", "reference")
_REQUIRED_COLUMNS = 3  # number of required columns, which come first: both paths and the noise type
_COLUMN_OPTIONS = "--noisy-column, --noise-column, --reference-column, --label-column, --group-column, --split-column"
_DEFAULT_GROUP_COLUMN = "Group"  # a column of this name is used by default


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """Parsed row of a sheet. Paths are relative to the sheet's root, with forward slashes.

    Attributes:
        number: row number in the spreadsheet, from 1.
        noisy: path of the noisy image.
        noise_type: None if it is not understood.
        reference: path of the reference image; "" if the sheet marks it as unknown.
        label: None if it is not understood.
        group: the part shown; "" if the sheet has no group.
        subset: None if the sheet has no split column.
        problems: error messages about the row.
    """

    number: int
    noisy: str
    noise_type: NoiseType | None
    reference: str
    label: Label | None
    group: str = ""
    subset: Subset | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SheetColumns:
    """Column names of a sheet. The defaults are those of the published data."""

    noisy: str = "Noisy Image"
    noise_type: str = "Noise Type"
    reference: str = "Denoise Image"
    label: str | None = None  # None: the label is parsed from the paths
    group: str | None = None  # None: the column "Group", if there is one
    subset: str | None = None  # None: the sheet has no split column

    def non_default(self) -> dict[str, str | None]:
        """Return the names that differ from the defaults, by role, without the split column (recorded by the split)."""
        defaults, names = asdict(SheetColumns()), asdict(self)
        return {role: name for role, name in names.items() if name != defaults[role] and role != "subset"}


@dataclass(frozen=True, kw_only=True)
class SheetReading:
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
    def from_json(cls, values: Mapping[str, Any]) -> "SheetReading":
        """Create options from the result of ``non_default``."""
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
    rows: tuple[SheetRow, ...] = field(repr=False)
    columns: SheetColumns = SheetColumns()
    reading: SheetReading = SheetReading()
    place: str = ""
    notes: tuple[SheetNote, ...] = ()

    def resolve(self, path: str) -> Path:
        """Return the file that a row's path names; ``read_sheet`` has checked that it is inside the root."""
        return self.root / path

    def fingerprint(self) -> dict[str, Any]:
        """Return what determines the rows, ready for JSON: a part of the run fingerprint."""
        reading = self.reading.non_default()
        common = {"sheet_sha256": self.sha256, "columns": self.columns.non_default()}
        return common | ({"reading": reading} if reading else {})


def read_sheet(
    path: Path,
    *,
    columns: SheetColumns = SheetColumns(),
    root: Path | None = None,
    reading: SheetReading = SheetReading(),
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
    _require_sheet(path)
    vocabulary = LabelVocabulary(reading.ok_values, reading.defect_values)
    roles = _roles(columns)
    table = _read_role_columns(path, roles, reading.worksheet)
    root = (root or path.parent).absolute()
    if not root.is_dir():
        raise SheetError(f"{root}: no such folder; expected the root folder that the sheet's paths are relative to")
    parser = _RowParser((*roles, "group")[: len(table.columns)], FileNameIndex(root), reading.strip_prefix, vocabulary)
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


def _require_sheet(path: Path) -> None:
    """Check that a sheet exists.

    Raises:
        SheetError: there is no such file, or it is a folder.
    """
    if path.is_dir():
        raise SheetError(
            f"{path}: expected a sheet that lists the images ({', '.join(SHEET_SUFFIXES)}), got a folder; "
            f"'clearcast corrupt {path} OUT' makes noisy images and their sheet from noise-free images"
        )
    if not path.is_file():
        raise SheetError(f"{path}: no such sheet; expected a file that ends in {', '.join(SHEET_SUFFIXES)}")


def _read_role_columns(path: Path, roles: Mapping[str, str], worksheet: str | None) -> ColumnTable:
    """Read the columns of all roles, and the column "Group" if there is one and no role uses it."""
    named = set(map(normalise_column_name, roles.values()))
    is_free = "group" not in roles and normalise_column_name(_DEFAULT_GROUP_COLUMN) not in named
    optional = [_DEFAULT_GROUP_COLUMN] if is_free else []
    hint = f"; name yours with {_COLUMN_OPTIONS}"
    return read_columns(path, list(roles.values()), optional=optional, worksheet=worksheet, hint=hint)


def _roles(columns: SheetColumns) -> dict[str, str]:
    """Return the column name of each role; optional columns only if they are named.

    Raises:
        SheetError: a column is named for two roles.
    """
    optional = {"label": columns.label, "subset": columns.subset, "group": columns.group}
    roles = {"noisy": columns.noisy, "noise_type": columns.noise_type, "reference": columns.reference}
    roles |= {role: name for role, name in optional.items() if name is not None}
    for name in roles.values():
        named = [role for role, other in roles.items() if normalise_column_name(other) == normalise_column_name(name)]
        if len(named) > 1:
            raise SheetError(
                f"column {name!r} is named for {' and for '.join(named)}; name another with {_COLUMN_OPTIONS}"
            )
    return roles


class _RowParser:
    """Parser that converts the lines of a table to rows.

    Args:
        roles: the role of each column, in the order of the table.
        files: the files below the root that paths are relative to.
        prefixes: prefixes to remove from paths.
        vocabulary: the words for labels.
    """

    def __init__(
        self, roles: Sequence[str], files: FileNameIndex, prefixes: Sequence[str], vocabulary: LabelVocabulary
    ) -> None:
        self._roles = roles
        self._files = files
        self._prefixes = prefixes
        self._vocabulary = vocabulary
        self._path_labels = PathLabelParser(vocabulary)
        self._outside_prefixes: dict[str, int] = {}  # prefixes of paths outside the root, with their counts

    def parse(self, table: ColumnTable) -> tuple[tuple[SheetRow, ...], tuple[SheetNote, ...]]:
        """Parse all lines; return the rows, and notes about all of them."""
        paths = [path for line in table.lines for path in self._paths(line)]
        outside = [path for path in paths if make_relative_to_root(path, self._files.root) is None]
        self._outside_prefixes = find_foreign_prefixes(outside, self._files)
        lines = [line for line in table.lines if any(line.cells) or line.faults or line.surplus]
        rows = _mark_trailing_rows([self._row(line, table) for line in lines], lines)
        return rows, (*self._notes(paths), *self._path_labels.notes())

    def _paths(self, line: TableLine) -> Iterator[str]:
        for role in _PATH_ROLES:
            text = line.cells[self._roles.index(role)]
            if text and not line.surplus and not (role == "reference" and text.casefold() == UNKNOWN_REFERENCE):
                yield strip_path_prefix(normalise_path(text), self._prefixes)

    def _row(self, line: TableLine, table: ColumnTable) -> SheetRow:
        cells = dict(zip(self._roles, line.cells, strict=True))
        if line.surplus:
            return _invalid_row(line.number, f'{line.surplus}; put cells that contain the separator in "quotes"')
        if all(map(_is_same_name, line.cells, table.columns)):
            return _invalid_row(line.number, "the row repeats the header; remove it")
        faults = {self._roles[at]: fault for at, fault in line.faults.items()}
        problems = [f"the {role.replace('_', ' ')} cell {fault}" for role, fault in faults.items()]
        noisy, reference = ("" if role in faults else self._path(cells[role], role, problems) for role in _PATH_ROLES)
        noise_type = None if "noise_type" in faults else _noise_type(cells["noise_type"], problems)
        return SheetRow(
            number=line.number,
            noisy=noisy,
            noise_type=noise_type,
            reference=reference,
            label=None if "label" in faults else self._label(cells, noisy, reference, problems),
            group=cells.get("group", ""),
            subset=None if "subset" in faults else _subset(cells, problems),
            problems=tuple(problems),
        )

    def _path(self, text: str, role: str, problems: list[str]) -> str:
        """Make a path relative to the root; a path outside the root is a problem, and is never opened."""
        if not text:
            problems.append(f"the path of the {role} image is missing")
        if not text or (role == "reference" and text.casefold() == UNKNOWN_REFERENCE):
            return ""
        path = strip_path_prefix(normalise_path(text), self._prefixes)
        below = make_relative_to_root(path, self._files.root)
        if below is None:
            prefix = next((each for each in self._outside_prefixes if strip_path_prefix(path, [each]) != path), "")
            advice = f", or remove its prefix with {strip_prefix_option(prefix)}" if prefix else ""
            root = self._files.root
            problems.append(
                f"the {role} path {text!r} is outside the root {root}; set another root with --root{advice}"
            )
            return ""
        return self._files.find(below) or below

    def _label(self, cells: Mapping[str, str], noisy: str, reference: str, problems: list[str]) -> Label | None:
        if "label" not in cells:
            return self._path_labels.parse(noisy, reference, problems)
        label = self._vocabulary.parse(cells["label"])
        if label is None:
            known = self._vocabulary.description()
            problems.append(
                f"unknown label {cells['label']!r}; known words are for {known}; define yours with --ok-value and "
                "--defect-value"
            )
        return label

    def _notes(self, paths: Sequence[str]) -> Iterator[SheetNote]:
        """Report prefixes of paths that should be removed, and file names that differ in case or Unicode form."""
        inside = [make_relative_to_root(path, self._files.root) for path in paths]
        missing = [path for path in inside if path is not None and self._files.find(path) is None]
        removable, _ = find_removable_prefixes(missing, self._files)
        counts = self._outside_prefixes | removable
        renamed = sum(path is not None and self._files.find(path) not in (None, path) for path in inside)
        if renamed:
            message = (
                f"{renamed} paths differ from file names only in case or Unicode normalisation; the files with these "
                "names are used"
            )
            yield SheetNote("names of files", message)
        for prefix, count in counts.items():
            message = f"{count} paths begin with {prefix!r}; remove it with {strip_prefix_option(prefix)}"
            yield SheetNote("paths from elsewhere", message)


def _is_same_name(cell: str, name: str) -> bool:
    return normalise_column_name(cell) == normalise_column_name(name)


def _invalid_row(number: int, problem: str) -> SheetRow:
    return SheetRow(number=number, noisy="", noise_type=None, reference="", label=None, problems=(problem,))


def _noise_type(text: str, problems: list[str]) -> NoiseType | None:
    noise_type = parse_noise_type(text)
    if noise_type is None:
        problems.append(f"unknown noise type {text!r}; expected one of {', '.join(NoiseType)}")
    return noise_type


def _subset(cells: Mapping[str, str], problems: list[str]) -> Subset | None:
    if "subset" not in cells:
        return None
    subset = parse_subset(cells["subset"])
    if subset is None:
        problems.append(f"unknown subset {cells['subset']!r}; expected one of {', '.join(Subset)}")
    return subset


def _mark_trailing_rows(rows: list[SheetRow], lines: Sequence[TableLine]) -> tuple[SheetRow, ...]:
    """Add a problem to incomplete rows below the last valid one: they may be totals or notes below the table."""
    valid = [place for place, row in enumerate(rows) if not row.problems]
    for place in range(valid[-1] + 1 if valid else len(rows), len(rows)):
        required = lines[place].cells[:_REQUIRED_COLUMNS]
        if "" in required and not lines[place].surplus:
            text = next(filter(None, lines[place].cells), "")
            problem = f"the row is below the last complete row ({text!r}); if it is a total or a note, remove it"
            row = replace(rows[place], problems=(*rows[place].problems, problem))
            rows[place] = replace(row, noisy="", reference="") if required.count("") > 1 else row
    return tuple(rows)
