import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clearcast.synth import augmentation
from clearcast.synth.augmentation import add_synthetic_defects


@given(seed=st.integers(0, 2**32 - 1), depth=st.sampled_from([1, 3]), height=st.integers(16, 90))
def test_shape_is_kept_and_the_seed_decides(seed: int, depth: int, height: int) -> None:
    clean = np.full((height, 64) if depth == 1 else (height, 64, depth), 128, np.uint8)
    one, two = (add_synthetic_defects(clean, np.random.default_rng(seed)) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.shape == clean.shape
    np.testing.assert_array_equal(one, two)
    if depth == 3:
        np.testing.assert_array_equal(one[..., 0], one[..., 2])


def test_synthetic_defects_are_few_fine_and_of_the_configured_contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "_CONTRAST", (40.0, 40.0))
    changes = np.stack([_change(seed) for seed in range(20)])
    assert 30 < np.abs(changes).max() <= 3 * 40  # three layers may meet
    assert 0.001 < (np.abs(changes) > 10).mean() < 0.15
    assert changes.min() < -30  # dark ones
    assert changes.max() > 30  # bright ones


def _change(seed: int) -> NDArray[np.int16]:
    return np.subtract(
        add_synthetic_defects(np.full((256, 256), 128, np.uint8), np.random.default_rng(seed)), 128, dtype=np.int16
    )
