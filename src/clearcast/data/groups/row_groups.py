"""Groups of a sheet's rows: by detection, group column or groups file; their tables, and likely label errors."""

import csv
import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from clearcast.core.console import ProgressCallback
from clearcast.core.errors import SheetError
from clearcast.core.files import replace_file
from clearcast.core.spreadsheets import protect_cell, restore_cell
from clearcast.data.groups.clustering import NEAR_MATCH_SCORE, SURE_MATCH_SCORE, Clustering, PairScore, detect_groups
from clearcast.data.images import ImageMetadata
from clearcast.data.readers.table import read_columns
from clearcast.data.row_checks import FindingSeverity, SheetFinding
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.noise.registry import NoiseType
from clearcast.types import Label

_GROUP_COLUMNS = ("path", "group")
_SCORE_COLUMNS = ("group", "rows", "weakest_join", "nearest_group", "nearest_agreement")

_SHOWN = 5  # rows that a message lists


@dataclass(frozen=True, kw_only=True)
class ComparedImages:
    """A compared pair of images, by their paths in the sheet, and their match score, at most 1."""

    one: str
    other: str
    match_score: float


@dataclass(frozen=True, kw_only=True)
class RowGroups:
    """The group of each row of a sheet, and the comparisons behind it.

    Attributes:
        of_rows: the group of each row.
        images: the compared image of each row; "" if none is readable.
        matches: pairs that connect the groups; empty if the groups are not detected but given.
        non_matches: for each two groups that were compared, the pair with the highest score, sorted by score.
    """

    of_rows: tuple[str, ...]
    images: tuple[str, ...]
    matches: tuple[ComparedImages, ...] = ()
    non_matches: tuple[ComparedImages, ...] = ()

    @property
    def doubtful_matches(self) -> list[ComparedImages]:
        """Merged images with a lower match score than most copies, the lowest first."""
        return sorted(
            (pair for pair in self.matches if pair.match_score < SURE_MATCH_SCORE), key=lambda pair: pair.match_score
        )

    @property
    def near_misses(self) -> list[ComparedImages]:
        """Images that were nearly merged, the highest match score first."""
        return [pair for pair in self.non_matches if pair.match_score > NEAR_MATCH_SCORE]

    @property
    def group_of_image(self) -> dict[str, str]:
        """The group of each compared image."""
        return {image: group for image, group in zip(self.images, self.of_rows, strict=True) if image}


class GroupSource(StrEnum):
    """Source of the parts of rows."""

    FILE = "file"
    COLUMN = "column"
    FOUND = "found"  # by group detection
    SPLIT = "split"  # from a saved split


@dataclass(frozen=True, kw_only=True)
class RowParts:
    """The part of each row, in the order of the sheet, and the source of this information."""

    of_rows: tuple[str, ...]
    source: GroupSource

    @property
    def count(self) -> int:
        """Number of distinct parts."""
        return len(set(self.of_rows))

    @property
    def independent(self) -> bool:
        """Whether no part occurs twice."""
        return self.count == len(self.of_rows)


def resolve_row_parts(sheet: Sheet, file: Path | None, detect: Callable[[], tuple[str, ...]]) -> RowParts:
    """Return the parts from the user's file, else from the sheet's group column, else by group detection.

    Args:
        sheet: the sheet; a row with an empty cell in the group column is a separate part.
        file: see ``read_groups_file``.
        detect: runs the group detection, which takes long.

    Raises:
        SheetError: see ``read_groups_file``.
    """
    if file is not None:
        return RowParts(of_rows=read_groups_file(file, sheet), source=GroupSource.FILE)
    if any(row.group for row in sheet.rows):
        groups = tuple(row.group or f"row {row.number}" for row in sheet.rows)
        return RowParts(of_rows=groups, source=GroupSource.COLUMN)
    return RowParts(of_rows=detect(), source=GroupSource.FOUND)


def read_groups_file(file: Path, sheet: Sheet) -> tuple[str, ...]:
    """Read the group of each row from a table with the columns ``path`` and ``group``, as ``check`` writes it.

    Either the reference or the noisy image of a row must be listed.

    Raises:
        SheetError: the file is missing, not a table or lacks a column, or a row's images are not listed, or listed in
            two groups.
    """
    by_path = _read_groups_by_path(file)
    groups = [_groups_of(row, by_path) for row in sheet.rows]
    unknown = [row for row, found in zip(sheet.rows, groups, strict=True) if len(found) != 1]
    if unknown:
        named = "\n  ".join(
            f"row {row.number} ({row.noisy}): {' and '.join(sorted(_groups_of(row, by_path))) or 'not listed'}"
            for row in unknown[:_SHOWN]
        )
        more = f"\n  and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise SheetError(
            f"{file}: {len(unknown)} of {len(groups)} rows of {sheet.path} have no group or two:\n  {named}{more}\n"
            "Expected one group per row, by the path of its noisy or its reference image; correct the file, or write a "
            "new one with 'clearcast check SHEET --out DIR'."
        )
    return tuple(next(iter(found)) for found in groups)


def _groups_of(row: SheetRow, by_path: dict[str, set[str]]) -> set[str]:
    return by_path.get(row.reference, set()) | by_path.get(row.noisy, set())


