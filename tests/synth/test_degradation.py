import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.noise.registry import NoiseType
from clearcast.synth import augmentation
from clearcast.synth.augmentation import degrade, flip_and_rotate, photometric_jitter

FLAT = np.full((96, 96), 128, np.uint8)


@pytest.fixture
def without_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "_JPEG", 0.0)
    monkeypatch.setattr(augmentation, "_TWO_AT_ONCE", 0.0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), depth=st.sampled_from([1, 3]))
def test_shape_and_dtype_are_kept_and_the_seed_determines_the_result(seed: int, depth: int) -> None:
    clean = np.random.default_rng(seed).integers(0, 256, (64, 80) if depth == 1 else (64, 80, 3)).astype(np.uint8)
    one, other = (degrade(clean, np.random.default_rng(seed)) for _ in range(2))
    assert one.noisy.shape == clean.shape
    assert one.noisy.dtype == np.uint8
    assert one.clean is clean
    np.testing.assert_array_equal(one.noisy, other.noisy)


@pytest.mark.usefixtures("without_jpeg")
def test_levels_and_waves_are_the_true_ones() -> None:
    kinds = set()
    for seed in range(60):
        degraded = degrade(FLAT, np.random.default_rng(seed))
        kinds.add(degraded.noise_type)
        change = degraded.noisy.astype(float) - FLAT
        assert degraded.waves is not None
        match degraded.noise_type:
            case NoiseType.NONE:
                assert not change.any()
            case NoiseType.GAUSSIAN:
                sigma = degraded.levels[NoiseType.GAUSSIAN]
                assert sigma is not None
                assert change.std() == pytest.approx(255 * sigma, rel=0.06)
            case NoiseType.SALT_AND_PEPPER:
                assert (change != 0).mean() == pytest.approx(degraded.levels[NoiseType.SALT_AND_PEPPER], abs=0.02)
            case NoiseType.PERIODIC:
                expected = np.clip(FLAT + 255 * degraded.waves, 0, 255)
                np.testing.assert_allclose(degraded.noisy, expected, atol=0.6)
    assert kinds == set(NoiseType)


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
    corners = set()
    for seed in range(60):
        one, other = flip_and_rotate([first, first + 100], np.random.default_rng(seed))
        np.testing.assert_array_equal(other, one + 100)
        assert one.shape == first.shape
        corners.add((int(one[0, 0]), int(one[0, -1])))
    assert len(corners) == views


def test_jitter_keeps_the_shape_and_stays_close() -> None:
    clean = np.full((64, 48), 100, np.uint8)
    for seed in range(20):
        moved = photometric_jitter(clean, np.random.default_rng(seed))
        assert moved.shape == clean.shape
        assert 100 * 0.85 - 13 <= moved.min() <= moved.max() <= 100 * 1.15 + 13
