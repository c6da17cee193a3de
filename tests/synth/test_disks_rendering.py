"""Rendered images and masks against the same part without its defects."""

import dataclasses

import cv2
import numpy as np
import pytest

from clearcast.synth.disks import (
    VISIBLE_DIFFERENCE,
    DefectKind,
    PartFamily,
    RenderedPart,
    render_part,
    sample_defect,
    sample_part,
)
from clearcast.synth.disks.drawing import make_pixel_grid
from clearcast.synth.disks.part import UNITS_PER_IMAGE
from clearcast.synth.disks.surface import build_surface
from clearcast.types import Label

SIZE = 256


def defective_part(seed: int, kind: DefectKind) -> RenderedPart:
    rng = np.random.default_rng(seed)
    part = sample_part(rng, Label.OK)
    return dataclasses.replace(part, defects=(sample_defect(rng, part, kind),))


def test_image_and_mask_are_grey_uint8() -> None:
    image, mask = render_part(defective_part(1, DefectKind.BLOWHOLE), SIZE)
    assert image.shape == mask.shape == (SIZE, SIZE)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 255}


def test_same_part_gives_the_same_pixels() -> None:
    part = defective_part(2, DefectKind.SHRINKAGE)
    for first, second in zip(render_part(part, 128), render_part(part, 128), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", range(4))
def test_ok_part_has_an_empty_mask(seed: int) -> None:
    assert not render_part(sample_part(np.random.default_rng(seed), Label.OK), 128)[1].any()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", list(DefectKind))
def test_mask_holds_what_the_defect_changed_and_nothing_else(kind: DefectKind, seed: int) -> None:
    part = defective_part(40 + seed, kind)
    image, mask = render_part(part, SIZE)
    intact, empty = render_part(dataclasses.replace(part, defects=()), SIZE)
    change = np.abs(image.astype(int) - intact.astype(int))
    assert not empty.any()
    assert change[mask == 0].max() <= VISIBLE_DIFFERENCE + 1  # both images are rounded
    assert np.count_nonzero(mask) >= 1
    assert np.mean(change[mask == 255] >= VISIBLE_DIFFERENCE - 1) > 0.7  # the rest closes gaps of a pixel


@pytest.mark.parametrize("kind", list(DefectKind))
def test_mask_lies_at_the_defect(kind: DefectKind) -> None:
    part = defective_part(60, kind)
    defect = part.defects[0]
    _, mask = render_part(part, SIZE)
    rows, columns = np.nonzero(mask)
    x = part.centre[0] + defect.radius * np.cos(defect.angle) * part.roundness
    y = part.centre[1] + defect.radius * np.sin(defect.angle)
    away = np.hypot((columns + 0.5) * 512 / SIZE - 256 - x, (rows + 0.5) * 512 / SIZE - 256 - y)
    assert away.min() < 12
    assert away.max() < defect.size * 0.75 + 40 * 1.42


def test_larger_blowholes_have_larger_masks() -> None:
    part = defective_part(5, DefectKind.BLOWHOLE)
    areas = []
    for size in (6.0, 12.0, 24.0):
        sized = dataclasses.replace(part.defects[0], size=size)
        areas.append(np.count_nonzero(render_part(dataclasses.replace(part, defects=(sized,)), SIZE)[1]))
    # areas grow as the square of the diameter, give or take the blurred outline
    assert areas[0] * 2 < areas[1] < areas[2] / 2


def test_burr_stands_out_beyond_the_rim() -> None:
    part = defective_part(8, DefectKind.BURR)
    burr = dataclasses.replace(part.defects[0], size=80.0, radius=part.radius)
    _, mask = render_part(dataclasses.replace(part, defects=(burr,)), SIZE)
    rows, columns = np.nonzero(mask)
    x = ((columns + 0.5) * 2 - 256 - part.centre[0]) / part.roundness
    y = (rows + 0.5) * 2 - 256 - part.centre[1]
    assert np.mean(np.hypot(x, y) > part.radius) > 0.5


def test_parts_look_alike_at_every_size() -> None:
    part = sample_part(np.random.default_rng(9), Label.OK)
    means = [float(render_part(part, size)[0].mean()) for size in (128, 256, 512)]
    assert max(means) - min(means) < 6


def unevenness(part: RenderedPart, size: int) -> float:
    """Variation of the depth of a flange's turned circle along it, summed across it, as a share of its mean."""
    grid = make_pixel_grid(part, size)
    middle = (part.top[1].outer + part.top[2].inner) / 2
    turn, off = np.meshgrid(np.linspace(0, 2 * np.pi, 720), np.linspace(-4, 4, 33) / grid.scale)
    x = part.centre[0] + (middle + off) * np.cos(turn) * part.roundness
    y = part.centre[1] + (middle + off) * np.sin(turn)
    columns, rows = (((at + UNITS_PER_IMAGE / 2) * grid.scale - 0.5).astype(np.float32) for at in (x, y))
    heights = np.asarray(cv2.remap(build_surface(part, grid).height, columns, rows, cv2.INTER_LINEAR))  # (33, 720)
    depths = (heights[0] + heights[-1]) / 2 - heights.mean(axis=0)
    return float(depths.std() / depths.mean())


@pytest.mark.parametrize(("size", "most"), [(128, 0.5), *((size, 0.2) for size in (200, 256, 320, 400, 512))])
def test_a_thin_turned_circle_is_not_dashed_at_any_size(size: int, most: float) -> None:
    parts = (sample_part(np.random.default_rng(seed), Label.OK) for seed in range(30))
    flange = next(part for part in parts if part.family is PartFamily.FLANGE)
    assert unevenness(flange, size) < most
