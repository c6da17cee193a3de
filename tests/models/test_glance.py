"""The glance: it sees what its backbone sees, and says waves as ``noise`` counts them."""

import math

import numpy as np
import pytest
import torch

from clearcast.models.backbone import Backbone
from clearcast.models.clear.sense import STATISTICS
from clearcast.models.glance import (
    BLOCKS,
    CYCLES_UNIT,
    LEVEL_UNIT,
    TOLD,
    TURN_UNIT,
    Glance,
    Glimpse,
    about_noise,
    fit_into,
    glance_shape,
)
from clearcast.noise import Wave, wave_field
from clearcast.noise.estimation import wave_of_cycles


def test_it_begins_as_its_backbone_with_fewer_blocks_and_leaves_that_alone() -> None:
    backbone, pictures = Backbone(), torch.rand(2, 1, 64, 96)
    glance = Glance(backbone)
    seen = glance(pictures, torch.zeros(2, STATISTICS))
    for ours, theirs in zip(seen.features, backbone.shortened(BLOCKS)(pictures), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert seen.scores.shape == (2, 4)
    assert seen.told.shape == (2, TOLD)
    assert all(parameter.requires_grad for parameter in glance.parameters())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_levels_end_with_the_features_and_have_the_channels_that_are_counted() -> None:
    backbone, pictures = Backbone(), torch.rand(1, 3, 64, 64)
    levels = backbone.levels(pictures)
    fine, coarse = backbone(pictures)
    torch.testing.assert_close(levels[-2], fine)
    torch.testing.assert_close(levels[-1], coarse)
    assert sum(level.shape[1] for level in levels) == backbone.level_channels


@pytest.mark.parametrize("orientation", [0.0, 30.0, 60.0, 90.0, 120.0, 179.0])
def test_a_wave_that_is_told_is_the_wave_that_was(orientation: float) -> None:
    height = width = 256
    truth = Wave(amplitude=0.2, period=16.0, orientation=orientation)
    power = float(wave_field((truth,), height, width).std())
    turn = 2 * math.radians(orientation)
    told = [0, 0, power / LEVEL_UNIT, math.log2(width / truth.period) / CYCLES_UNIT]
    told += [TURN_UNIT * math.cos(turn), TURN_UNIT * math.sin(turn)]
    features = Backbone()(torch.rand(1, 1, 64, 64))
    glimpse = Glimpse(features, torch.zeros(1, 4), torch.tensor([told], dtype=torch.float32))
    amplitude, down, across = glimpse.wave[0].tolist()
    wave = wave_of_cycles(amplitude, down, across, height, width)
    assert wave is not None
    assert wave.amplitude == pytest.approx(truth.amplitude, rel=0.03)  # the field is of whole pixels
    assert wave.period == pytest.approx(truth.period, rel=1e-3)
    assert (wave.orientation - orientation + 90) % 180 - 90 == pytest.approx(0, abs=0.1)


def test_what_makes_no_sense_is_told_within_bounds() -> None:
    features = Backbone()(torch.rand(1, 1, 64, 64))
    for told in ([-1.0, 99.0, 99.0, 99.0, 0.0, 0.0], [9.0, -9.0, -9.0, -99.0, 5.0, -5.0]):
        glimpse = Glimpse(features, torch.zeros(1, 4), torch.tensor([told]))
        assert ((glimpse.levels >= 0) & (glimpse.levels <= 1)).all()
        assert glimpse.wave.isfinite().all()


def test_shrinking_keeps_means_and_equals_averages_where_cells_are_whole() -> None:
    picture = torch.rand(1, 1, 128, 192, generator=torch.Generator().manual_seed(2))
    assert fit_into(picture, (128, 192)).equal(picture)
    small = fit_into(picture, (64, 64))
    assert small.shape == (1, 1, 64, 64)
    assert float(small.mean()) == pytest.approx(float(picture.mean()), abs=2e-3)
    even = torch.full((1, 3, 100, 300), 0.3)
    torch.testing.assert_close(fit_into(even, (64, 192)), torch.full((1, 3, 64, 192), 0.3))


def test_grain_and_impulses_differ_in_what_pixels_tell() -> None:
    rng = np.random.default_rng(1)
    even = np.full((1, 1, 256, 256), 0.5)
    grain = (even + rng.normal(0, 0.1, even.shape)).clip(0, 1)
    struck = np.where(rng.random(even.shape) < 0.06, rng.integers(0, 2, even.shape), even)
    told = [about_noise(torch.from_numpy(255 * each).float())[0] for each in (even, grain, struck)]
    assert all(each.shape == (STATISTICS,) for each in told)
    assert float((told[1] - told[2]).abs().max()) > 1
    assert told[2][-3].exp() == pytest.approx(0.06, abs=0.01)  # the share of pixels that look struck


def test_pictures_are_looked_at_in_proportion() -> None:
    for height, width in ((512, 512), (480, 640), (1000, 4000), (64, 64)):
        rows, columns = glance_shape((height, width), 192)
        assert rows % 32 == columns % 32 == 0
        assert min(rows, columns) >= 64
        assert max(rows, columns) <= 192
