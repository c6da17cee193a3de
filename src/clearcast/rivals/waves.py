"""Notch filter: find peaks in the Fourier spectrum (periodic noise) and remove them.

After Gonzalez and Woods, "Digital Image Processing", section 4.10 (Gaussian notch reject filters), and Aizenberg and
Butakoff 2008, "A windowed Gaussian notch filter for quasi-periodic noise removal" (peaks against a local median).
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.imaging import Picture

Floats = NDArray[np.float64]

# Tried on training images of castings: thresholds of 1.7 to 5 deviations, widths of 0.5 to 3 periods an image, a lowest
# frequency of 2 to 3, one and two rounds, and weighting the subtracted waves by local variance (Gonzalez and Woods'
# optimum notch filter), which did not help. These remove waves best and leave images without waves unchanged.
_THRESHOLD = 2.0  # of a peak above its ring of the log spectrum, in robust standard deviations
_WIDTH = 0.8  # standard deviation of a notch, in periods an image
_LOWEST = 3.0  # periods an image: lower frequencies belong to the part itself
_LEAST_AMPLITUDE = 5.0  # grey levels: weaker waves are kept
_MOST = 24  # waves a round
_ROUNDS = 2  # strong waves hide weak ones
_NEIGHBOURS = 5  # a peak is the largest in a square of so many frequencies a side


class Wave(NamedTuple):
    """Periods over the height and over the width of the image."""

    down: float
    across: float


def notch(picture: Picture) -> Picture:
    """Remove the waves that ``find_waves`` finds; an image without any is returned unchanged.

    Each notch is a Gaussian around the wave's frequency, applied as a low-pass filter to the image shifted by that
    frequency. The shifted wave is constant, so padding beyond the border causes no ringing: this gains 3 dB over a
    notch in the spectrum of the mirrored image.
    """
    image = picture.astype(np.float64)
    found = False
    for _ in range(_ROUNDS):
        waves = find_waves(image if image.ndim == 2 else image @ (0.299, 0.587, 0.114))
        found = found or bool(waves)
        for wave in waves:
            _subtract(image, wave)
    return np.asarray(np.rint(image.clip(0, 255)), np.uint8) if found else picture


def find_waves(image: Floats) -> list[Wave]:
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
    strong = half & (distance >= _LOWEST) & (2 * magnitude / window.sum() > _LEAST_AMPLITUDE)
    if not strong.any():
        return []
    rows, columns = np.nonzero(strong & _largest_nearby(magnitude) & (_deviations(logarithms, distance) > _THRESHOLD))
    strongest = np.argsort(-magnitude[rows, columns], kind="stable")[:_MOST]
    return [
        Wave(
            float(down[row, 0]) + _peak_offset(logarithms[:, column], row),
            float(across[0, column]) + _peak_offset(logarithms[row], column),
        )
        for row, column in zip(rows[strongest].tolist(), columns[strongest].tolist(), strict=True)
    ]


def _deviations(logarithms: Floats, distance: Floats) -> Floats:
    """How far each frequency lies above the median of the rings around it, in robust standard deviations."""
    ring = np.rint(distance).astype(np.int64).ravel()
    order = np.argsort(ring, kind="stable")
    values, rings = logarithms.ravel()[order], int(ring.max()) + 1
    starts = np.searchsorted(ring[order], np.arange(rings + 1))
    median, deviation = np.zeros(rings), np.zeros(rings)
    for radius in range(rings):
        near = values[starts[max(0, radius - 1)] : starts[min(rings, radius + 2)]]
        median[radius] = np.median(near)
        deviation[radius] = 1.4826 * np.median(np.abs(near - median[radius]))
    excess: Floats = (logarithms.ravel() - median[ring]) / np.maximum(deviation[ring], 1e-6)
    return excess.reshape(logarithms.shape)


def _largest_nearby(magnitude: Floats) -> NDArray[np.bool_]:
    centred = np.fft.fftshift(magnitude)
    largest = cv2.dilate(centred, np.ones((_NEIGHBOURS, _NEIGHBOURS)))
    return np.asarray(np.fft.ifftshift(largest == centred), np.bool_)


def _peak_offset(logarithms: Floats, place: int) -> float:
    """Subpixel offset of a peak, -0.5..0.5."""
    before, here, after = (logarithms[(place + step) % len(logarithms)] for step in (-1, 0, 1))
    bend = before - 2 * here + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _subtract(image: Floats, wave: Wave) -> None:
    """Subtract a wave from each channel of the image, in place."""
    height, width = image.shape[:2]
    down = np.exp(-2j * math.pi * wave.down / height * np.arange(height))
    shift = np.outer(down, np.exp(-2j * math.pi * wave.across / width * np.arange(width)))
    for channel in image.reshape(height, width, -1).transpose(2, 0, 1):  # views: the image itself is changed
        shifted = (channel - channel.mean()) * shift
        baseband = _low_pass(np.dstack([shifted.real, shifted.imag]))
        channel -= 2 * (baseband[..., 0] * shift.real + baseband[..., 1] * shift.imag)


def _low_pass(image: Floats) -> Floats:
    """Approximate Gaussian low-pass filter of ``_WIDTH`` periods an image: three box filters of the same variance."""
    sides = []
    for length in image.shape[:2]:
        variance = (length / (2 * math.pi * _WIDTH)) ** 2
        sides.append(round(math.sqrt(12 * variance / 3 + 1)))
    for _ in range(3):
        image = cv2.blur(image, (sides[1], sides[0]), borderType=cv2.BORDER_REFLECT)
    return image
