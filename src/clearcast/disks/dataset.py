"""Data set of rendered disks: images, defect masks, and the part that each image shows."""

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
_LEAST_VISIBLE = 5  # pixels; a part whose defects change fewer is drawn again
_WORDS = {Label.OK: "ok", Label.DEFECT: "def"}

Row = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class DiskSummary:
    """The sheet's path, and the number of parts, of parts with defects, and of images that were written."""

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

    ``out/pictures/disk_ok_0003_1.jpeg`` is the first image of part 3, grey in three equal channels. Images of a part
    with defects are named ``disk_def_...`` and have masks ``out/masks/<same stem>.png``, 255 where the image differs
    from that of the part without defects. The first image of a part is as rendered, the others are augmented.
    ``out/parts.csv`` has one row an image: path and mask (relative to ``out``; no mask for ok parts), part, label, and
    the defects as "kind size; ..." with sizes in pixels of the first image. It is written last: a folder without it is
    incomplete.

    Part i depends only on ``seed``, i, ``size``, ``views`` and ``defect_share``, not on the number of parts. The same
    arguments give the same bytes.

    Args:
        out: the folder, made if missing.
        parts: how many parts, at least 1.
        seed: 0 or greater.
        size: width and height in pixels, 64..4096.
        views: the lowest and the highest number of images of a part.
        defect_share: the share of parts with defects, 0..1, spread evenly over the parts' numbers.
        progress: called after each part with the number of parts done and in total.

    Raises:
        OutputError: ``out`` is not empty, is not a folder, or cannot be written.
        ClearcastError: another argument is out of its range.
    """
    _require_arguments(parts, seed, size, views, defect_share)
    rows: list[Row] = []
    try:
        _make_folder(out)
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


def _require_arguments(parts: int, seed: int, size: int, views: tuple[int, int], defect_share: float) -> None:
    if parts < 1:
        raise ClearcastError(f"parts: expected at least 1, got {parts}")
    if seed < 0:
        raise ClearcastError(f"seed: expected a number of at least 0, got {seed}")
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise ClearcastError(f"size: expected {_SIZES[0]} to {_SIZES[1]} pixels a side, got {size}")
    if not 1 <= views[0] <= views[1]:
        raise ClearcastError(
            f"views: expected the lowest and the highest number of images a part, such as (2, 6), got {views}"
        )
    if not 0 <= defect_share <= 1:
        raise ClearcastError(f"defect_share: expected a share from 0 to 1, such as 0.5, got {defect_share}")


def _make_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: expected a new or empty folder, got a file; choose another name")
    if out.is_dir() and any(out.iterdir()):
        raise OutputError(f"{out}: expected a new or empty folder, got one with files; empty it or choose another")
    out.mkdir(parents=True, exist_ok=True)


def _label(index: int, defect_share: float) -> Label:
    """Spread the parts with defects evenly over the numbers."""
    return Label.DEFECT if int((index + 1) * defect_share) > int(index * defect_share) else Label.OK


def _write_part(out: Path, index: int, rng: Generator, label: Label, size: int, count: int) -> list[Row]:
    part, image, mask = _visible_part(rng, label, size)
    kinds = "; ".join(f"{defect.kind} {defect.size * size / UNITS:.1f}" for defect in part.defects)
    rows = []
    for number in range(1, count + 1):
        view = View() if number == 1 else sample_view(rng, part)
        viewed, marked = look(image, mask, view)
        stem = f"disk_{_WORDS[label]}_{index:04d}_{number}"
        path, mask_path = f"pictures/{stem}.jpeg", f"masks/{stem}.png" if part.defects else ""
        imaging.save(out / path, np.repeat(viewed[:, :, None], 3, axis=2))
        if mask_path:
            imaging.save(out / mask_path, marked)
        rows.append((path, mask_path, f"disk_{index:04d}", label.value, kinds))
    return rows


def _visible_part(rng: Generator, label: Label, size: int) -> tuple[Part, NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a part until its defects are visible: in a small image, a pinhole may be lost between pixels."""
    while True:
        part = sample_part(rng, label)
        image, mask = render(part, size)
        if label is Label.OK or np.count_nonzero(mask) >= _LEAST_VISIBLE:
            return part, image, mask


def _write_sheet(path: Path, rows: list[Row]) -> None:
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
