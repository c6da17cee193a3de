"""Degradation, synthetic defects and augmentation of training images: shapes, seeds, levels and waves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clearcast.noise.registry import NoiseType
from clearcast.synth import augmentation
from clearcast.synth.augmentation import add_synthetic_defects, degrade, flip_and_rotate, photometric_jitter

FLAT = np.full((96, 96), 128, np.uint8)


@pytest.fixture
def without_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "_JPEG", 0.0)
    monkeypatch.setattr(augmentation, "_TWO_AT_ONCE", 0.0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), depth=st.sampled_from([1, 3]))
def test_degradation_keeps_the_shape_and_depends_on_the_seed(seed: int, depth: int) -> None:
    noise_free = np.random.default_rng(seed).integers(0, 256, (64, 80) if depth == 1 else (64, 80, 3)).astype(np.uint8)
    first, second = (degrade(noise_free, np.random.default_rng(seed)) for _ in range(2))
    assert first.noisy.shape == noise_free.shape
    assert first.noisy.dtype == np.uint8
    assert first.noise_free is noise_free
    np.testing.assert_array_equal(first.noisy, second.noisy)


@pytest.mark.usefixtures("without_jpeg")
def test_levels_and_waves_are_the_truth() -> None:
    noise_types = set()
    for seed in range(60):
        degraded = degrade(FLAT, np.random.default_rng(seed))
        noise_types.add(degraded.noise_type)
        difference = degraded.noisy.astype(float) - FLAT
        assert degraded.waves is not None
        match degraded.noise_type:
            case NoiseType.NONE:
                assert not difference.any()
            case NoiseType.GAUSSIAN:
                sigma = degraded.levels[NoiseType.GAUSSIAN]
                assert sigma is not None
                assert difference.std() == pytest.approx(255 * sigma, rel=0.06)
            case NoiseType.SALT_AND_PEPPER:
                assert (difference != 0).mean() == pytest.approx(degraded.levels[NoiseType.SALT_AND_PEPPER], abs=0.02)
            case NoiseType.PERIODIC:
                expected = np.clip(FLAT + 255 * degraded.waves, 0, 255)
                np.testing.assert_allclose(degraded.noisy, expected, atol=0.6)
    assert noise_types == set(NoiseType)


def test_two_noises_at_once_both_have_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "_TWO_AT_ONCE", 1.0)
    monkeypatch.setattr(augmentation, "_NO_NOISE", 0.0)
    for seed in range(20):
        degraded = degrade(FLAT, np.random.default_rng(seed))
        assert degraded.waves is not None
        assert sum([*map(bool, degraded.levels.values()), bool(degraded.waves.any())]) == 2


@pytest.mark.parametrize(("width", "views"), [(6, 8), (8, 4)])
def test_a_pair_is_flipped_and_rotated_alike_and_keeps_its_shape(width: int, views: int) -> None:
    first = np.arange(6 * width, dtype=np.uint8).reshape(6, width)
    first_pixels = set()
    for seed in range(60):
        one, other = flip_and_rotate([first, first + 100], np.random.default_rng(seed))
        np.testing.assert_array_equal(other, one + 100)
        assert first.shape == first.shape
        first_pixels.add((int(one[0, 0]), int(one[0, -1])))
    assert len(first_pixels) == views


def test_jitter_keeps_the_shape_and_stays_close() -> None:
    noise_free = np.full((64, 48), 100, np.uint8)
    for seed in range(20):
        moved = photometric_jitter(noise_free, np.random.default_rng(seed))
        assert moved.shape == noise_free.shape
        assert 100 * 0.85 - 13 <= moved.min() <= moved.max() <= 100 * 1.15 + 13


@given(seed=st.integers(0, 2**32 - 1), depth=st.sampled_from([1, 3]), height=st.integers(16, 90))
def test_synthetic_defects_keep_the_shape_and_depend_on_the_seed(seed: int, depth: int, height: int) -> None:
    noise_free = np.full((height, 64) if depth == 1 else (height, 64, depth), 128, np.uint8)
    first, second = (add_synthetic_defects(noise_free, np.random.default_rng(seed)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape == noise_free.shape
    np.testing.assert_array_equal(first, second)
    if depth == 3:
        np.testing.assert_array_equal(first[..., 0], first[..., 2])


def defect_difference(seed: int) -> NDArray[np.int16]:
    return np.subtract(
        add_synthetic_defects(np.full((256, 256), 128, np.uint8), np.random.default_rng(seed)), 128, dtype=np.int16
    )


def test_synthetic_defects_are_few_fine_and_of_the_configured_contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "_CONTRAST", (40.0, 40.0))
    differences = np.stack([defect_difference(seed) for seed in range(20)])
    assert 30 < np.abs(differences).max() <= 3 * 40  # three layers may meet
    assert 0.001 < (np.abs(differences) > 10).mean() < 0.15
    assert differences.min() < -30  # dark
    assert differences.max() > 30  # bright
