"""Groups of a sheet's rows: detection in the images, output tables, and likely label errors."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearcast.cells import protect_cell
from clearcast.data.check_rows import Finding, Severity
from clearcast.data.facts import PictureFacts
from clearcast.data.groups.find import NEAR, SURE, find_groups
from clearcast.data.groups.join import Compared, Joined
from clearcast.data.sheet import Row, Sheet
from clearcast.domain import Label, NoiseType
from clearcast.files import replace_file
from clearcast.progress import Progress

_COLUMNS = ("path", "group")
_DOUBTS = ("group", "rows", "weakest_join", "nearest_group", "nearest_agreement")


@dataclass(frozen=True, kw_only=True)
class Link:
    """A compared pair of images, by their paths in the sheet, and their match score, at most 1."""

    one: str
    other: str
    agreement: float


@dataclass(frozen=True, kw_only=True)
class RowGroups:
    """The group of each row of a sheet, and the comparisons behind it.

    Attributes:
        of_rows: the group of each row.
        images: the compared image of each row; "" if none is readable.
        joins: matches that connect the groups; empty if the groups are not detected but given.
        refused: for each two groups that were compared, the pair with the highest score, sorted by score.
    """

    of_rows: tuple[str, ...]
    images: tuple[str, ...]
    joins: tuple[Link, ...] = ()
    refused: tuple[Link, ...] = ()

    @property
    def doubtful_joins(self) -> list[Link]:
        """Merged images with a lower match score than most copies, the lowest first."""
        return sorted((link for link in self.joins if link.agreement < SURE), key=lambda link: link.agreement)

    @property
    def near_misses(self) -> list[Link]:
        """Images that were nearly merged, the highest match score first."""
        return [link for link in self.refused if link.agreement > NEAR]

    @property
    def group_of_image(self) -> dict[str, str]:
        """The group of each compared image."""
        return {image: group for image, group in zip(self.images, self.of_rows, strict=True) if image}


def group_rows(sheet: Sheet, facts: dict[str, PictureFacts], *, progress: Progress | None = None) -> tuple[str, ...]:
    """Return only the groups of ``find_row_groups``."""
    return find_row_groups(sheet, facts, progress=progress).of_rows


def find_row_groups(sheet: Sheet, facts: dict[str, PictureFacts], *, progress: Progress | None = None) -> RowGroups:
    """Detect which rows show the same part, by their reference images if readable, since these have no noise.

    Rows with the same image, or with byte-identical ones, are in the same group. A row without a readable image is a
    separate group.

    Args:
        sheet: the sheet; its rows may have problems.
        facts: metadata of its images.
        progress: see ``find_groups``.
    """
    compared = shown_pictures(sheet, facts)
    first = {facts[path].sha256: path for path in reversed(compared) if path}
    paths = sorted(first.values())
    noisy_paths = {row.noisy for row in sheet.rows if row.noise_type is not NoiseType.NONE}
    noisy_paths -= {row.reference for row in sheet.rows}
    noisy = [path in noisy_paths for path in paths]
    found = find_groups([sheet.resolve(path) for path in paths], noisy=noisy, progress=progress)
    group_of = dict(zip(paths, found.groups, strict=True))
    names: dict[int | str, str] = {}
    keys = [
        group_of[first[facts[path].sha256]] if path else f"row {row.number}"
        for row, path in zip(sheet.rows, compared, strict=True)
    ]
    of_rows = tuple(names.setdefault(key, f"part-{len(names) + 1:05}") for key in keys)
    joins, refused = _links(found.joins, paths), _links(_best_refused(found), paths)
    return RowGroups(of_rows=of_rows, images=compared, joins=joins, refused=refused)


def shown_pictures(sheet: Sheet, facts: dict[str, PictureFacts]) -> tuple[str, ...]:
    """Return the image of each row to compare: the reference, else the noisy image, else ""."""
    return tuple(
        next((path for path in (row.reference, row.noisy) if path in facts and facts[path].info), "")
        for row in sheet.rows
    )


def _best_refused(found: Joined) -> list[Compared]:
    """For each two groups, return the compared pair with the highest match score."""
    best: dict[frozenset[int], Compared] = {}
    for pair in sorted(found.refused, key=lambda pair: -pair.agreement):
        ends = frozenset((found.groups[pair.one], found.groups[pair.other]))
        if len(ends) == 2:
            best.setdefault(ends, pair)
    return list(best.values())


def _links(pairs: Iterable[Compared], paths: Sequence[str]) -> tuple[Link, ...]:
    return tuple(Link(one=paths[pair.one], other=paths[pair.other], agreement=pair.agreement) for pair in pairs)


def write_groups(sheet: Sheet, groups: tuple[str, ...], path: Path) -> None:
    """Write a table ``path,group`` of all noisy and reference images of the sheet."""
    listed = {
        image: group for row, group in zip(sheet.rows, groups, strict=True) for image in (row.reference, row.noisy)
    }
    with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows((protect_cell(path), protect_cell(group)) for path, group in listed.items() if path)


def write_doubts(groups: RowGroups, path: Path) -> None:
    """Write the certainty of each group: ``group,rows,weakest_join,nearest_group,nearest_agreement``, lowest first.

    ``weakest_join`` is the lowest score of the matches that connect the group, ``nearest_agreement`` the highest score
    of a comparison with another group (only likely pairs are compared). A value is empty if there is none.
    """
    weakest: dict[str, float] = {}
    nearest: dict[str, tuple[float, str]] = {}
    for link in groups.joins:
        name = groups.group_of_image[link.one]
        weakest[name] = min(link.agreement, weakest.get(name, 1.0))
    for link in groups.refused:
        ends = groups.group_of_image[link.one], groups.group_of_image[link.other]
        for name, other in (ends, ends[::-1]):
            nearest[name] = max((link.agreement, other), nearest.get(name, (-1.0, "")))
    with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_DOUBTS)
        for name, rows in sorted(Counter(groups.of_rows).items(), key=lambda item: (weakest.get(item[0], 1.0), item)):
            agreement, other = nearest.get(name, (None, ""))
            texts = protect_cell(name), protect_cell(other)
            writer.writerow([texts[0], rows, _rounded(weakest.get(name)), texts[1], _rounded(agreement)])


def _rounded(agreement: float | None) -> str:
    return "" if agreement is None else f"{agreement:.3f}"


def label_doubts(rows: Sequence[Row], groups: Sequence[str]) -> list[Finding]:
    """Find likely label errors: rows whose label most other images of the same part contradict."""
    labels: dict[str, Counter[Label]] = defaultdict(Counter)
    for row, group in zip(rows, groups, strict=True):
        if row.label:
            labels[group][row.label] += 1
    doubts = []
    for row, group in zip(rows, groups, strict=True):
        others = sum(count for label, count in labels[group].items() if label != row.label)
        if row.label and others and others >= labels[group][row.label]:
            message = f"labelled {row.label}, but {others} other images of the same part ({group}) are not"
            doubts.append(
                Finding(
                    severity=Severity.WARNING,
                    kind="likely label error",
                    message=message,
                    row=row.number,
                    path=row.noisy,
                )
            )
    return doubts
