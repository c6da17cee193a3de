"""Classical denoisers against other implementations, and their invariants."""

import math
import sys

import numpy as np
import pytest
from scipy import ndimage

from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import MissingDependencyError
from clearcast.evaluation.benchmark.classical import (
    BM3D_NAME,
    CLASSICAL_DENOISERS,
    SpectralPeak,
    bm3d,
    find_spectral_peaks,
    median_filter,
    non_local_means,
    notch_filter,
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


def bright_spot(height: int, width: int) -> ImageArray:
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray(90 + 80 * np.exp(-2 * (rows**2 + columns**2)), np.uint8)


def add_wave(image: ImageArray, down: float, across: float, amplitude: float = 30) -> ImageArray:
    """Add a cosine of so many periods over the height and the width."""
    height, width = image.shape
    rows, columns = np.mgrid[:height, :width]
    cosine = amplitude * np.cos(2 * math.pi * (down * rows / height + across * columns / width) + 0.7)
    return np.asarray(np.rint(image + cosine).clip(0, 255), np.uint8)


def psnr(image: ImageArray, reference: ImageArray) -> float:
    return float(10 * np.log10(255**2 / np.mean((image.astype(float) - reference) ** 2)))


@pytest.mark.parametrize(("down", "across"), [(12, 0), (0, 17), (9, 14), (20, -11), (13.5, 21.25)])
@pytest.mark.parametrize("shape", [(128, 128), (128, 192), (150, 101)])
def test_a_cosine_is_removed(shape: tuple[int, int], down: float, across: float) -> None:
    reference = bright_spot(*shape)
    noisy = add_wave(reference, down, across)
    assert psnr(notch_filter(noisy), reference) > psnr(noisy, reference) + 15


def test_peaks_are_found_at_the_frequencies_of_the_waves() -> None:
    noisy = add_wave(add_wave(bright_spot(128, 160), 10, 22, 25), 31, -12, 15)
    assert find_spectral_peaks(noisy.astype(float)) == [
        pytest.approx(SpectralPeak(10, 22), abs=0.1),
        pytest.approx(SpectralPeak(31, -12), abs=0.1),
    ]


def test_waves_are_removed_from_every_channel() -> None:
    reference = np.stack([bright_spot(128, 128), 250 - bright_spot(128, 128), bright_spot(128, 128) // 2 + 40], axis=-1)
    noisy = np.stack([add_wave(reference[..., channel], 9, 14) for channel in range(3)], axis=-1)
    for channel in range(3):
        before, after = (psnr(image[..., channel], reference[..., channel]) for image in (noisy, notch_filter(noisy)))
        assert after > before + 15


def test_an_image_without_waves_is_unchanged() -> None:
    clean = bright_spot(128, 128)
    grainy = np.rint(clean + np.random.default_rng(0).normal(0, 15, clean.shape)).clip(0, 255).astype(np.uint8)
    for image in (clean, grainy, np.full((64, 64), 9, np.uint8)):
        np.testing.assert_array_equal(notch_filter(image), image)