def _read_groups_by_path(file: Path) -> dict[str, set[str]]:
    if not file.is_file():
        raise SheetError(f"{file}: no such file; expected a table with the columns {' and '.join(_GROUP_COLUMNS)}")
    table = read_columns(file, _GROUP_COLUMNS, hint=f"; expected the columns {' and '.join(_GROUP_COLUMNS)}")
    by_path: dict[str, set[str]] = {}
    for line in table.lines:
        path, group = map(restore_cell, line.cells)
        if path and group:
            by_path.setdefault(posixpath.normpath(path.replace("\\", "/")), set()).add(group)
    return by_path


def detect_row_groups(
    sheet: Sheet, metadata: dict[str, ImageMetadata], *, progress: ProgressCallback | None = None
) -> RowGroups:
    """Detect which rows show the same part, by their reference images if readable, since these have no noise.

    Rows with the same image, or with byte-identical ones, are in the same group. A row without a readable image is a
    separate group.

    Args:
        sheet: the sheet; its rows may have problems.
        metadata: metadata of its images.
        progress: see ``detect_groups``.
    """
    compared = select_group_images(sheet, metadata)
    first = {metadata[path].sha256: path for path in reversed(compared) if path}
    paths = sorted(first.values())
    noisy_paths = {row.noisy for row in sheet.rows if row.noise_type is not NoiseType.NONE}
    noisy_paths -= {row.reference for row in sheet.rows}
    noisy = [path in noisy_paths for path in paths]
    found = detect_groups([sheet.resolve(path) for path in paths], noisy=noisy, progress=progress)
    group_of = dict(zip(paths, found.groups, strict=True))
    names: dict[int | str, str] = {}
    keys = [
        group_of[first[metadata[path].sha256]] if path else f"row {row.number}"
        for row, path in zip(sheet.rows, compared, strict=True)
    ]
    of_rows = tuple(names.setdefault(key, f"part-{len(names) + 1:05}") for key in keys)
    matches, non_matches = _compared_images(found.matches, paths), _compared_images(_best_non_matches(found), paths)
    return RowGroups(of_rows=of_rows, images=compared, matches=matches, non_matches=non_matches)


def _best_non_matches(found: Clustering) -> list[PairScore]:
    """For each two groups, return the compared pair with the highest match score."""
    best: dict[frozenset[int], PairScore] = {}
    for pair in sorted(found.non_matches, key=lambda pair: -pair.match_score):
        ends = frozenset((found.groups[pair.one], found.groups[pair.other]))
        if len(ends) == 2:
            best.setdefault(ends, pair)
    return list(best.values())


def _compared_images(pairs: Iterable[PairScore], paths: Sequence[str]) -> tuple[ComparedImages, ...]:
    return tuple(
        ComparedImages(one=paths[pair.one], other=paths[pair.other], match_score=pair.match_score) for pair in pairs
    )


def select_group_images(sheet: Sheet, metadata: dict[str, ImageMetadata]) -> tuple[str, ...]:
    """Return the image of each row to compare: the reference, else the noisy image, else ""."""
    return tuple(
        next((path for path in (row.reference, row.noisy) if path in metadata and metadata[path].header), "")
        for row in sheet.rows
    )


def write_groups_table(sheet: Sheet, groups: tuple[str, ...], path: Path) -> None:
    """Write a table ``path,group`` of all noisy and reference images of the sheet."""
    listed = {
        image: group for row, group in zip(sheet.rows, groups, strict=True) for image in (row.reference, row.noisy)
    }
    with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_GROUP_COLUMNS)
        writer.writerows((protect_cell(path), protect_cell(group)) for path, group in listed.items() if path)


def write_match_scores(groups: RowGroups, path: Path) -> None:
    """Write the match scores of each group: ``group,rows,weakest_join,nearest_group,nearest_agreement``, lowest first.

    ``weakest_join`` is the lowest score of the matches that connect the group, ``nearest_agreement`` the highest score
    of a comparison with another group (only likely pairs are compared). A value is empty if there is none.
    """
    weakest: dict[str, float] = {}
    nearest: dict[str, tuple[float, str]] = {}
    for pair in groups.matches:
        name = groups.group_of_image[pair.one]
        weakest[name] = min(pair.match_score, weakest.get(name, 1.0))
    for pair in groups.non_matches:
        ends = groups.group_of_image[pair.one], groups.group_of_image[pair.other]
        for name, other in (ends, ends[::-1]):
            nearest[name] = max((pair.match_score, other), nearest.get(name, (-1.0, "")))
    with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_SCORE_COLUMNS)
        for name, rows in sorted(Counter(groups.of_rows).items(), key=lambda item: (weakest.get(item[0], 1.0), item)):
            score, other = nearest.get(name, (None, ""))
            texts = protect_cell(name), protect_cell(other)
            writer.writerow([texts[0], rows, _rounded(weakest.get(name)), texts[1], _rounded(score)])


def _rounded(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"


def find_label_errors(rows: Sequence[SheetRow], groups: Sequence[str]) -> list[SheetFinding]:
    """Find likely label errors: rows whose label most other images of the same part contradict."""
    labels: dict[str, Counter[Label]] = defaultdict(Counter)
    for row, group in zip(rows, groups, strict=True):
        if row.label:
            labels[group][row.label] += 1
    findings = []
    for row, group in zip(rows, groups, strict=True):
        others = sum(count for label, count in labels[group].items() if label != row.label)
        if row.label and others and others >= labels[group][row.label]:
            message = f"labelled {row.label}, but {others} other images of the same part ({group}) are not"
            findings.append(
                SheetFinding(
                    severity=FindingSeverity.WARNING,
                    kind="likely label error",
                    message=message,
                    row=row.number,
                    path=row.noisy,
                )
            )
    return findings
