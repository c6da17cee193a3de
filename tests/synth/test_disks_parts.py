"""Random parts, defects and views: geometry that holds for every seed."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from clearcast.synth.disks import (
    DefectKind,
    PartFamily,
    RenderedDefect,
    RenderedView,
    apply_view,
    sample_defect,
    sample_part,
    sample_view,
)
from clearcast.synth.disks.part import UNITS_PER_IMAGE
from clearcast.types import Label

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def test_ok_part_has_no_defects_and_defect_part_has_some() -> None:
    for seed in range(50):
        good = sample_part(np.random.default_rng(seed), Label.OK)
        defective = sample_part(np.random.default_rng(seed), Label.DEFECT)
        assert good.label is Label.OK
        assert defective.label is Label.DEFECT
        assert 1 <= len(defective.defects) <= 3
        assert dataclasses.replace(defective, defects=()) == good


def test_all_families_and_kinds_occur() -> None:
    parts = [sample_part(np.random.default_rng(seed), Label.DEFECT) for seed in range(200)]
    assert {part.family for part in parts} == set(PartFamily)
    assert {defect.kind for part in parts for defect in part.defects} == set(DefectKind)


def test_no_kind_spells_a_label_word() -> None:
    words = {word for kind in DefectKind for word in kind.value.split("_")}
    assert words.isdisjoint({"ok", "def", "defect"})


@pytest.mark.parametrize("kind", list(DefectKind))
def test_defects_lie_on_the_part_and_clear_of_its_holes(kind: DefectKind) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        part = sample_part(rng, Label.OK)
        defect = sample_defect(rng, part, kind)
        assert part.top[0].inner <= defect.radius <= part.radius
        for hole in part.holes if kind not in {DefectKind.BURR, DefectKind.CHIPPED_EDGE} else ():
            positions = np.exp(1j * np.array([hole.angle, defect.angle])) * [hole.radius, defect.radius]
            assert abs(positions[0] - positions[1]) > hole.bore


def test_every_view_keeps_the_whole_part_in_the_image() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        part = sample_part(rng, Label.OK)
        view = sample_view(rng, part)
        turn = np.linspace(0, 2 * np.pi, 60)
        x = (part.centre[0] + part.radius * part.roundness * np.cos(turn)) * (-1 if view.mirrored else 1)
        y = (part.centre[1] + part.radius * np.sin(turn)) * (-1 if view.flipped else 1)
        assert np.abs(x * view.stretch[0] + view.shift[0]).max() < UNITS_PER_IMAGE / 2
        assert np.abs(y * view.stretch[1] + view.shift[1]).max() < UNITS_PER_IMAGE / 2


@pytest.fixture
def pair() -> Pair:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (64, 64), np.uint8)
    mask = np.where(rng.random((64, 64)) < 0.1, 255, 0).astype(np.uint8)
    return image, mask


def test_default_view_changes_nothing(pair: Pair) -> None:
    for original, viewed in zip(pair, apply_view(*pair, RenderedView()), strict=True):
        np.testing.assert_array_equal(viewed, original)


def test_mirrored_and_flipped_views_are_flips(pair: Pair) -> None:
    for original, viewed in zip(pair, apply_view(*pair, RenderedView(mirrored=True)), strict=True):
        np.testing.assert_array_equal(viewed, original[:, ::-1])
    for original, viewed in zip(pair, apply_view(*pair, RenderedView(flipped=True)), strict=True):
        np.testing.assert_array_equal(viewed, original[::-1])


def test_shift_moves_image_and_mask_alike(pair: Pair) -> None:
    for original, viewed in zip(
        pair, apply_view(*pair, RenderedView(shift=(16.0, -24.0))), strict=True
    ):  # 2 right, 3 up of 64
        np.testing.assert_array_equal(viewed[:-3, 2:], original[3:, :-2])


def test_gain_brightens_the_image_and_leaves_the_mask(pair: Pair) -> None:
    viewed, view_mask = apply_view(*pair, RenderedView(gain=1.5))
    np.testing.assert_array_equal(viewed, np.clip(np.rint(pair[0] * 1.5), 0, 255))
    np.testing.assert_array_equal(view_mask, pair[1])


def test_a_single_marked_pixel_survives_every_view() -> None:
    image = np.zeros((64, 64), np.uint8)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        part = sample_part(rng, Label.OK)
        mask = np.zeros((64, 64), np.uint8)
        angle = rng.uniform(0, 2 * np.pi)
        column = 32 + int((part.centre[0] + 0.9 * part.radius * np.cos(angle)) / 8)
        row = 32 + int((part.centre[1] + 0.9 * part.radius * np.sin(angle)) / 8)
        mask[row, column] = 255
        assert apply_view(image, mask, sample_view(rng, part))[1].any()


def test_a_part_can_be_made_with_a_chosen_defect() -> None:
    rng = np.random.default_rng(0)
    part = sample_part(rng, Label.OK)
    chosen = RenderedDefect(DefectKind.PINHOLE, 4.0, part.radius * 0.9, 0.5, seed=1)
    assert dataclasses.replace(part, defects=(chosen,)).label is Label.DEFECT
