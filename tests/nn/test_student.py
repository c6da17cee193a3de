"""Student encoder: its features, noise levels and waves."""

import math

import numpy as np
import pytest
import torch

from clearcast.nn.backbone import Backbone
from clearcast.nn.noise_heads import NOISE_STATISTICS
from clearcast.nn.student import (
    CYCLES_UNIT,
    RAW_LEVELS,
    STUDENT_BLOCKS,
    STUDENT_LEVEL_UNIT,
    TURN_UNIT,
    StudentEncoder,
    StudentOutput,
    noise_statistics_of,
    resize_linear,
    student_shape,
)
from clearcast.noise import Wave, render_waves
from clearcast.noise.estimation import wave_from_cycles


def test_student_starts_as_the_shortened_backbone_without_changing_it() -> None:
    backbone, images = Backbone(), torch.rand(2, 1, 64, 96)
    student = StudentEncoder(backbone)
    output = student(images, torch.zeros(2, NOISE_STATISTICS))
    for ours, theirs in zip(output.features, backbone.shortened(STUDENT_BLOCKS)(images), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert output.scores.shape == (2, 4)
    assert output.raw_levels.shape == (2, RAW_LEVELS)
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_backbone_levels_end_with_the_features() -> None:
    backbone, images = Backbone(), torch.rand(1, 3, 64, 64)
    levels = backbone.levels(images)
    fine, coarse = backbone(images)
    torch.testing.assert_close(levels[-2], fine)
    torch.testing.assert_close(levels[-1], coarse)
    assert sum(level.shape[1] for level in levels) == backbone.level_channels


@pytest.mark.parametrize("orientation", [0.0, 30.0, 60.0, 90.0, 120.0, 179.0])
def test_raw_levels_describe_the_strongest_wave(orientation: float) -> None:
    height = width = 256
    true_wave = Wave(amplitude=0.2, period=16.0, orientation=orientation)
    power = float(render_waves((true_wave,), height, width).std())
    turn = 2 * math.radians(orientation)
    raw_levels = [0, 0, power / STUDENT_LEVEL_UNIT, math.log2(width / true_wave.period) / CYCLES_UNIT]
    raw_levels += [TURN_UNIT * math.cos(turn), TURN_UNIT * math.sin(turn)]
    features = Backbone()(torch.rand(1, 1, 64, 64))
    output = StudentOutput(features, torch.zeros(1, 4), torch.tensor([raw_levels], dtype=torch.float32))
    amplitude, down, across = output.wave[0].tolist()
    wave = wave_from_cycles(amplitude, down, across, height, width)
    assert wave is not None
    assert wave.amplitude == pytest.approx(true_wave.amplitude, rel=0.03)  # the field is of whole pixels
    assert wave.period == pytest.approx(true_wave.period, rel=1e-3)
    assert (wave.orientation - orientation + 90) % 180 - 90 == pytest.approx(0, abs=0.1)


def test_levels_are_clipped_to_valid_values() -> None:
    features = Backbone()(torch.rand(1, 1, 64, 64))
    for raw_levels in ([-1.0, 99.0, 99.0, 99.0, 0.0, 0.0], [9.0, -9.0, -9.0, -99.0, 5.0, -5.0]):
        output = StudentOutput(features, torch.zeros(1, 4), torch.tensor([raw_levels]))
        assert ((output.levels >= 0) & (output.levels <= 1)).all()
        assert output.wave.isfinite().all()


def test_linear_resizing_keeps_the_mean() -> None:
    image = torch.rand(1, 1, 128, 192, generator=torch.Generator().manual_seed(2))
    assert resize_linear(image, (128, 192)).equal(image)
    small = resize_linear(image, (64, 64))
    assert small.shape == (1, 1, 64, 64)
    assert float(small.mean()) == pytest.approx(float(image.mean()), abs=2e-3)
    even = torch.full((1, 3, 100, 300), 0.3)
    torch.testing.assert_close(resize_linear(even, (64, 192)), torch.full((1, 3, 64, 192), 0.3))


def test_gaussian_noise_and_impulses_have_different_statistics() -> None:
    rng = np.random.default_rng(1)
    flat = np.full((1, 1, 256, 256), 0.5)
    gaussian = (flat + rng.normal(0, 0.1, flat.shape)).clip(0, 1)
    impulses = np.where(rng.random(flat.shape) < 0.06, rng.integers(0, 2, flat.shape), flat)
    statistics = [noise_statistics_of(torch.from_numpy(255 * each).float())[0] for each in (flat, gaussian, impulses)]
    assert all(each.shape == (NOISE_STATISTICS,) for each in statistics)
    assert float((statistics[1] - statistics[2]).abs().max()) > 1
    assert statistics[2][-3].exp() == pytest.approx(0.06, abs=0.01)  # the share of pixels that look like impulses


def test_student_shape_keeps_the_proportions() -> None:
    for height, width in ((512, 512), (480, 640), (1000, 4000), (64, 64)):
        rows, columns = student_shape((height, width), 192)
        assert rows % 32 == columns % 32 == 0
        assert min(rows, columns) >= 64
        assert max(rows, columns) <= 192
