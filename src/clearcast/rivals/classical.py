"""Median, non-local means, wavelet and BM3D denoisers; scikit-image and bm3d are imported on use."""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.errors import MissingDependencyError
from clearcast.imaging import Picture
from clearcast.rivals.waves import notch

BM3D = "bm3d"
_PASSES = 3
_LEAST_SIGMA = 0.002  # standard deviation; half a grey level is rounding, and BM3D would divide by it


def median(picture: Picture) -> Picture:
    """Median filter: three passes of 3 x 3, by OpenCV, each channel on its own.

    One pass leaves clusters of impulses, and larger windows blur: a single pass of 5 x 5 removes fine scratches.
    """
    for _ in range(_PASSES):
        picture = np.asarray(cv2.medianBlur(picture, 3), np.uint8)
    return picture


def non_local_means(picture: Picture) -> Picture:
    """Non-local means (Buades et al. 2005; Darbon et al. 2008 for the fast mode), by scikit-image.

    The standard deviation is estimated (Donoho and Johnstone 1994) and subtracted from the distances of patches. Of the
    filter's strengths 0.6, 0.8, 1, 1.15 and 1.3 times that, patches of 5 and 7, and search distances of 6 and 11, these
    remove Gaussian noise best, or as well as ones that take three times as long.
    """
    from skimage.restoration import denoise_nl_means, estimate_sigma

    image, axis = picture / 255.0, _channel_axis(picture)
    sigma = float(estimate_sigma(image, channel_axis=axis, average_sigmas=True))
    return _rounded(
        denoise_nl_means(image, h=sigma, sigma=sigma, patch_size=5, patch_distance=6, fast_mode=True, channel_axis=axis)
    )


def wavelet(picture: Picture) -> Picture:
    """Wavelet shrinkage: soft thresholds (BayesShrink, Chang et al. 2000), by scikit-image.

    Of the wavelets Haar, db2, sym4 and sym8, and the estimated standard deviation taken once or 1.5 times, these
    remove Gaussian noise best, and impulses too.
    """
    from skimage.restoration import denoise_wavelet, estimate_sigma

    image, axis = picture / 255.0, _channel_axis(picture)
    sigma = 1.5 * np.asarray(estimate_sigma(image, channel_axis=axis))
    with warnings.catch_warnings():  # without any noise, it divides by a standard deviation of 0
        warnings.simplefilter("ignore", RuntimeWarning)
        denoised = denoise_wavelet(
            image, sigma=sigma if axis else float(sigma), wavelet="sym4", channel_axis=axis, rescale_sigma=True
        )
    return _rounded(np.where(np.isfinite(denoised), denoised, image))


def bm3d(picture: Picture) -> Picture:
    """Block-matching and 3D filtering (Dabov et al. 2007, here as in Mäkinen et al. 2020), by its authors' package.

    The standard deviation is estimated as for ``non_local_means``.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    from skimage.restoration import estimate_sigma

    try:
        package = import_module(BM3D)  # no import statement: it is not a dependency
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "BM3D needs the package bm3d, which Clearcast does not include because its licence allows non-commercial "
            "use only. If your use is non-commercial: pip install bm3d; otherwise leave it out of --rivals"
        ) from None
    image, axis = picture / 255.0, _channel_axis(picture)
    sigma = float(estimate_sigma(image, channel_axis=axis, average_sigmas=True))
    if sigma < _LEAST_SIGMA:
        return picture
    return _rounded((package.bm3d_rgb if axis else package.bm3d)(image, sigma))


CLASSICAL: Mapping[str, Callable[[Picture], Picture]] = MappingProxyType(
    {"median": median, "nlm": non_local_means, "wavelet": wavelet, BM3D: bm3d, "notch": notch}
)
"""The classical denoisers by the names of the command line."""


def _channel_axis(picture: Picture) -> int | None:
    return -1 if picture.ndim == 3 else None


def _rounded(image: NDArray[np.floating]) -> Picture:
    """Convert from the 0..1 scale to the nearest of 0..255."""
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)
