"""PSNR, SSIM and MSE against closed forms and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from clearcast.metrics.image_quality import ImageQuality, measure_image_quality, summarize_quality


def test_a_constant_difference_has_a_closed_form() -> None:
    grey = np.full((32, 32), 100, np.uint8)
    result = measure_image_quality(grey + 51, grey)  # a fifth of the range
    assert result.mse == pytest.approx(0.04)
    assert result.psnr == pytest.approx(10 * math.log10(1 / 0.04))
    a, b = 100 / 255, 151 / 255
    assert result.ssim == pytest.approx((2 * a * b + 0.01**2) / (a * a + b * b + 0.01**2))  # no variance, only means


def test_identical_images_are_counted_and_left_out_of_the_mean() -> None:
    image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    same = measure_image_quality(image, image)
    assert (same.psnr, same.mse) == (math.inf, 0)
    assert same.ssim == pytest.approx(1)
    summary = summarize_quality(
        [same, ImageQuality(psnr=20, ssim=0.5, mse=0.01), ImageQuality(psnr=30, ssim=0.7, mse=0.001)]
    )
    assert summary["psnr"] == {"mean": 25, "std": pytest.approx(math.sqrt(50)), "identical": 1}
    assert summary["images"] == 3
    assert summary["lpips"] is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(40, 40), (48, 64, 3)]), st.floats(1, 80))
def test_equals_torchmetrics(seed: int, shape: tuple[int, ...], spread: float) -> None:
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(0, 256, (shape[0] // 8, shape[1] // 8)), np.ones((8, 8)))
    clean = np.stack([blocks] * 3, axis=2) if len(shape) == 3 else blocks
    noisy = np.clip(clean + rng.normal(0, spread, shape), 0, 255).round().astype(np.uint8)
    reference = clean.astype(np.uint8)
    ours = measure_image_quality(noisy, reference)
    x, y = (torch.from_numpy(p / 255).reshape(1, *shape[:2], -1).permute(0, 3, 1, 2) for p in (noisy, reference))
    assert ours.psnr == pytest.approx(float(peak_signal_noise_ratio(x, y, data_range=1.0)), abs=1e-4)
    _, everywhere = structural_similarity_index_measure(x, y, data_range=1.0, return_full_image=True)
    inside = everywhere[..., 5:-5, 5:-5]  # where the window of 11 pixels lies within the image, as Wang et al. do
    assert ours.ssim == pytest.approx(float(inside.mean()), abs=1e-5)
