"""Page of groups: which images show the same part, doubtful cases first. It requires no torch."""

import base64
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import PictureError
from clearcast.core.files import replace_file
from clearcast.data.groups import MATCH_THRESHOLD, ComparedImages, RowGroups, align_images
from clearcast.data.sheet import Sheet
from clearcast.report.formatting import render_template
from clearcast.types import Label

# Maximum numbers shown. Together with the image sizes they keep the page below about 5 MB.
MAX_CONTRADICTIONS, MAX_DOUBTFUL_MATCHES, MAX_NEAR_MISSES, MAX_GROUPS = 24, 24, 12, 48
MAX_IMAGES_PER_GROUP = 8  # images of one group
_SIDE = 112  # pixels, the longer side of a thumbnail
_JPEG_QUALITY = 80


@dataclass(frozen=True)
class GroupThumbnail:
    """One thumbnail: its data URI, or the ``problem`` why there is none."""

    name: str
    label: str
    source: str
    problem: str


@dataclass(frozen=True)
class GroupCard:
    """Some images of one group."""

    name: str
    rows: int
    weakest: float | None
    images: tuple[GroupThumbnail, ...]


@dataclass(frozen=True)
class PairCard:
    """Two images side by side, the first aligned with the second, and the names of their groups."""

    names: tuple[str, ...]
    match_score: float
    images: tuple[GroupThumbnail, GroupThumbnail]


def write_groups_page(sheet: Sheet, groups: RowGroups, path: Path) -> None:
    """Write one self-contained HTML file of some MB.

    It shows groups with contradicting labels, doubtful matches, near misses and the largest groups.

    Raises:
        OSError: the file cannot be written.
    """
    labels = _labels(sheet, groups)
    mixed = [name for name, members in _members(groups).items() if len(_labels_of(members, labels)) > 1]
    largest = sorted(_members(groups).items(), key=lambda item: (-len(item[1]), item[0]))
    by_size = [name for name, members in largest if len(members) > 1]
    page = render_template(
        "groups.html.j2",
        subject=sheet.path.name,
        sheet=str(sheet.path),
        rows=len(groups.of_rows),
        parts=len(set(groups.of_rows)),
        alone=sum(len(members) == 1 for _, members in largest),
        same=MATCH_THRESHOLD,
        largest=len(largest[0][1]) if largest else 0,
        contradictions=_groups(sheet, groups, labels, mixed[:MAX_CONTRADICTIONS]),
        contradicted=len(mixed),
        doubts=_pairs(sheet, groups, labels, groups.doubtful_matches[:MAX_DOUBTFUL_MATCHES]),
        doubted=len(groups.doubtful_matches),
        misses=_pairs(sheet, groups, labels, groups.near_misses[:MAX_NEAR_MISSES]),
        missed=len(groups.near_misses),
        groups=_groups(sheet, groups, labels, by_size[:MAX_GROUPS]),
        grouped=len(by_size),
    )
    with replace_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _labels(sheet: Sheet, groups: RowGroups) -> dict[str, set[Label]]:
    """Labels that the rows give to each image."""
    labels: dict[str, set[Label]] = defaultdict(set)
    for row, path in zip(sheet.rows, groups.images, strict=True):
        if row.label:
            labels[path].add(row.label)
    return labels


def _members(groups: RowGroups) -> dict[str, list[str]]:
    """Images of each group, one a row."""
    members: dict[str, list[str]] = defaultdict(list)
    for group, path in zip(groups.of_rows, groups.images, strict=True):
        members[group].append(path)
    return members


def _labels_of(paths: Iterable[str], labels: dict[str, set[Label]]) -> set[Label]:
    return {label for path in paths for label in labels[path]}


def _groups(sheet: Sheet, groups: RowGroups, labels: dict[str, set[Label]], names: Iterable[str]) -> list[GroupCard]:
    weakest: dict[str, float] = {}
    for link in groups.matches:
        name = groups.group_of_image[link.one]
        weakest[name] = min(link.match_score, weakest.get(name, 1.0))
    members = _members(groups)
    return [
        GroupCard(
            name=name,
            rows=len(members[name]),
            weakest=weakest.get(name),
            images=tuple(_thumbnail(sheet, labels, path) for path in _choose(members[name], labels)),
        )
        for name in names
    ]


def _choose(paths: Iterable[str], labels: dict[str, set[Label]]) -> list[str]:
    """Choose a few images, those of the rarest label first, so that contradicting labels are both shown."""
    distinct = list(dict.fromkeys(paths))
    counts = {label: sum(label in labels[path] for path in distinct) for label in Label}
    return sorted(distinct, key=lambda path: min((counts[label] for label in labels[path]), default=0))[
        :MAX_IMAGES_PER_GROUP
    ]


def _pairs(
    sheet: Sheet, groups: RowGroups, labels: dict[str, set[Label]], links: Iterable[ComparedImages]
) -> list[PairCard]:
    return [
        PairCard(
            names=tuple(dict.fromkeys(groups.group_of_image[path] for path in (link.one, link.other))),
            match_score=link.match_score,
            images=_aligned_pair(sheet, labels, link),
        )
        for link in links
    ]


def _aligned_pair(
    sheet: Sheet, labels: dict[str, set[Label]], link: ComparedImages
) -> tuple[GroupThumbnail, GroupThumbnail]:
    one, other = (imaging.load_image(sheet.resolve(path), Channels.GREY) for path in (link.one, link.other))
    aligned, target = align_images(one, other)
    return (
        GroupThumbnail(link.one, _label_text(link.one, labels), _data_uri(aligned), ""),
        GroupThumbnail(link.other, _label_text(link.other, labels), _data_uri(target), ""),
    )


def _thumbnail(sheet: Sheet, labels: dict[str, set[Label]], path: str) -> GroupThumbnail:
    if not path:
        return GroupThumbnail("", "", "", "no image of this row can be read")
    try:
        image = imaging.load_image(sheet.resolve(path), Channels.RGB)
    except PictureError as error:  # the page survives an unreadable image
        return GroupThumbnail(path, _label_text(path, labels), "", str(error))
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    small = imaging.resize_image(image, max(1, round(height * scale)), max(1, round(width * scale)))
    return GroupThumbnail(path, _label_text(path, labels), _data_uri(small), "")


def _label_text(path: str, labels: dict[str, set[Label]]) -> str:
    return " and ".join(sorted(labels[path]))


def _data_uri(image: ImageArray) -> str:
    data = imaging.encode_image(image, ".jpg", jpeg_quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
