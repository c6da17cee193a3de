"""Parser for the rows of a sheet: paths, noise type, label, part and subset, with the problems of each row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clearcast.data.path_labels import PathLabels
from clearcast.data.paths import (
    FileNames,
    below_root,
    foreign_prefixes,
    plain_path,
    prefix_option,
    prefixes_of_files,
    strip_prefix,
)
from clearcast.data.table import Table
from clearcast.data.tables.finding import plain
from clearcast.data.tables.lines import Line, Note
from clearcast.data.words import LabelWords, parse_noise_type, parse_subset
from clearcast.domain import Label, NoiseType, Subset

UNKNOWN = "unknown"  # in place of a reference's path: there is no noise-free image
_PATHS = ("noisy", "reference")
_REQUIRED = 3  # number of required columns, which come first: both paths and the noise type


@dataclass(frozen=True, kw_only=True)
class Row:
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


class RowParser:
    """Parser that converts the lines of a table to rows.

    Args:
        roles: the role of each column, in the order of the table.
        files: the files below the root that paths are relative to.
        prefixes: prefixes to remove from paths.
        words: the vocabulary for labels.
    """

    def __init__(self, roles: Sequence[str], files: FileNames, prefixes: Sequence[str], words: LabelWords) -> None:
        self._roles = roles
        self._files = files
        self._prefixes = prefixes
        self._words = words
        self._path_labels = PathLabels(words)
        self._foreign: dict[str, int] = {}

    def parse(self, table: Table) -> tuple[tuple[Row, ...], tuple[Note, ...]]:
        """Parse all lines; return the rows, and notes about all of them."""
        paths = [path for line in table.lines for path in self._paths(line)]
        outside = [path for path in paths if below_root(path, self._files.root) is None]
        self._foreign = foreign_prefixes(outside, self._files)
        lines = [line for line in table.lines if any(line.cells) or line.faults or line.surplus]
        rows = _mark_trailing_rows([self._row(line, table) for line in lines], lines)
        return rows, (*self._notes(paths), *self._path_labels.notes())

    def _paths(self, line: Line) -> Iterator[str]:
        for role in _PATHS:
            text = line.cells[self._roles.index(role)]
            if text and not line.surplus and not (role == "reference" and text.casefold() == UNKNOWN):
                yield strip_prefix(plain_path(text), self._prefixes)

    def _row(self, line: Line, table: Table) -> Row:
        cells = dict(zip(self._roles, line.cells, strict=True))
        if line.surplus:
            return _invalid_row(line.number, f'{line.surplus}; put cells that contain the separator in "quotes"')
        if all(map(_is_name, line.cells, table.columns)):
            return _invalid_row(line.number, "the row repeats the header; remove it")
        faults = {self._roles[at]: fault for at, fault in line.faults.items()}
        problems = [f"the {role.replace('_', ' ')} cell {fault}" for role, fault in faults.items()]
        noisy, reference = ("" if role in faults else self._path(cells[role], role, problems) for role in _PATHS)
        noise_type = None if "noise_type" in faults else _noise_type(cells["noise_type"], problems)
        return Row(
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
        if not text or (role == "reference" and text.casefold() == UNKNOWN):
            return ""
        path = strip_prefix(plain_path(text), self._prefixes)
        below = below_root(path, self._files.root)
        if below is None:
            prefix = next((each for each in self._foreign if strip_prefix(path, [each]) != path), "")
            other = f", or remove its prefix with {prefix_option(prefix)}" if prefix else ""
            root = self._files.root
            problems.append(f"the {role} path {text!r} is outside the root {root}; set another root with --root{other}")
            return ""
        return self._files.find(below) or below

    def _label(self, cells: Mapping[str, str], noisy: str, reference: str, problems: list[str]) -> Label | None:
        if "label" not in cells:
            return self._path_labels.parse(noisy, reference, problems)
        label = self._words.parse(cells["label"])
        if label is None:
            known = self._words.description()
            problems.append(
                f"unknown label {cells['label']!r}; known words are for {known}; define yours with --ok-value and "
                "--defect-value"
            )
        return label

    def _notes(self, paths: Sequence[str]) -> Iterator[Note]:
        """Report prefixes of paths that should be removed, and file names that differ in case or Unicode form."""
        inside = [below_root(path, self._files.root) for path in paths]
        missing = [path for path in inside if path is not None and self._files.find(path) is None]
        below, _ = prefixes_of_files(missing, self._files)
        counts = self._foreign | below
        renamed = sum(path is not None and self._files.find(path) not in (None, path) for path in inside)
        if renamed:
            message = (
                f"{renamed} paths differ from file names only in case or Unicode normalisation; the files with these "
                "names are used"
            )
            yield Note("names of files", message)
        for prefix, count in counts.items():
            message = f"{count} paths begin with {prefix!r}; remove it with {prefix_option(prefix)}"
            yield Note("paths from elsewhere", message)


def _is_name(cell: str, name: str) -> bool:
    return plain(cell) == plain(name)


def _invalid_row(number: int, problem: str) -> Row:
    return Row(number=number, noisy="", noise_type=None, reference="", label=None, problems=(problem,))


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


def _mark_trailing_rows(rows: list[Row], lines: Sequence[Line]) -> tuple[Row, ...]:
    """Add a problem to incomplete rows below the last valid one: they may be totals or notes below the table."""
    valid = [place for place, row in enumerate(rows) if not row.problems]
    for place in range(valid[-1] + 1 if valid else len(rows), len(rows)):
        required = lines[place].cells[:_REQUIRED]
        if "" in required and not lines[place].surplus:
            text = next(filter(None, lines[place].cells), "")
            problem = f"the row is below the last complete row ({text!r}); if it is a total or a note, remove it"
            row = replace(rows[place], problems=(*rows[place].problems, problem))
            rows[place] = replace(row, noisy="", reference="") if required.count("") > 1 else row
    return tuple(rows)
