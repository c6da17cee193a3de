"""Read a sheet: one row an image, its noise type, its reference, its label and, where it says so, part and subset."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PureWindowsPath

from clearcast.data.table import READERS, Table, cell_text, plain, read_table
from clearcast.data.words import labels_in_path, parse_label, parse_noise_type, parse_subset
from clearcast.domain import Label, NoiseType, Subset
from clearcast.errors import SheetError

SUFFIXES = tuple(READERS)
_OPTIONS = "--noisy-column, --noise-column, --reference-column, --label-column, --group-column, --split-column"
_GROUP = "Group"  # a column of this name is used without being asked for
UNKNOWN = "unknown"  # in place of a reference's path: nobody has the picture without noise


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
class Row:
    """One row as it was understood. ``number`` counts from 1 as spreadsheets do, with the header in row 1.

    Paths are relative to the sheet's root, with forward slashes. ``group`` is empty where the sheet does not say which
    part is shown, ``subset`` None where it does not say what the row is used for. ``reference`` is empty where the
    sheet says that it is unknown. ``problems`` says what could not be understood.
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
class Sheet:
    """A sheet that was read: its rows, by which columns, and the folder that their paths are relative to."""

    path: Path
    root: Path
    sha256: str
    rows: tuple[Row, ...] = field(repr=False)
    columns: Columns = Columns()

    def resolve(self, path: str) -> Path:
        """The file that a row's path names; ``read_sheet`` has made sure that it lies inside the root."""
        return self.root / path


def read_sheet(path: Path, *, columns: Columns = Columns(), root: Path | None = None) -> Sheet:
    """Read a sheet in .xlsx, .xls, .csv or .parquet.

    Blank rows above the header and rows without any entry are skipped. A row that cannot be understood is kept and says
    so in ``problems``; ``check`` reports all of them at once.

    A path that leaves the root is a problem of its row and is never opened. This is judged by the path's text alone:
    links inside the root are followed wherever they lead, since only the folder's owner can have put them there and
    large data sets are often linked. Where others can write into the folder, do not read sheets from it.

    Args:
        path: the sheet; of a workbook, its first worksheet is read.
        columns: the names of the columns; capitals and spaces around them do not matter.
        root: the folder that paths are relative to; by default the sheet's own.

    Raises:
        SheetError: no such file, not a sheet, a column is missing or not unique, or there is no row.
    """
    if not path.is_file():
        raise SheetError(f"{path}: no such sheet; needed is a file that ends in {', '.join(SUFFIXES)}")
    wanted = _wanted(columns)
    table = read_table(path, wanted.values())
    if columns.group is None and plain(_GROUP) in map(plain, table.header):
        wanted["group"] = _GROUP
    places = _find_columns(table.header, wanted, path)
    root = (root or path.parent).absolute()
    if not root.is_dir():
        raise SheetError(f"{root}: no such folder; needed is the root that the sheet's paths are relative to")
    rows = tuple(_rows(table, places, root))
    if not rows:
        raise SheetError(f"{path}: the sheet has no rows below its header; needed is one row an image")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Sheet(path=path, root=root, sha256=sha256, rows=rows, columns=columns)


def _wanted(columns: Columns) -> dict[str, str]:
    """The name of each role's column; those that are optional have a role only where they are named."""
    optional = {"label": columns.label, "group": columns.group, "subset": columns.subset}
    wanted = {"noisy": columns.noisy, "noise_type": columns.noise_type, "reference": columns.reference}
    return wanted | {role: name for role, name in optional.items() if name is not None}


def _find_columns(header: tuple[str, ...], wanted: dict[str, str], path: Path) -> dict[str, int]:
    """Map each role to the place of its column, of which there must be exactly one, and one for each role."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(header):
        places[plain(name)].append(place)
    missing = [name for name in wanted.values() if not places[plain(name)]]
    if missing:
        present = _quoted(name for name in header if name)
        raise SheetError(
            f"{path}: no column {_quoted(missing)}; the sheet has {present or 'no columns'}; name yours with {_OPTIONS}"
        )
    for name in wanted.values():
        roles = [role for role, other in wanted.items() if plain(other) == plain(name)]
        if len(roles) > 1:
            raise SheetError(
                f"{path}: column {name!r} is named as {' and as '.join(roles)}; name others with {_OPTIONS}"
            )
        if (count := len(places[plain(name)])) > 1:
            raise SheetError(f"{path}: {count} columns are called {name!r}; needed is one: rename or remove the others")
    return {role: places[plain(name)][0] for role, name in wanted.items()}


def _rows(table: Table, places: dict[str, int], root: Path) -> Iterable[Row]:
    width = len(table.header)
    for number, cells in table.lines:
        record = {role: cell_text(cells[place]) for role, place in places.items()}
        if any(map(cell_text, cells[width:])):
            problem = (
                f"the line has {len(cells)} cells where the header has {width}, so that none can be trusted; put a "
                'cell that holds the separator into "quotes"'
            )
            yield Row(number=number, noisy="", noise_type=None, reference="", label=None, problems=(problem,))
        elif any(record.values()):
            yield _parse_row(number, record, root)


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
    subset = _parse_optional_subset(cells, problems)
    return Row(
        number=number,
        noisy=noisy,
        noise_type=noise_type,
        reference=reference,
        label=label,
        group=cells.get("group", ""),
        subset=subset,
        problems=tuple(problems),
    )


def _parse_optional_subset(cells: dict[str, str], problems: list[str]) -> Subset | None:
    if "subset" not in cells:
        return None
    subset = parse_subset(cells["subset"])
    if subset is None:
        problems.append(f"unknown subset {cells['subset']!r}; known are {', '.join(Subset)}")
    return subset


def _parse_path(text: str, role: str, root: Path, problems: list[str]) -> str:
    """Make a path relative to the root; one that leaves the root is a problem, and is never opened."""
    if not text:
        problems.append(f"no {role} picture is named")
    if not text or (role == "reference" and text.casefold() == UNKNOWN):
        return ""
    base = Path(os.path.abspath(root))  # noqa: PTH100 -- resolves ".." by the text alone, and follows no link
    full = Path(os.path.abspath(base / text.replace("\\", "/")))  # noqa: PTH100
    foreign = os.name != "nt" and PureWindowsPath(text).drive
    if "\x00" in text or foreign or not full.is_relative_to(base):
        problems.append(f"the {role} path {text!r} lies outside the root {root}; name another with --root")
        return ""
    return full.relative_to(base).as_posix()


def _label_from_paths(noisy: str, reference: str, problems: list[str]) -> Label | None:
    said = {path: labels_in_path(path) for path in (noisy, reference) if path}
    labels = frozenset[Label]().union(*said.values())
    if len(labels) == 1:
        return next(iter(labels))
    if not said:  # which is a problem of its own
        return None
    both = next((path for path, found in said.items() if len(found) > 1), None)
    if both is not None:
        what = f"{both!r} say both ok and defect"
    elif labels:
        what = ", those of ".join(f"{path!r} say {next(iter(found))}" for path, found in said.items())
    else:
        what = f"{noisy or reference!r} say neither ok nor def(ect)"
    problems.append(f"the words of {what}; rename it or name a --label-column")
    return None


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
