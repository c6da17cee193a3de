"""Classical denoisers as baselines: notch filter, median, non-local means, wavelet shrinkage, BM3D.

Each is a pure function from a uint8 image of shape (height, width) or (height, width, 3), see ``imaging``, to one of
the same shape. They know neither the type nor the level of the noise. Their parameters were tuned on training images
of castings (the docstrings name the values that were tried), so that the comparison is fair.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import MissingDependencyError

GreyArray = NDArray[np.float64]

# Tried on training images of castings: thresholds of 1.7 to 5 deviations, widths of 0.5 to 3 periods an image, a lowest
# frequency of 2 to 3, one and two rounds, and weighting the subtracted waves by local variance (Gonzalez and Woods'
# optimum notch filter), which did not help. These remove waves best and leave images without waves unchanged.
_PEAK_THRESHOLD = 2.0  # of a peak above its ring of the log spectrum, in robust standard deviations
_NOTCH_WIDTH = 0.8  # standard deviation of a notch, in periods an image
_LOWEST_FREQUENCY = 3.0  # periods an image: lower frequencies belong to the part itself
_MIN_AMPLITUDE = 5.0  # grey levels: weaker waves are kept
_MAX_PEAKS = 24  # a round
_ROUNDS = 2  # strong waves hide weak ones
_NEIGHBOURHOOD = 5  # a peak is the largest in a square of so many frequencies a side
BM3D_NAME = "bm3d"
_MEDIAN_PASSES = 3
_MIN_SIGMA = 0.002  # standard deviation; half a grey level is rounding, and BM3D would divide by it


class SpectralPeak(NamedTuple):
    """Periods over the height and over the width of the image."""

    down: float
    across: float


def notch_filter(image: ImageArray) -> ImageArray:
    """Remove the waves that ``find_spectral_peaks`` finds; an image without any is returned unchanged.

    Each notch is a Gaussian around the wave's frequency, applied as a low-pass filter to the image shifted by that
    frequency. The shifted wave is constant, so padding beyond the border causes no ringing: this gains 3 dB over a
    notch in the spectrum of the mirrored image.
    """
    residual = image.astype(np.float64)
    found = False
    for _ in range(_ROUNDS):
        peaks = find_spectral_peaks(residual if residual.ndim == 2 else residual @ (0.299, 0.587, 0.114))
        found = found or bool(peaks)
        for peak in peaks:
            _subtract_wave(residual, peak)
    return np.asarray(np.rint(residual.clip(0, 255)), np.uint8) if found else image


def find_spectral_peaks(image: GreyArray) -> list[SpectralPeak]:
    """Find peaks in the log spectrum of a grey image, at most 24, the strongest first.

    Each frequency is compared with the median and the median absolute deviation of its ring: the spectrum of a part
    falls off smoothly with frequency, that of a wave is a point. A Hann window suppresses the cross that image borders
    cause. The peak is refined by a parabola through three logarithms.

    Args:
        image: shape (height, width), values in 0..255.
    """
    height, width = image.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    magnitude = np.abs(np.fft.fft2((image - np.average(image, weights=window)) * window))
    logarithms = np.log(magnitude + 1e-3)
    down, across = np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width)[None] * width
    distance = np.hypot(down, across)
    half = (down > 0) | ((down == 0) & (across > 0))  # the other half is its mirror image
    candidates = half & (distance >= _LOWEST_FREQUENCY) & (2 * magnitude / window.sum() > _MIN_AMPLITUDE)
    if not candidates.any():
        return []
    rows, columns = np.nonzero(
        candidates & _local_maxima(magnitude) & (_robust_deviations(logarithms, distance) > _PEAK_THRESHOLD)
    )
    strongest = np.argsort(-magnitude[rows, columns], kind="stable")[:_MAX_PEAKS]
    return [
        SpectralPeak(
            float(down[row, 0]) + _peak_offset(logarithms[:, column], row),
            float(across[0, column]) + _peak_offset(logarithms[row], column),
        )
        for row, column in zip(rows[strongest].tolist(), columns[strongest].tolist(), strict=True)
    ]


def _robust_deviations(logarithms: GreyArray, distance: GreyArray) -> GreyArray:
    """Height of each frequency above the median of the rings around it, in robust standard deviations."""
    ring = np.rint(distance).astype(np.int64).ravel()
    order = np.argsort(ring, kind="stable")
    values, rings = logarithms.ravel()[order], int(ring.max()) + 1
    starts = np.searchsorted(ring[order], np.arange(rings + 1))
    median, deviation = np.zeros(rings), np.zeros(rings)
    for radius in range(rings):
        near = values[starts[max(0, radius - 1)] : starts[min(rings, radius + 2)]]
        median[radius] = np.median(near)
        deviation[radius] = 1.4826 * np.median(np.abs(near - median[radius]))
    excess: GreyArray = (logarithms.ravel() - median[ring]) / np.maximum(deviation[ring], 1e-6)
    return excess.reshape(logarithms.shape)


def _local_maxima(magnitude: GreyArray) -> NDArray[np.bool_]:
    """Frequencies with the largest magnitude in their neighbourhood."""
    centred = np.fft.fftshift(magnitude)
    largest = cv2.dilate(centred, np.ones((_NEIGHBOURHOOD, _NEIGHBOURHOOD)))
    return np.asarray(np.fft.ifftshift(largest == centred), np.bool_)


def _peak_offset(logarithms: GreyArray, place: int) -> float:
    """Subpixel offset of a peak, -0.5..0.5."""
    before, here, after = (logarithms[(place + step) % len(logarithms)] for step in (-1, 0, 1))
    bend = before - 2 * here + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _subtract_wave(image: GreyArray, peak: SpectralPeak) -> None:
    """Subtract a wave from each channel of the image, in place."""
    height, width = image.shape[:2]
    down = np.exp(-2j * math.pi * peak.down / height * np.arange(height))
    shift = np.outer(down, np.exp(-2j * math.pi * peak.across / width * np.arange(width)))
    for channel in image.reshape(height, width, -1).transpose(2, 0, 1):  # views: the image itself is changed
        shifted = (channel - channel.mean()) * shift
        baseband = _low_pass(np.dstack([shifted.real, shifted.imag]))
        channel -= 2 * (baseband[..., 0] * shift.real + baseband[..., 1] * shift.imag)


def _low_pass(image: GreyArray) -> GreyArray:
    """Approximate a Gaussian low-pass filter of ``_NOTCH_WIDTH`` periods an image by three box filters."""
    sides = []
    for length in image.shape[:2]:
        variance = (length / (2 * math.pi * _NOTCH_WIDTH)) ** 2
        sides.append(round(math.sqrt(12 * variance / 3 + 1)))
    for _ in range(3):
        image = cv2.blur(image, (sides[1], sides[0]), borderType=cv2.BORDER_REFLECT)
    return image


def median_filter(image: ImageArray) -> ImageArray:
    """Median filter: three passes of 3 x 3, by OpenCV, each channel on its own.

    One pass leaves clusters of impulses, and larger windows blur: a single pass of 5 x 5 removes fine scratches.
    """
    for _ in range(_MEDIAN_PASSES):
        image = np.asarray(cv2.medianBlur(image, 3), np.uint8)
    return image


def non_local_means(image: ImageArray) -> ImageArray:
    """Non-local means (Buades et al. 2005; Darbon et al. 2008 for the fast mode), by scikit-image.

    The standard deviation is estimated (Donoho and Johnstone 1994) and subtracted from the distances of patches. Of the
    filter's strengths 0.6, 0.8, 1, 1.15 and 1.3 times that, patches of 5 and 7, and search distances of 6 and 11, these
    remove Gaussian noise best, or as well as ones that take three times as long.
    """
    from skimage.restoration import denoise_nl_means, estimate_sigma

    scaled, axis = image / 255.0, _channel_axis(image)
    sigma = float(estimate_sigma(scaled, channel_axis=axis, average_sigmas=True))
    return _to_uint8(
        denoise_nl_means(
            scaled, h=sigma, sigma=sigma, patch_size=5, patch_distance=6, fast_mode=True, channel_axis=axis
        )
    )


def wavelet_shrinkage(image: ImageArray) -> ImageArray:
    """Wavelet shrinkage: soft thresholds (BayesShrink, Chang et al. 2000), by scikit-image.

    Of the wavelets Haar, db2, sym4 and sym8, and the estimated standard deviation taken once or 1.5 times, these
    remove Gaussian noise best, and impulses too.
    """
    from skimage.restoration import denoise_wavelet, estimate_sigma

    scaled, axis = image / 255.0, _channel_axis(image)
    sigma = 1.5 * np.asarray(estimate_sigma(scaled, channel_axis=axis))
    with warnings.catch_warnings():  # without any noise, it divides by a standard deviation of 0
        warnings.simplefilter("ignore", RuntimeWarning)
        denoised = denoise_wavelet(
            scaled, sigma=sigma if axis else float(sigma), wavelet="sym4", channel_axis=axis, rescale_sigma=True
        )
    return _to_uint8(np.where(np.isfinite(denoised), denoised, scaled))


def bm3d(image: ImageArray) -> ImageArray:
    """Block-matching and 3D filtering (Dabov et al. 2007, here as in Mäkinen et al. 2020), by its authors' package.

    The standard deviation is estimated as for ``non_local_means``.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    from skimage.restoration import estimate_sigma

    try:
        package = import_module(BM3D_NAME)  # no import statement: it is not a dependency
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "BM3D needs the package bm3d, which Clearcast does not include because its licence allows non-commercial "
            "use only. If your use is non-commercial: pip install bm3d; otherwise leave it out of --rivals"
        ) from None
    scaled, axis = image / 255.0, _channel_axis(image)
    sigma = float(estimate_sigma(scaled, channel_axis=axis, average_sigmas=True))
    if sigma < _MIN_SIGMA:
        return image
    return _to_uint8((package.bm3d_rgb if axis else package.bm3d)(scaled, sigma))


def _channel_axis(image: ImageArray) -> int | None:
    return -1 if image.ndim == 3 else None


def _to_uint8(scaled: NDArray[np.floating]) -> ImageArray:
    """Convert from the 0..1 scale to the nearest of 0..255."""
    return np.asarray(np.rint(np.clip(scaled, 0, 1) * 255), np.uint8)


CLASSICAL_DENOISERS: Mapping[str, Callable[[ImageArray], ImageArray]] = MappingProxyType(
    {
        "median": median_filter,
        "nlm": non_local_means,
        "wavelet": wavelet_shrinkage,
        BM3D_NAME: bm3d,
        "notch": notch_filter,
    }
)
"""The classical denoisers by the names of the command line."""
