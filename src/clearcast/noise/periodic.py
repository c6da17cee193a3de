"""Periodic noise: a sum of sinusoids, one for stripes, many for a cloud.

In ranges, lengths are shares of the image's shorter side: a small image gets the same pattern at a smaller scale.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from clearcast.core.errors import RecipeError
from clearcast.noise.specification import (
    FloatImage,
    NoiseParameters,
    NoiseRange,
    NoiseSpecification,
    RobustnessLevels,
    ValueRange,
    add_and_clip,
    require_float_image,
    require_in_range,
    require_value_range,
)


@dataclass(frozen=True)
class Wave:
    """One sinusoid, ``amplitude * cos(2 pi / period * (x cos(orientation) + y sin(orientation)) + phase)``.

    x counts pixels to the right and y downwards, both from 0 at the centre of the top left pixel.

    Attributes:
        amplitude: half of the swing from dark to bright, on the 0..1 scale, from 0 to 1.
        period: the distance from crest to crest in pixels, at least 2 (shorter ones alias).
        orientation: the direction across the stripes, in degrees from the x axis towards the y axis (clockwise in the
            image): 0 makes vertical stripes, 90 horizontal ones. Any finite number.
        phase: degrees; 0 puts a crest on the top left pixel. Any finite number.

    Raises:
        RecipeError: a value is out of its range or not finite.
    """

    amplitude: float
    period: float
    orientation: float = 0.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        require_in_range("amplitude", self.amplitude, 0, 1, "it is half of the swing on the 0..1 scale")
        require_in_range("period", self.period, 2, math.inf, "it is in pixels, and shorter waves alias")
        require_in_range("orientation", self.orientation, -math.inf, math.inf, "it is an angle in degrees")
        require_in_range("phase", self.phase, -math.inf, math.inf, "it is an angle in degrees")


@dataclass(frozen=True)
class PeriodicNoise(NoiseParameters):
    """Parameters of periodic noise: sinusoids that are added, the same in all channels.

    Raises:
        RecipeError: there is no wave.
    """

    waves: tuple[Wave, ...]

    def __post_init__(self) -> None:
        if not self.waves:
            raise RecipeError("waves: expected at least one Wave(amplitude, period), got none")


@dataclass(frozen=True)
class StripesRange:
    """Range of stripes: one strong wave of any orientation and phase; see ``Wave``.

    Attributes:
        amplitude: lowest and highest, above 0; sampled uniformly in its logarithm.
        period: lowest and highest, as a share of the image's shorter side; sampled uniformly, at least 2 pixels.
    """

    amplitude: ValueRange = (0.155, 0.4)
    period: ValueRange = (0.04, 0.23)

    def __post_init__(self) -> None:
        require_value_range("amplitude", self.amplitude, 1e-6, 1)
        require_value_range("period", self.period, 1e-6, math.inf)


@dataclass(frozen=True)
class CloudRange:
    """Range of clouds: many weak waves, each with a whole number of cycles along each side of the image.

    Attributes:
        waves: fewest and most waves, sampled uniformly.
        rms: lowest and highest root mean square of their sum (0..1 scale), sampled uniformly, before clipping.
        cycles: the most cycles along the shorter side; along the longer side, as many per pixel. Each whole number up
            to this is equally likely. Zero cycles along both sides are replaced by one cycle along x.
    """

    waves: tuple[int, int] = (8, 48)
    rms: ValueRange = (0.08, 0.2)
    cycles: int = 14

    def __post_init__(self) -> None:
        require_value_range("waves", self.waves, 1, 10_000)
        require_value_range("rms", self.rms, 0, 0.5)
        require_in_range("cycles", self.cycles, 1, 10_000, "it is a number of waves along the image's shorter side")


@dataclass(frozen=True)
class PeriodicRange(NoiseRange):
    """Stripes or a cloud; ``cloud_share`` is the probability, 0..1, of a cloud."""

    stripes: StripesRange = field(default_factory=StripesRange)
    cloud: CloudRange = field(default_factory=CloudRange)
    cloud_share: float = 0.5

    def __post_init__(self) -> None:
        require_in_range("cloud_share", self.cloud_share, 0, 1, "it is the share of clouds; the rest are stripes")


def add_periodic_noise(image: FloatImage, parameters: PeriodicNoise) -> FloatImage:
    """Add the waves of ``parameters``, without any randomness; then clip.

    Raises:
        PictureError: see ``add_noise``.
    """
    require_float_image(image)
    waves = render_waves(parameters.waves, *image.shape[:2])
    return add_and_clip(image, waves if image.ndim == 2 else waves[:, :, None])


def render_waves(waves: tuple[Wave, ...], height: int, width: int) -> FloatImage:
    """Return the sum of the waves, float32 of shape (height, width), unclipped: at most the sum of all amplitudes.

    By ``cos(a + b) = cos a cos b - sin a sin b`` with a along y and b along x, the sum over all waves is one product
    of a (height, 2 waves) and a (2 waves, width) matrix, instead of a cosine for every pixel of every wave.
    """
    table = np.array([(w.amplitude, 2 * math.pi / w.period, w.orientation, w.phase) for w in waves], np.float64)
    amplitude, per_pixel, orientation, phase = table.T
    angle = np.radians(orientation)
    down = np.outer(np.arange(height), per_pixel * np.sin(angle)) + np.radians(phase)  # (height, waves)
    across = np.outer(per_pixel * np.cos(angle), np.arange(width))  # (waves, width)
    left = np.hstack([amplitude * np.cos(down), -amplitude * np.sin(down)])
    right = np.vstack([np.cos(across), np.sin(across)])
    return left.astype(np.float32) @ right.astype(np.float32)


def describe_wave(wave: Wave) -> str:
    """Describe a wave by its amplitude, period and orientation, for messages."""
    return (
        f"amplitude {255 * wave.amplitude:.0f} grey levels, period {wave.period:.0f} pixels, "
        f"orientation {wave.orientation:.0f} degrees"
    )


def _sample(noise_range: PeriodicRange, rng: np.random.Generator, shape: tuple[int, ...]) -> PeriodicNoise:
    if rng.random() < noise_range.cloud_share:
        return PeriodicNoise(_sample_cloud(noise_range.cloud, rng, shape))
    return PeriodicNoise((_sample_stripes(noise_range.stripes, rng, shape),))


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
    # The mean square of a wave is half the square of its amplitude.
    amplitude = share * rng.uniform(*cloud.rms) * math.sqrt(2 / float(share @ share))
    phase = rng.uniform(0, 360, count)
    frequency, orientation = np.hypot(along_x, along_y), np.degrees(np.arctan2(along_y, along_x)) % 180
    return tuple(map(Wave, amplitude.tolist(), (1 / frequency).tolist(), orientation.tolist(), phase.tolist()))


def _cycles_per_pixel(
    rng: np.random.Generator, count: int, cycles: int, side: int, shorter: int
) -> NDArray[np.float64]:
    most = min(cycles * side // shorter, int(0.35 * side))  # 0.35 along both sides, 0.49 diagonally, does not alias
    return rng.integers(-most, most, count, endpoint=True) / side


def _with_rms(rms: float, rng: np.random.Generator, shape: tuple[int, ...]) -> PeriodicNoise:
    """Sample a pattern and scale it to a root mean square."""
    sampled = _sample(PeriodicRange(), rng, shape)
    sampled_rms = math.sqrt(sum(wave.amplitude**2 / 2 for wave in sampled.waves))
    return PeriodicNoise(
        tuple(replace(wave, amplitude=min(1.0, wave.amplitude * rms / sampled_rms)) for wave in sampled.waves)
    )


def _cells(parameters: PeriodicNoise) -> dict[str, object]:
    """Return the number of waves, and the strongest one."""
    wave = max(parameters.waves, key=lambda each: each.amplitude)
    return {
        "waves": len(parameters.waves),
        "amplitude": wave.amplitude,
        "period_px": wave.period,
        "orientation_deg": wave.orientation,
        "phase_deg": wave.phase,
    }


PERIODIC_NOISE = NoiseSpecification(
    display_name="Periodic",
    sheet_word="Periodic",
    words=("periodic", "sinusoidal", "stripe", "stripes"),
    parameters=PeriodicNoise,
    default_range=PeriodicRange(),
    training_range=PeriodicRange(
        stripes=StripesRange(amplitude=(0.08, 0.5), period=(0.03, 0.3)),
        cloud=CloudRange(waves=(4, 64), rms=(0.04, 0.25)),
    ),
    sample=_sample,
    apply=lambda image, parameters, _: add_periodic_noise(image, parameters),
    robustness=RobustnessLevels(
        name="root mean square of the waves (white is 1)",
        strengths=(0.04, 0.08, 0.14, 0.22, 0.32),
        parameters=_with_rms,
    ),
    columns=("waves", "amplitude", "period_px", "orientation_deg", "phase_deg"),
    cells=_cells,
)
