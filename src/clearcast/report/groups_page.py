"""The page of groups: which pictures show one part, as pictures, what is doubtful first. It needs no torch."""

import base64
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clearcast import imaging
from clearcast.data.groups import SAME, Link, RowGroups, laid_over
from clearcast.data.sheet import Sheet
from clearcast.domain import Label
from clearcast.errors import PictureError
from clearcast.files import replace_file
from clearcast.imaging import Channels, Picture
from clearcast.report.templating import render

# What the page shows at most. Together with the sizes they keep it below some 5 MB.
CONTRADICTIONS, DOUBTS, MISSES, GROUPS = 24, 24, 12, 48
PICTURES = 8  # of one group
_SIDE = 112  # pixels: the longer side of a group's pictures
_JPEG_QUALITY = 80


@dataclass(frozen=True)
class Shown:
    """One small picture: its data URI, or the ``problem`` that there is none."""

    name: str
    label: str
    source: str
    problem: str


@dataclass(frozen=True)
class Group:
    """Some pictures of one part."""

    name: str
    rows: int
    weakest: float | None
    pictures: tuple[Shown, ...]


@dataclass(frozen=True)
class Pair:
    """Two pictures side by side, the one turned and moved as it lies on the other, with the groups that they are in."""

    names: tuple[str, ...]
    agreement: float
    pictures: tuple[Shown, Shown]


def write_groups_page(sheet: Sheet, groups: RowGroups, path: Path) -> None:
    """Write one HTML file of some MB that needs neither network nor server.

    It shows groups whose labels contradict each other, then the joins that are doubtful, pictures that were nearly
    taken for one part, and the largest groups.

    Raises:
        OSError: the file cannot be written.
    """
    labels = _labels(sheet, groups)
    mixed = [name for name, members in _members(groups).items() if len(_words(members, labels)) > 1]
    largest = sorted(_members(groups).items(), key=lambda item: (-len(item[1]), item[0]))
    by_size = [name for name, members in largest if len(members) > 1]
    page = render(
        "groups.html.j2",
        subject=sheet.path.name,
        sheet=str(sheet.path),
        rows=len(groups.of_rows),
        parts=len(set(groups.of_rows)),
        alone=sum(len(members) == 1 for _, members in largest),
        same=SAME,
        largest=len(largest[0][1]) if largest else 0,
        contradictions=_groups(sheet, groups, labels, mixed[:CONTRADICTIONS]),
        contradicted=len(mixed),
        doubts=_pairs(sheet, groups, labels, groups.doubtful_joins[:DOUBTS]),
        doubted=len(groups.doubtful_joins),
        misses=_pairs(sheet, groups, labels, groups.near_misses[:MISSES]),
        missed=len(groups.near_misses),
        groups=_groups(sheet, groups, labels, by_size[:GROUPS]),
        grouped=len(by_size),
    )
    with replace_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _labels(sheet: Sheet, groups: RowGroups) -> dict[str, set[Label]]:
    """The labels that the rows give to each picture."""
    labels: dict[str, set[Label]] = defaultdict(set)
    for row, picture in zip(sheet.rows, groups.images, strict=True):
        if row.label:
            labels[picture].add(row.label)
    return labels


def _members(groups: RowGroups) -> dict[str, list[str]]:
    """The pictures of each group, one a row."""
    members: dict[str, list[str]] = defaultdict(list)
    for group, picture in zip(groups.of_rows, groups.images, strict=True):
        members[group].append(picture)
    return members


def _words(pictures: Iterable[str], labels: dict[str, set[Label]]) -> set[Label]:
    return {label for picture in pictures for label in labels[picture]}


def _groups(sheet: Sheet, groups: RowGroups, labels: dict[str, set[Label]], names: Iterable[str]) -> list[Group]:
    weakest: dict[str, float] = {}
    for link in groups.joins:
        name = groups.group_of_image[link.one]
        weakest[name] = min(link.agreement, weakest.get(name, 1.0))
    members = _members(groups)
    return [
        Group(
            name=name,
            rows=len(members[name]),
            weakest=weakest.get(name),
            pictures=tuple(_shown(sheet, labels, path) for path in _some(members[name], labels)),
        )
        for name in names
    ]


def _some(pictures: Iterable[str], labels: dict[str, set[Label]]) -> list[str]:
    """A few pictures, those of the rarest label first: where labels contradict, both are shown."""
    distinct = list(dict.fromkeys(pictures))
    counts = {label: sum(label in labels[path] for path in distinct) for label in Label}
    return sorted(distinct, key=lambda path: min((counts[label] for label in labels[path]), default=0))[:PICTURES]


def _pairs(sheet: Sheet, groups: RowGroups, labels: dict[str, set[Label]], links: Iterable[Link]) -> list[Pair]:
    return [
        Pair(
            names=tuple(dict.fromkeys(groups.group_of_image[path] for path in (link.one, link.other))),
            agreement=link.agreement,
            pictures=_compared(sheet, labels, link),
        )
        for link in links
    ]


def _compared(sheet: Sheet, labels: dict[str, set[Label]], link: Link) -> tuple[Shown, Shown]:
    one, other = (imaging.load(sheet.resolve(path), Channels.GREY) for path in (link.one, link.other))
    laid, below = laid_over(one, other)
    return (
        Shown(link.one, _label(link.one, labels), _data(laid), ""),
        Shown(link.other, _label(link.other, labels), _data(below), ""),
    )


def _shown(sheet: Sheet, labels: dict[str, set[Label]], path: str) -> Shown:
    if not path:
        return Shown("", "", "", "no picture of this row can be read")
    try:
        picture = imaging.load(sheet.resolve(path), Channels.RGB)
    except PictureError as error:  # a page about many pictures is not lost with one
        return Shown(path, _label(path, labels), "", str(error))
    height, width = picture.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    small = imaging.resize(picture, max(1, round(height * scale)), max(1, round(width * scale)))
    return Shown(path, _label(path, labels), _data(small), "")


def _label(path: str, labels: dict[str, set[Label]]) -> str:
    return " and ".join(sorted(labels[path]))


def _data(picture: Picture) -> str:
    data = imaging.encode(picture, ".jpg", jpeg_quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
