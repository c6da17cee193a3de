"""Noise estimates from the outputs of networks: noise type, levels and strongest wave, with units."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.core.numbers import require_finite
from clearcast.noise.periodic import Wave, describe_wave
from clearcast.noise.registry import NoiseType, noise_types_with_level

_PADDING = 4  # zero-padding of the field, as a multiple of its sides: resolution of the frequency
_FLAT_RMS = 1e-6  # root mean square below which there are no waves


@dataclass(frozen=True, kw_only=True)
class NoiseEstimate:
    """Noise estimate of one image.

    Attributes:
        noise_type: the most probable noise type.
        probabilities: probability of each noise type of the network, in its order, summing to 1.
        levels: level of each type whose level is a number, 0..1; several noises can be present at once.
        wave: the strongest wave, see ``find_strongest_wave``; None if there is none or it is not estimated.
    """

    noise_type: NoiseType
    probabilities: dict[NoiseType, float]
    levels: dict[NoiseType, float]
    wave: Wave | None

    @property
    def sigma(self) -> float:
        """Standard deviation of the Gaussian noise on the 0..1 scale."""
        return self.levels.get(NoiseType.GAUSSIAN, 0.0)

    @property
    def density(self) -> float:
        """Share of pixels that are impulses, 0..1."""
        return self.levels.get(NoiseType.SALT_AND_PEPPER, 0.0)

    @property
    def level(self) -> str:
        """Level of the most probable noise, such as "standard deviation 25 grey levels"; empty without noise."""
        if self.noise_type in self.levels:
            return self.noise_type.estimate.describe(self.levels[self.noise_type])
        return describe_wave(self.wave) if self.noise_type is NoiseType.PERIODIC and self.wave else ""


def to_noise_estimate(
    probabilities: Sequence[float],
    levels: Sequence[float],
    waves: NDArray[np.float32] | Sequence[float] | None,
    height: int,
    width: int,
    noise_types: Sequence[NoiseType] = tuple(NoiseType),
) -> NoiseEstimate:
    """Convert the outputs of networks for one image of (height, width) pixels to a noise estimate.

    Args:
        probabilities: in the order of ``noise_types``, summing to 1.
        levels: in the order of ``noise_types_with_level(noise_types)``, such as the standard deviation of Gaussian
            noise and the density of impulses, on the 0..1 scale; values outside are clipped.
        waves: float32 (rows, columns), the periodic noise of the image at any size, on the 0..1 scale; or amplitude,
            vertical cycles and horizontal cycles of the strongest wave; None if unknown or not requested.
        height: height of the image in pixels.
        width: width of the image in pixels.
        noise_types: the classes of the network.

    Raises:
        ModelOutputError: a number is not finite.
    """
    for name, values in (("noise types", probabilities), ("noise levels", levels), ("waves", waves)):
        require_finite(name, () if values is None else values)
    named = dict(zip(noise_types, map(float, probabilities), strict=True))
    return NoiseEstimate(
        noise_type=max(named, key=named.__getitem__),
        probabilities=named,
        levels={
            kind: min(max(0.0, float(level)), kind.estimate.maximum)
            for kind, level in zip(noise_types_with_level(noise_types), levels, strict=True)
        },
        wave=_wave(waves, height, width),
    )


def _wave(waves: NDArray[np.float32] | Sequence[float] | None, height: int, width: int) -> Wave | None:
    if waves is None:
        return None
    if isinstance(waves, np.ndarray):
        return find_strongest_wave(waves, height, width)
    amplitude, down, across = waves
    return wave_from_cycles(amplitude, down, across, height, width)


def find_strongest_wave(field: NDArray[np.float32], height: int, width: int) -> Wave | None:
    """Find the strongest wave in the periodic noise of an image of (height, width) pixels.

    Its frequency is the peak of the spectrum (with a Hann window, zero-padded). Its amplitude is that of one wave
    with the power of the whole field: for stripes the true amplitude, for a cloud that of equally strong stripes.

    Args:
        field: float32 (rows, columns) on the 0..1 scale, the periodic noise of the whole image at any size; its mean is
            ignored.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        The wave, with period and orientation in the image's pixels, and phase 0, which is not estimated; None if the
        field is flat.
    """
    found = find_strongest_cycles(field)
    return wave_from_cycles(*found, height, width) if found else None


def find_strongest_cycles(field: NDArray[np.float32]) -> tuple[float, float, float] | None:
    """Return amplitude, vertical and horizontal cycles of a field's strongest wave; see ``find_strongest_wave``."""
    level = field - field.mean(dtype=np.float64)
    power = float(np.mean(np.square(level)))
    if math.sqrt(power) < _FLAT_RMS:
        return None
    rows, columns = field.shape
    window = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1])
    spectrum = np.abs(np.fft.rfft2(level * window, s=(_PADDING * rows, _PADDING * columns)))
    row, column = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
    down = float(np.fft.fftfreq(_PADDING * rows)[row]) * rows
    return math.sqrt(2 * power), down, float(column) / _PADDING


def wave_from_cycles(amplitude: float, down: float, across: float, height: int, width: int) -> Wave | None:
    """Return the wave with these cycles in an image of (height, width) pixels; None if both are 0.

    Args:
        amplitude: on the 0..1 scale; values above 1 are clipped.
        down: cycles along the height, of either sign; changing the sign of both cycles gives the same wave.
        across: cycles along the width, of either sign.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    frequency = math.hypot(down / height, across / width)  # cycles a pixel
    if not frequency:
        return None
    return Wave(
        amplitude=min(amplitude, 1.0),
        period=max(1 / frequency, 2.0),
        orientation=math.degrees(math.atan2(down / height, across / width)) % 180,
    )
