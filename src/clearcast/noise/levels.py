"""How strong a noise is: frozen records that refuse values without a meaning."""

import math
from dataclasses import dataclass
from typing import ClassVar

from clearcast.domain import NoiseType
from clearcast.errors import RecipeError


@dataclass(frozen=True)
class GaussianLevel:
    """Additive Gaussian noise with mean zero.

    Attributes:
        sigma: standard deviation on the 0..1 scale, from 0 to 1, before clipping.
        per_channel: independent noise in each colour channel; else one noise common to all, which stays grey.

    Raises:
        RecipeError: ``sigma`` is outside 0..1.
    """

    sigma: float
    per_channel: bool = True

    noise_type: ClassVar[NoiseType] = NoiseType.GAUSSIAN

    def __post_init__(self) -> None:
        require("sigma", self.sigma, 0, 1, "it is a standard deviation on the 0..1 scale; 25 grey levels are 0.098")


@dataclass(frozen=True)
class SaltPepperLevel:
    """Impulses: a struck pixel turns white (salt) or black (pepper), in all channels at once.

    Attributes:
        density: the probability, 0..1, that a pixel is struck.
        salt_share: the probability, 0..1, that a struck pixel turns white.

    Raises:
        RecipeError: a probability is outside 0..1.
    """

    density: float
    salt_share: float = 0.5

    noise_type: ClassVar[NoiseType] = NoiseType.SALT_AND_PEPPER

    def __post_init__(self) -> None:
        require("density", self.density, 0, 1, "it is the share of pixels that are struck; 5 percent are 0.05")
        require("salt_share", self.salt_share, 0, 1, "it is the white share of the struck pixels; half is 0.5")


@dataclass(frozen=True)
class Wave:
    """One sinusoid, ``amplitude * cos(2 pi / period * (x cos(orientation) + y sin(orientation)) + phase)``.

    x counts pixels to the right and y downwards, both from 0 at the centre of the top left pixel.

    Attributes:
        amplitude: half of the swing from dark to bright, on the 0..1 scale, from 0 to 1.
        period: the distance from crest to crest in pixels, at least 2 (shorter ones alias).
        orientation: the direction across the stripes, in degrees from the x axis towards the y axis (clockwise as one
            looks at the picture): 0 makes upright stripes, 90 level ones. Any finite number.
        phase: degrees; 0 puts a crest on the top left pixel. Any finite number.

    Raises:
        RecipeError: a value is out of its range or not finite.
    """

    amplitude: float
    period: float
    orientation: float = 0.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        require("amplitude", self.amplitude, 0, 1, "it is half of the swing on the 0..1 scale")
        require("period", self.period, 2, math.inf, "it is in pixels, and shorter waves alias")
        require("orientation", self.orientation, -math.inf, math.inf, "it is an angle in degrees")
        require("phase", self.phase, -math.inf, math.inf, "it is an angle in degrees")


@dataclass(frozen=True)
class PeriodicLevel:
    """A sum of sinusoids, the same in all channels: one makes stripes, many make a cloud.

    Raises:
        RecipeError: there is no wave.
    """

    waves: tuple[Wave, ...]

    noise_type: ClassVar[NoiseType] = NoiseType.PERIODIC

    def __post_init__(self) -> None:
        if not self.waves:
            raise RecipeError("waves is empty; periodic noise needs at least one Wave(amplitude, period)")


Level = GaussianLevel | SaltPepperLevel | PeriodicLevel


def require(name: str, value: float, low: float, high: float, meaning: str) -> None:
    """Refuse a number outside low..high, and one that is not finite.

    Raises:
        RecipeError: with the name, the value, what is allowed and the number's meaning.
    """
    if not (math.isfinite(value) and low <= value <= high):
        span = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        needed = f"a number {span}" if math.isfinite(low) else "a finite number"
        raise RecipeError(f"{name} is {value}; needed is {needed}: {meaning}")
