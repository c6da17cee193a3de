"""Image quality against a reference: PSNR, SSIM and MSE, computed with scikit-image."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from skimage.metrics import mean_squared_error, structural_similarity

from clearcast.core.decoding.image_info import ImageArray
from clearcast.metrics.results import MeanAndStd, QualityMetrics
from clearcast.noise.registry import NoiseType


@dataclass(frozen=True, kw_only=True)
class ImageQuality:
    """Quality of one image: PSNR in dB (infinite if identical), SSIM (at most 1), MSE on the 0..1 scale, LPIPS."""

    psnr: float
    ssim: float
    mse: float
    lpips: float | None = None


def measure_image_quality(image: ImageArray, reference: ImageArray) -> ImageQuality:
    """Compute the quality of one image; both are uint8 of the same shape. All channels, data range 1.

    SSIM follows Wang et al. (2004): a Gaussian window of sigma 1.5, averaged over channels and over the pixels whose
    window lies entirely within the image.

    Raises:
        ValueError: the shapes differ, or a side has fewer than 11 pixels.
    """
    x, y = image / 255.0, reference / 255.0
    mse = float(mean_squared_error(x, y))
    ssim = structural_similarity(
        x,
        y,
        data_range=1.0,
        channel_axis=-1 if x.ndim == 3 else None,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return ImageQuality(psnr=-10 * math.log10(mse) if mse else math.inf, ssim=float(ssim), mse=mse)


def summarize_quality(images: Sequence[ImageQuality]) -> QualityMetrics:
    """Compute means and sample standard deviations over images."""
    lpips = [image.lpips for image in images if image.lpips is not None]
    return {
        "images": len(images),
        "psnr": _mean_and_std(image.psnr for image in images),
        "ssim": _mean_and_std(image.ssim for image in images),
        "mse": _mean_and_std(image.mse for image in images),
        "lpips": _mean_and_std(lpips) if lpips else None,
    }


def summarize_quality_by_noise(images: Sequence[ImageQuality], types: Sequence[str]) -> dict[str, QualityMetrics]:
    """Summarise all images, under "all", and those of each noise type; ``types``: the noise type of each image."""
    groups = {"all": list(images)}
    for kind in NoiseType:
        groups[kind.value] = [image for image, noise_type in zip(images, types, strict=True) if noise_type == kind]
    return {name: summarize_quality(group) for name, group in groups.items() if group}


def _mean_and_std(values: Iterable[float]) -> MeanAndStd:
    """Compute mean and deviation; infinite values (PSNR of identical images) are counted and left out."""
    all_values = np.array(list(values), float)
    finite = all_values[np.isfinite(all_values)]
    result: MeanAndStd = {
        "mean": float(finite.mean()) if len(finite) else None,
        "std": float(finite.std(ddof=1)) if len(finite) > 1 else None,
    }
    if len(finite) < len(all_values):
        result["identical"] = len(all_values) - len(finite)
    return result
