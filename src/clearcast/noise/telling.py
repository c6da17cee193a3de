"""What was seen of a picture's noise, in words and units a person understands."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.checks import require_finite
from clearcast.domain import NoiseType
from clearcast.noise.estimating import strongest_wave, wave_of_cycles
from clearcast.noise.levels import Wave


@dataclass(frozen=True, kw_only=True)
class NoiseEstimate:
    """The noise of one picture.

    Attributes:
        noise_type: the likeliest.
        probabilities: of every noise type, adding up to 1.
        sigma: standard deviation of grain on the 0..1 scale; several noises at once may each have a level.
        density: share of pixels struck by impulses, 0..1.
        wave: the strongest wave, see ``strongest_wave``; None where the picture has none to speak of.
    """

    noise_type: NoiseType
    probabilities: dict[NoiseType, float]
    sigma: float
    density: float
    wave: Wave | None

    @property
    def level(self) -> str:
        """The level of the likeliest noise, such as "standard deviation 25 grey levels"; empty without noise."""
        match self.noise_type:
            case NoiseType.GAUSSIAN:
                return f"standard deviation {255 * self.sigma:.0f} grey levels"
            case NoiseType.SALT_AND_PEPPER:
                return f"{100 * self.density:.1f}% of the pixels"
            case NoiseType.PERIODIC if self.wave:
                return (
                    f"amplitude {255 * self.wave.amplitude:.0f} grey levels, period {self.wave.period:.0f} pixels, "
                    f"orientation {self.wave.orientation:.0f} degrees"
                )
        return ""


def tell_noise(
    probabilities: Sequence[float],
    levels: Sequence[float],
    waves: NDArray[np.float32] | Sequence[float] | None,
    height: int,
    width: int,
) -> NoiseEstimate:
    """From what networks say of one picture of (height, width) pixels.

    Args:
        probabilities: in the order of ``NoiseType``, adding up to 1.
        levels: standard deviation of grain and density of impulses on the 0..1 scale; outside it they are clipped.
        waves: float32 (rows, columns), what periodic noise added to the picture, at any size, on the 0..1 scale; or of
            the strongest wave amplitude, cycles down and cycles across; None where they are not known or not of
            interest.

    Raises:
        ModelOutputError: a number is not finite.
    """
    for name, values in (("noise types", probabilities), ("noise levels", levels), ("waves", waves)):
        require_finite(name, () if values is None else values)
    named = dict(zip(NoiseType, map(float, probabilities), strict=True))
    sigma, density = (max(0.0, float(level)) for level in levels)
    return NoiseEstimate(
        noise_type=max(named, key=named.__getitem__),
        probabilities=named,
        sigma=sigma,
        density=min(density, 1.0),
        wave=_wave(waves, height, width),
    )


def _wave(waves: NDArray[np.float32] | Sequence[float] | None, height: int, width: int) -> Wave | None:
    if waves is None:
        return None
    if isinstance(waves, np.ndarray):
        return strongest_wave(waves, height, width)
    amplitude, down, across = waves
    return wave_of_cycles(amplitude, down, across, height, width)
