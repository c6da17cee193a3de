"""Ranges of noise levels, and drawing one level from a range.

The defaults span the noise met in pictures of cast parts (512 x 512 pixels) whose noise-free counterparts are known;
lengths are stated as shares of the picture's shorter side, so that a small picture gets the same pattern, only smaller.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from clearcast.domain import NoiseType
from clearcast.errors import RecipeError
from clearcast.noise.levels import GaussianLevel, Level, PeriodicLevel, SaltPepperLevel, Wave, require

Span = tuple[float, float]


@dataclass(frozen=True)
class GaussianRange:
    """``sigma``: lowest and highest standard deviation (0..1 scale), drawn uniformly; see ``GaussianLevel``."""

    sigma: Span = (0.04, 0.22)
    per_channel: bool = True

    def __post_init__(self) -> None:
        _require_span("sigma", self.sigma, 0, 1)


@dataclass(frozen=True)
class SaltPepperRange:
    """Lowest and highest density and salt share, drawn uniformly; see ``SaltPepperLevel``."""

    density: Span = (0.03, 0.15)
    salt_share: Span = (0.5, 0.5)

    def __post_init__(self) -> None:
        _require_span("density", self.density, 0, 1)
        _require_span("salt_share", self.salt_share, 0, 1)


@dataclass(frozen=True)
class StripesRange:
    """One strong wave of any orientation and phase; see ``Wave``.

    Attributes:
        amplitude: lowest and highest, above 0; drawn uniformly in its logarithm, as decibels are.
        period: lowest and highest, as a share of the picture's shorter side; drawn uniformly, 2 pixels at least.
    """

    amplitude: Span = (0.155, 0.4)
    period: Span = (0.04, 0.23)

    def __post_init__(self) -> None:
        _require_span("amplitude", self.amplitude, 1e-6, 1)
        _require_span("period", self.period, 1e-6, math.inf)


@dataclass(frozen=True)
class CloudRange:
    """Many weak waves, each with a whole number of cycles along either side of the picture.

    Attributes:
        waves: fewest and most waves, drawn uniformly.
        rms: lowest and highest root mean square of their sum (0..1 scale), drawn uniformly, before clipping.
        cycles: the most cycles along the shorter side; as many a pixel along the longer one. Each whole number up to
            it is as likely, but for none along both sides, which would be no wave and becomes one cycle along x.
    """

    waves: tuple[int, int] = (8, 48)
    rms: Span = (0.08, 0.2)
    cycles: int = 14

    def __post_init__(self) -> None:
        _require_span("waves", self.waves, 1, 10_000)
        _require_span("rms", self.rms, 0, 0.5)
        require("cycles", self.cycles, 1, 10_000, "it is a number of waves along the picture's shorter side")


@dataclass(frozen=True)
class PeriodicRange:
    """Stripes or a cloud; ``cloud_share`` is the probability, 0..1, of a cloud."""

    stripes: StripesRange = field(default_factory=StripesRange)
    cloud: CloudRange = field(default_factory=CloudRange)
    cloud_share: float = 0.5

    def __post_init__(self) -> None:
        require("cloud_share", self.cloud_share, 0, 1, "it is the share of clouds; the rest are stripes")


LevelRange = GaussianRange | SaltPepperRange | PeriodicRange


def sample_level(levels: LevelRange, rng: np.random.Generator, shape: tuple[int, ...]) -> Level:
    """Draw one level for a picture of ``shape`` (height, width) or (height, width, 3) in pixels.

    >>> sample_level(GaussianRange(sigma=(0.1, 0.1)), np.random.default_rng(7), (512, 512, 3))
    GaussianLevel(sigma=0.1, per_channel=True)
    """
    match levels:
        case GaussianRange():
            return GaussianLevel(float(rng.uniform(*levels.sigma)), levels.per_channel)
        case SaltPepperRange():
            return SaltPepperLevel(float(rng.uniform(*levels.density)), float(rng.uniform(*levels.salt_share)))
        case PeriodicRange() if rng.random() < levels.cloud_share:
            return PeriodicLevel(_sample_cloud(levels.cloud, rng, shape))
        case PeriodicRange():
            return PeriodicLevel((_sample_stripes(levels.stripes, rng, shape),))


def _sample_stripes(stripes: StripesRange, rng: np.random.Generator, shape: tuple[int, ...]) -> Wave:
    low, high = stripes.amplitude
    amplitude = min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)  # exp(log(1)) may exceed 1
    period = max(2.0, float(rng.uniform(*stripes.period)) * min(shape[:2]))
    return Wave(amplitude, period, float(rng.uniform(0, 180)), float(rng.uniform(0, 360)))


def _sample_cloud(cloud: CloudRange, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Wave, ...]:
    count = int(rng.integers(cloud.waves[0], cloud.waves[1], endpoint=True))
    height, width = shape[:2]
    along_x = _cycles_per_pixel(rng, count, cloud.cycles, width, min(height, width))
    along_y = _cycles_per_pixel(rng, count, cloud.cycles, height, min(height, width))
    along_x[(along_x == 0) & (along_y == 0)] = 1 / max(width, 2)
    share = rng.uniform(0.2, 1, count)
    amplitude = (
        share * rng.uniform(*cloud.rms) * math.sqrt(2 / float(share @ share))
    )  # a wave's mean square is half its amplitude's
    phase = rng.uniform(0, 360, count)
    frequency, orientation = np.hypot(along_x, along_y), np.degrees(np.arctan2(along_y, along_x)) % 180
    return tuple(map(Wave, amplitude.tolist(), (1 / frequency).tolist(), orientation.tolist(), phase.tolist()))


def _cycles_per_pixel(
    rng: np.random.Generator, count: int, cycles: int, side: int, shorter: int
) -> NDArray[np.float64]:
    most = min(cycles * side // shorter, int(0.35 * side))  # 0.35 along both sides, 0.49 diagonally, does not alias
    return rng.integers(-most, most, count, endpoint=True) / side


def _require_span(name: str, span: Span, low: float, high: float) -> None:
    for value in span:
        require(name, value, low, high, "both ends of the range must lie there")
    if span[0] > span[1]:
        raise RecipeError(f"{name} is the range {span}; its lowest value comes first: ({span[1]}, {span[0]})")


DEFAULT_RANGES: Mapping[NoiseType, LevelRange] = MappingProxyType(
    {
        NoiseType.GAUSSIAN: GaussianRange(),
        NoiseType.SALT_AND_PEPPER: SaltPepperRange(),
        NoiseType.PERIODIC: PeriodicRange(),
    }
)
