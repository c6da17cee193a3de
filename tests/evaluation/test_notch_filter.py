"""Notch filter on images with known waves."""

import math

import numpy as np
import pytest

from clearcast.core.decoding.image_info import ImageArray
from clearcast.evaluation.benchmark.classical import SpectralPeak, find_spectral_peaks, notch_filter


def smooth(height: int, width: int) -> ImageArray:
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
    reference = smooth(*shape)
    noisy = add_wave(reference, down, across)
    assert psnr(notch_filter(noisy), reference) > psnr(noisy, reference) + 15


def test_peaks_are_found_at_the_frequencies_of_the_waves() -> None:
    noisy = add_wave(add_wave(smooth(128, 160), 10, 22, 25), 31, -12, 15)
    assert find_spectral_peaks(noisy.astype(float)) == [
        pytest.approx(SpectralPeak(10, 22), abs=0.1),
        pytest.approx(SpectralPeak(31, -12), abs=0.1),
    ]


def test_waves_are_removed_from_every_channel() -> None:
    reference = np.stack([smooth(128, 128), 250 - smooth(128, 128), smooth(128, 128) // 2 + 40], axis=-1)
    noisy = np.stack([add_wave(reference[..., channel], 9, 14) for channel in range(3)], axis=-1)
    for channel in range(3):
        before, after = (psnr(image[..., channel], reference[..., channel]) for image in (noisy, notch_filter(noisy)))
        assert after > before + 15


def test_an_image_without_waves_is_unchanged() -> None:
    clean = smooth(128, 128)
    grainy = np.rint(clean + np.random.default_rng(0).normal(0, 15, clean.shape)).clip(0, 255).astype(np.uint8)
    for image in (clean, grainy, np.full((64, 64), 9, np.uint8)):
        np.testing.assert_array_equal(notch_filter(image), image)
