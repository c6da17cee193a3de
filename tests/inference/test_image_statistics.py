import numpy as np
import pytest

from clearcast.inference.image_statistics import measure_brightness, measure_sharpness


def test_brightness_is_the_mean_grey_level() -> None:
    grey = np.array([[0, 255], [10, 15]], np.uint8)
    assert measure_brightness(grey) == pytest.approx(70)
    assert measure_brightness(np.repeat(grey[..., None], 3, axis=2)) == pytest.approx(70)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    image = np.random.default_rng(3).integers(0, 256, (40, 50), dtype=np.uint8)
    padded = np.pad(image.astype(float), 1, mode="reflect")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * padded[1:-1, 1:-1]
    assert measure_sharpness(image) == pytest.approx(laplacian.var())
    assert measure_sharpness(np.full((20, 20), 7, np.uint8)) == 0
