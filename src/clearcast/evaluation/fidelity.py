"""How near a picture is to its reference: PSNR, SSIM and MSE, by scikit-image's implementations."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from skimage.metrics import mean_squared_error, structural_similarity

from clearcast.domain import NoiseType
from clearcast.evaluation.results import FidelityMetrics, Spread
from clearcast.imaging import Picture


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Of one picture: PSNR in dB (infinite for an identical one), SSIM (at most 1), MSE on the 0..1 scale, LPIPS."""

    psnr: float
    ssim: float
    mse: float
    lpips: float | None = None


def fidelity(picture: Picture, reference: Picture) -> Fidelity:
    """Measure one picture against its reference, both uint8 of one shape; over all channels, with data range 1.

    SSIM is that of Wang et al. (2004): a Gaussian window of sigma 1.5, averaged over channels and over
    the pixels whose whole window lies within the picture.

    Raises:
        ValueError: the shapes differ, or a side has fewer than 11 pixels.
    """
    x, y = picture / 255.0, reference / 255.0
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
    return Fidelity(psnr=-10 * math.log10(mse) if mse else math.inf, ssim=float(ssim), mse=mse)


def summarize(images: Sequence[Fidelity]) -> FidelityMetrics:
    """Means and sample standard deviations over images."""
    lpips = [image.lpips for image in images if image.lpips is not None]
    return {
        "images": len(images),
        "psnr": _spread(image.psnr for image in images),
        "ssim": _spread(image.ssim for image in images),
        "mse": _spread(image.mse for image in images),
        "lpips": _spread(lpips) if lpips else None,
    }


def summarize_by_noise(images: Sequence[Fidelity], types: Sequence[str]) -> dict[str, FidelityMetrics]:
    """The same of all images, under "all", and of those of each noise type that occurs; ``types`` has one an image."""
    groups = {"all": list(images)}
    for kind in NoiseType:
        groups[kind.value] = [image for image, own in zip(images, types, strict=True) if own == kind]
    return {name: summarize(group) for name, group in groups.items() if group}


def _spread(values: Iterable[float]) -> Spread:
    """Infinite values, the PSNR of identical pictures, are counted and left out: they have no mean."""
    everything = np.array(list(values), float)
    finite = everything[np.isfinite(everything)]
    spread: Spread = {
        "mean": float(finite.mean()) if len(finite) else None,
        "std": float(finite.std(ddof=1)) if len(finite) > 1 else None,
    }
    if len(finite) < len(everything):
        spread["identical"] = len(everything) - len(finite)
    return spread
