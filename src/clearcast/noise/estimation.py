"""Noise estimates: what networks measured of an image's noise, in units that a person understands."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.core.numbers import require_finite
from clearcast.noise.periodic import Wave, describe_wave
from clearcast.noise.registry import NoiseType, noise_types_with_level

_PADDING = 4  # size of the spectrum, in sides of the field: the resolution of the frequency
_FLAT = 1e-6  # root mean square below which there are no waves


@dataclass(frozen=True, kw_only=True)
class NoiseEstimate:
    """The noise of one image.

    Attributes:
        noise_type: the likeliest.
        probabilities: of every noise type that the network knows, in its order, adding up to 1.
        levels: of each type whose level is a number, 0..1; several noises at once may each have a level.
        wave: the strongest wave, see ``find_strongest_wave``; None if there is none or it was not estimated.
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
        """The level of the likeliest noise, such as "standard deviation 25 grey levels"; empty without noise."""
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
    """Turn the outputs of networks for one image of (height, width) pixels into a noise estimate.

    Args:
        probabilities: in the order of ``noise_types``, adding up to 1.
        levels: in the order of ``noise_types_with_level(noise_types)``, such as the standard deviation of Gaussian
            noise and the density of impulses, on the 0..1 scale; values outside are clipped.
        waves: float32 (rows, columns), what periodic noise added to the image, at any size, on the 0..1 scale; or
            amplitude, cycles down and cycles across of the strongest wave; None if not known or not needed.
        height: of the image, in pixels.
        width: likewise.
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
    """The strongest wave of a field that stands for an image of (height, width) pixels.

    Its frequency is the peak of the spectrum (with a Hann window, zero-padded). Its amplitude is that of one wave
    with the power of the whole field: for stripes their own, for a cloud that of stripes equally disturbing.

    Args:
        field: float32 (rows, columns) on the 0..1 scale, of the whole image, at any size; its mean does not matter.
        height: of the image, in pixels.
        width: likewise.

    Returns:
        The wave, with period and orientation in the image's pixels, and phase 0, which is not estimated; None if the
        field is flat.
    """
    found = find_strongest_cycles(field)
    return wave_from_cycles(*found, height, width) if found else None


def find_strongest_cycles(field: NDArray[np.float32]) -> tuple[float, float, float] | None:
    """Amplitude, cycles down and cycles across of a field's strongest wave; see ``find_strongest_wave``."""
    level = field - field.mean(dtype=np.float64)
    power = float(np.mean(np.square(level)))
    if math.sqrt(power) < _FLAT:
        return None
    rows, columns = field.shape
    window = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1])
    spectrum = np.abs(np.fft.rfft2(level * window, s=(_PADDING * rows, _PADDING * columns)))
    row, column = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
    down = float(np.fft.fftfreq(_PADDING * rows)[row]) * rows
    return math.sqrt(2 * power), down, float(column) / _PADDING


def wave_from_cycles(amplitude: float, down: float, across: float, height: int, width: int) -> Wave | None:
    """The wave with so many cycles down and across an image of (height, width) pixels; None if it has none.

    Args:
        amplitude: on the 0..1 scale; values above 1 are clipped.
        down: cycles along the height, of either sign; changing the sign of both cycles gives the same wave.
        across: cycles along the width, likewise.
        height: of the image, in pixels.
        width: likewise.
    """
    frequency = math.hypot(down / height, across / width)  # cycles a pixel
    if not frequency:
        return None
    return Wave(
        amplitude=min(amplitude, 1.0),
        period=max(1 / frequency, 2.0),
        orientation=math.degrees(math.atan2(down / height, across / width)) % 180,
    )
