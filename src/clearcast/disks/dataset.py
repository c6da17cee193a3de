"""Writing a data set of rendered disks: pictures, defect masks, and the part each picture shows."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clearcast import imaging
from clearcast.disks.part import UNITS, Part
from clearcast.disks.rendering import render
from clearcast.disks.sampling import sample_part
from clearcast.disks.views import View, look, sample_view
from clearcast.domain import Label
from clearcast.errors import ClearcastError, OutputError
from clearcast.files import replace_file
from clearcast.progress import Progress

SHEET = "parts.csv"
COLUMNS = ("path", "mask", "part", "label", "defects")

_SIZES = (64, 4096)
_VISIBLE = 5  # pixels; a part whose defects change fewer shows none, and is drawn again
_WORDS = {Label.OK: "ok", Label.DEFECT: "def"}

Row = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class DiskSummary:
    """What was written: the sheet's path, and how many parts, defect parts and pictures."""

    sheet: Path
    parts: int
    defect_parts: int
    pictures: int


def write_disks(
    out: Path,
    *,
    parts: int,
    seed: int,
    size: int = 512,
    views: tuple[int, int] = (2, 6),
    defect_share: float = 0.5,
    progress: Progress | None = None,
) -> DiskSummary:
    """Render a data set into a new or empty folder.

    ``out/pictures/disk_ok_0003_1.jpeg`` is the first picture of part 3, grey in three equal channels; a defect part's
    are named ``disk_def_...`` and have masks ``out/masks/<same stem>.png``, 255 where the picture differs from that of
    the faultless part. The first picture of a part is as taken, the others are views of it. ``out/parts.csv`` has one
    row a picture: path and mask (relative to ``out``; no mask for ok parts), part, label, and the defects as
    "kind size; ..." with sizes in pixels of the first picture. It is written last: a folder without it is unfinished.

    Part i depends on ``seed``, i, ``size``, ``views`` and ``defect_share`` only, not on the number of parts; the same
    arguments give the same bytes.

    Args:
        out: the folder, made if missing.
        parts: how many parts, at least 1.
        seed: 0 or greater.
        size: width and height in pixels, 64..4096.
        views: the least and the largest number of pictures of a part.
        defect_share: the share of parts with defects, 0..1, spread evenly over the parts' numbers.
        progress: called after each part with the number of parts done and of all.

    Raises:
        OutputError: ``out`` is not empty, no folder, or cannot be written.
        ClearcastError: another argument is out of its range.
    """
    _check(parts, seed, size, views, defect_share)
    rows: list[Row] = []
    try:
        _claim(out)
        for index in range(parts):
            rng = np.random.default_rng([seed, index])
            label = _label(index, defect_share)
            rows += _write_part(out, index, rng, label, size, int(rng.integers(views[0], views[1] + 1)))
            if progress is not None:
                progress(index + 1, parts)
        _write_sheet(out / SHEET, rows)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error}); free space or choose another folder") from None
    defect_parts = sum(_label(index, defect_share) is Label.DEFECT for index in range(parts))
    return DiskSummary(out / SHEET, parts, defect_parts, len(rows))


def _check(parts: int, seed: int, size: int, views: tuple[int, int], defect_share: float) -> None:
    if parts < 1:
        raise ClearcastError(f"parts is {parts}; at least 1 is needed")
    if seed < 0:
        raise ClearcastError(f"seed is {seed}; a number of 0 or greater is needed")
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise ClearcastError(f"size is {size}; pictures of {_SIZES[0]} to {_SIZES[1]} pixels a side can be rendered")
    if not 1 <= views[0] <= views[1]:
        raise ClearcastError(
            f"views is {views}; the least and the largest number of pictures are needed, such as (2, 6)"
        )
    if not 0 <= defect_share <= 1:
        raise ClearcastError(f"defect_share is {defect_share}; a share from 0 to 1 is needed, such as 0.5")


def _claim(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; a new or empty folder is needed, so choose another name")
    if out.is_dir() and any(out.iterdir()):
        raise OutputError(
            f"{out}: the folder is not empty; a new or empty one is needed, so empty it or choose another"
        )
    out.mkdir(parents=True, exist_ok=True)


def _label(index: int, defect_share: float) -> Label:
    """Every stretch of parts holds its share of defects, whatever their number."""
    return Label.DEFECT if int((index + 1) * defect_share) > int(index * defect_share) else Label.OK


def _write_part(out: Path, index: int, rng: Generator, label: Label, size: int, count: int) -> list[Row]:
    part, picture, mask = _visible_part(rng, label, size)
    kinds = "; ".join(f"{defect.kind} {defect.size * size / UNITS:.1f}" for defect in part.defects)
    rows = []
    for number in range(1, count + 1):
        view = View() if number == 1 else sample_view(rng, part)
        seen, marked = look(picture, mask, view)
        stem = f"disk_{_WORDS[label]}_{index:04d}_{number}"
        path, mask_path = f"pictures/{stem}.jpeg", f"masks/{stem}.png" if part.defects else ""
        imaging.save(out / path, np.repeat(seen[:, :, None], 3, axis=2))
        if mask_path:
            imaging.save(out / mask_path, marked)
        rows.append((path, mask_path, f"disk_{index:04d}", label.value, kinds))
    return rows


def _visible_part(rng: Generator, label: Label, size: int) -> tuple[Part, NDArray[np.uint8], NDArray[np.uint8]]:
    """In a small picture a pinhole may be lost between pixels: then it is no defect that anybody could see."""
    while True:
        part = sample_part(rng, label)
        picture, mask = render(part, size)
        if label is Label.OK or np.count_nonzero(mask) >= _VISIBLE:
            return part, picture, mask


def _write_sheet(path: Path, rows: list[Row]) -> None:
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
