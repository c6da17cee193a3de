"""Classical denoisers against other implementations, and their invariants."""

import sys

import numpy as np
import pytest
from scipy import ndimage

from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import MissingDependencyError
from clearcast.evaluation.benchmark.classical import (
    BM3D_NAME,
    CLASSICAL_DENOISERS,
    bm3d,
    median_filter,
    non_local_means,
    wavelet_shrinkage,
)
from clearcast.noise import GaussianNoise, ImpulseNoise, corrupt_image
from clearcast.noise.registry import NoiseType

INSTALLED = [name for name in CLASSICAL_DENOISERS if name != BM3D_NAME]


def smooth(height: int = 96, width: int = 128) -> ImageArray:
    """Smooth blobs and an edge, as on a part."""
    rows, columns = np.mgrid[:height, :width]
    blobs = 110 + 60 * np.sin(rows / 23) * np.cos(columns / 31)
    return np.asarray((blobs + 40 * (np.hypot(rows - 48, columns - 64) < 30)).clip(0, 255), np.uint8)


def error(image: ImageArray, reference: ImageArray) -> float:
    return float(np.mean((image.astype(float) - reference) ** 2))


def noisy_and_reference(kind: NoiseType) -> tuple[ImageArray, ImageArray]:
    level = GaussianNoise(0.1) if kind is NoiseType.GAUSSIAN else ImpulseNoise(0.08)
    return corrupt_image(smooth(), level, np.random.default_rng(1)), smooth()


def test_median_equals_three_passes_of_scipy() -> None:
    noisy, _ = noisy_and_reference(NoiseType.SALT_AND_PEPPER)
    expected = noisy
    for _ in range(3):
        expected = ndimage.median_filter(expected, size=3, mode="nearest")
    np.testing.assert_array_equal(median_filter(noisy)[3:-3, 3:-3], expected[3:-3, 3:-3])


def test_each_removes_its_noise_type() -> None:
    grainy, reference = noisy_and_reference(NoiseType.GAUSSIAN)
    for denoise, factor in ((non_local_means, 5), (wavelet_shrinkage, 3)):
        assert error(denoise(grainy), reference) < error(grainy, reference) / factor
    impulses, reference = noisy_and_reference(NoiseType.SALT_AND_PEPPER)
    assert error(median_filter(impulses), reference) < error(impulses, reference) / 50


@pytest.mark.parametrize("name", INSTALLED)
def test_each_keeps_shape_and_type_and_does_not_change_its_input(name: str) -> None:
    grey, _ = noisy_and_reference(NoiseType.GAUSSIAN)
    for image in (grey, np.stack([grey, grey[::-1], 255 - grey], axis=-1), grey[:64, :65]):
        before = image.copy()
        denoised = CLASSICAL_DENOISERS[name](image)
        assert denoised.shape == image.shape
        assert denoised.dtype == np.uint8
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", INSTALLED)
def test_a_flat_image_stays_flat(name: str) -> None:
    flat = np.full((64, 64), 77, np.uint8)
    np.testing.assert_array_equal(CLASSICAL_DENOISERS[name](flat), flat)


def test_bm3d_that_is_not_installed_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(MissingDependencyError, match=r"non-commercial use only.*--rivals"):
        bm3d(smooth())
