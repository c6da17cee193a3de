"""Data set of rendered parts: augmented views of each part, masks of its defects, and a sheet of all images."""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clearcast.core import imaging
from clearcast.core.console import ProgressCallback
from clearcast.core.errors import ClearcastError, OutputError
from clearcast.core.files import replace_file
from clearcast.synth.disks.part import UNITS_PER_IMAGE, RenderedPart
from clearcast.synth.disks.rendering import render_part
from clearcast.synth.disks.sampling import PART_MARGIN, sample_part
from clearcast.types import Label

_PARTS_FILE = "parts.csv"
_PARTS_COLUMNS = ("path", "mask", "part", "label", "defects")
_SIZES = (64, 4096)  # pixels a side
_MIN_VISIBLE = 5  # pixels; a part whose defects change fewer is drawn again
_LABEL_WORDS = {Label.OK: "ok", Label.DEFECT: "def"}  # in file names
_MIN_STRETCH, _MAX_STRETCH = 0.82, 1.15  # along an axis
_MASKED = 255 // 8  # a pixel is masked from an eighth on, so that a single masked pixel survives the least stretch

_PartsRow = tuple[str, str, str, str, str]
"""Row of the sheet, in the order of ``_PARTS_COLUMNS``."""


@dataclass(frozen=True)
class RenderedView:
    """Parameters of one augmented image.

    First ``mirrored`` (left to right) and ``flipped`` (top to bottom), then stretched around the image's centre along
    x and y, then shifted by units of 1/512 of its width along x and y; ``gain`` multiplies the grey levels.
    """

    mirrored: bool = False
    flipped: bool = False
    stretch: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0


def sample_view(rng: Generator, part: RenderedPart) -> RenderedView:
    """Draw a view that keeps the whole part in the image."""
    mirrored, flipped = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    middle = (-part.centre[0] if mirrored else part.centre[0], -part.centre[1] if flipped else part.centre[1])
    reach = part.radius * max(part.roundness, 1.0) + PART_MARGIN
    stretch = rng.uniform(_MIN_STRETCH, min(_MAX_STRETCH, UNITS_PER_IMAGE / 2 / reach), 2)
    slack = UNITS_PER_IMAGE / 2 - reach * stretch
    shift = rng.uniform(-slack, slack) - stretch * middle
    return RenderedView(
        mirrored,
        flipped,
        (stretch[0].item(), stretch[1].item()),
        (shift[0].item(), shift[1].item()),
        rng.normal(1, 0.03),
    )


def apply_view(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], view: RenderedView
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Apply a view to an image and to its mask.

    Args:
        image: grey image, uint8 of shape (size, size), 0..255.
        mask: uint8 of the same shape, 0 or 255.
        view: the parameters.

    Returns:
        Image and mask of the same shapes, dtypes and ranges; the image is padded by repeating its border.
    """
    size = image.shape[0]
    middle = (size - 1) / 2
    factors = np.array(view.stretch) * np.where((view.mirrored, view.flipped), -1, 1)
    offsets = middle - factors * middle + np.array(view.shift) * size / UNITS_PER_IMAGE
    affine = np.array([[factors[0], 0, offsets[0]], [0, factors[1], offsets[1]]])
    warped = cv2.warpAffine(image, affine, (size, size), borderMode=cv2.BORDER_REPLICATE)
    masked = cv2.warpAffine(mask, affine, (size, size)) > _MASKED
    return np.asarray(cv2.convertScaleAbs(warped, alpha=view.gain), np.uint8), masked.astype(np.uint8) * np.uint8(255)


@dataclass(frozen=True)
class DiskSummary:
    """Summary of a written data set: the sheet's path, and the numbers of parts, of defect parts, and of images."""

    sheet: Path
    parts: int
    defect_parts: int
    images: int


def write_disks(
    out: Path,
    *,
    parts: int,
    seed: int,
    size: int = 512,
    views: tuple[int, int] = (2, 6),
    defect_share: float = 0.5,
    progress: ProgressCallback | None = None,
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
    rows: list[_PartsRow] = []
    try:
        _make_folder(out)
        for index in range(parts):
            rng = np.random.default_rng([seed, index])
            label = _label_of_part(index, defect_share)
            rows += _write_part(out, index, rng, label, size, int(rng.integers(views[0], views[1] + 1)))
            if progress is not None:
                progress(index + 1, parts)
        _write_sheet(out / _PARTS_FILE, rows)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error}); free space or choose another folder") from None
    defect_parts = sum(_label_of_part(index, defect_share) is Label.DEFECT for index in range(parts))
    return DiskSummary(out / _PARTS_FILE, parts, defect_parts, len(rows))


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


def _label_of_part(index: int, defect_share: float) -> Label:
    """Spread the parts with defects evenly over the numbers."""
    return Label.DEFECT if int((index + 1) * defect_share) > int(index * defect_share) else Label.OK


def _write_part(out: Path, index: int, rng: Generator, label: Label, size: int, count: int) -> list[_PartsRow]:
    part, image, mask = _sample_visible_part(rng, label, size)
    kinds = "; ".join(f"{defect.kind} {defect.size * size / UNITS_PER_IMAGE:.1f}" for defect in part.defects)
    rows = []
    for number in range(1, count + 1):
        view = RenderedView() if number == 1 else sample_view(rng, part)
        view_image, view_mask = apply_view(image, mask, view)
        stem = f"disk_{_LABEL_WORDS[label]}_{index:04d}_{number}"
        path, mask_path = f"pictures/{stem}.jpeg", f"masks/{stem}.png" if part.defects else ""
        imaging.save_image(out / path, np.repeat(view_image[:, :, None], 3, axis=2))
        if mask_path:
            imaging.save_image(out / mask_path, view_mask)
        rows.append((path, mask_path, f"disk_{index:04d}", label.value, kinds))
    return rows


def _sample_visible_part(
    rng: Generator, label: Label, size: int
) -> tuple[RenderedPart, NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a part until its defects are visible: in a small image, a pinhole may be lost between pixels."""
    while True:
        part = sample_part(rng, label)
        image, mask = render_part(part, size)
        if label is Label.OK or np.count_nonzero(mask) >= _MIN_VISIBLE:
            return part, image, mask


def _write_sheet(path: Path, rows: list[_PartsRow]) -> None:
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_PARTS_COLUMNS)
        writer.writerows(rows)
