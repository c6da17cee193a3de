"""Distillation of the student encoder: views, level targets, batches and steps."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.data.sheet import read_sheet
from clearcast.nn.backbone import Backbone
from clearcast.nn.student import CYCLES_UNIT, STUDENT_LEVEL_UNIT, TURN_UNIT, StudentEncoder
from clearcast.noise import Wave, render_waves
from clearcast.noise.registry import NoiseType
from clearcast.train.distillation import (
    DISTILLATION_BATCH,
    DistillationBatches,
    NoiseFreeViews,
    NoisyViews,
    StudentModule,
    _level_targets,
    estimate_feature_scales,
    resize_for_student,
)
from clearcast.train.feature_cache import cache_features
from clearcast.train.paired_images import ImagePair, list_image_pairs

SHAPE = (64, 64)


@pytest.fixture(scope="module")
def pairs(noisy_folder: Path) -> list[ImagePair]:
    sheet = read_sheet(noisy_folder / "Labels.xlsx")
    return list_image_pairs(sheet, sheet.rows[:6])


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone()


@pytest.fixture(scope="module")
def distillation_batches(
    pairs: list[ImagePair], backbone: Backbone, tmp_path_factory: pytest.TempPathFactory
) -> DistillationBatches:
    views = NoiseFreeViews(pairs, Channels.GREY, SHAPE, seed=1)
    cache_view = partial(
        cache_features,
        backbone,
        views,
        rows=len(pairs),
        folder=tmp_path_factory.mktemp("features"),
        device=torch.device("cpu"),
        progress=lambda *_: None,
    )
    return DistillationBatches(views, [cache_view(view=view) for view in (0, 1)])


def test_first_view_is_the_noise_free_image_and_the_others_are_augmentations(pairs: list[ImagePair]) -> None:
    views = NoiseFreeViews(pairs, Channels.GREY, SHAPE, seed=1)
    assert pairs[0].noise_free
    noise_free = imaging.load_image(pairs[0].noise_free, Channels.GREY)
    np.testing.assert_array_equal(views(0, 0), resize_for_student(noise_free, SHAPE))
    np.testing.assert_array_equal(views(0, 2), views(0, 2))
    assert (views(0, 2) != views(0, 1)).any()


def test_first_noisy_view_is_the_noisy_image(pairs: list[ImagePair]) -> None:
    views = NoisyViews(pairs, Channels.GREY, SHAPE, seed=1)
    assert pairs[0].noisy
    assert pairs[0].noise_free
    for view, path in ((0, pairs[0].noisy), (1, pairs[0].noise_free)):
        np.testing.assert_array_equal(
            views(0, view), resize_for_student(imaging.load_image(path, Channels.GREY), SHAPE)
        )
    without_clean = NoisyViews(
        [ImagePair(noisy=pairs[0].noisy, noise_type=NoiseType.GAUSSIAN)], Channels.GREY, SHAPE, seed=1
    )
    for view in range(4):
        np.testing.assert_array_equal(without_clean(0, view), views(0, 0))


def test_level_targets_equal_the_closed_form() -> None:
    wave = Wave(amplitude=0.3, period=32.0, orientation=60.0)
    levels = _level_targets([0.1, 0.02], render_waves((wave,), 256, 256))
    assert levels[:2] * STUDENT_LEVEL_UNIT == pytest.approx([0.1, 0.02])
    assert levels[2] * STUDENT_LEVEL_UNIT == pytest.approx(0.3 / math.sqrt(2), rel=0.02)
    assert 2 ** (levels[3] * CYCLES_UNIT) == pytest.approx(256 / 32, rel=0.03)
    turn = math.radians(120)
    assert levels[4:] / TURN_UNIT == pytest.approx([math.cos(turn), math.sin(turn)], abs=0.05)
    long = _level_targets([0.0, 0.0], render_waves((Wave(amplitude=0.3, period=9.0, orientation=0.0),), 300, 1024))
    assert 2 ** (long[3] * CYCLES_UNIT) == pytest.approx(1024 / 9, rel=0.03)
    assert np.isnan(_level_targets([0.1, 0.0], np.zeros((64, 64), np.float32))[3:]).all()


def test_batch_depends_on_its_random_numbers_alone(distillation_batches: DistillationBatches) -> None:
    batches = [distillation_batches.batch(np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert batches[0][0].shape == (DISTILLATION_BATCH, *SHAPE, 1)
    assert all(one.equal(two) or one.isnan().any() for one, two in zip(batches[0], batches[1], strict=True))
    assert not batches[0][0].equal(batches[2][0])


def test_steps_bring_student_features_nearer_to_the_teachers(
    distillation_batches: DistillationBatches, backbone: Backbone
) -> None:
    torch.manual_seed(0)
    module = StudentModule(
        StudentEncoder(backbone),
        estimate_feature_scales(distillation_batches.features[0]),
        learning_rate=1e-4,
        steps=10,
    )
    batch = distillation_batches.batch(np.random.default_rng(1))
    optimizer = torch.optim.Adam(module.network.parameters(), lr=1e-4)
    before = module.compute_metrics(batch)
    for _ in range(10):
        optimizer.zero_grad()
        torch.autograd.backward(module.compute_metrics(batch)["loss"])
        optimizer.step()
    after = module.compute_metrics(batch)
    assert after["features"] < 0.9 * before["features"]
    assert after["loss"] < 0.9 * before["loss"]
