"""Salt-and-pepper noise (impulses): some pixels become white or black, the others keep their values."""

from dataclasses import dataclass

import numpy as np

from clearcast.noise.specification import (
    FloatImage,
    NoiseLevelEstimate,
    NoiseParameters,
    NoiseRange,
    NoiseSpecification,
    RobustnessLevels,
    ValueRange,
    require_float_image,
    require_in_range,
    require_value_range,
)


@dataclass(frozen=True)
class ImpulseNoise(NoiseParameters):
    """Parameters of impulses: a pixel becomes white (salt) or black (pepper), in all channels at once.

    Attributes:
        density: the probability, 0..1, that a pixel becomes an impulse.
        salt_share: the probability, 0..1, that an impulse is white.

    Raises:
        RecipeError: a probability is outside 0..1.
    """

    density: float
    salt_share: float = 0.5

    def __post_init__(self) -> None:
        require_in_range(
            "density", self.density, 0, 1, "it is the share of pixels that become impulses; 5 percent are 0.05"
        )
        require_in_range("salt_share", self.salt_share, 0, 1, "it is the share of white impulses; half is 0.5")


@dataclass(frozen=True)
class ImpulseRange(NoiseRange):
    """Lowest and highest density and salt share, sampled uniformly; see ``ImpulseNoise``."""

    density: ValueRange = (0.03, 0.15)
    salt_share: ValueRange = (0.5, 0.5)

    def __post_init__(self) -> None:
        require_value_range("density", self.density, 0, 1)
        require_value_range("salt_share", self.salt_share, 0, 1)


def add_impulse_noise(image: FloatImage, parameters: ImpulseNoise, rng: np.random.Generator) -> FloatImage:
    """Make each pixel white or black with the probabilities of ``parameters``; the others keep their values exactly.

    Raises:
        PictureError: see ``add_noise``.
    """
    require_float_image(image)
    chance = rng.random(image.shape[:2])
    noisy = image.copy()
    noisy[chance < parameters.density] = 0
    noisy[chance < parameters.density * parameters.salt_share] = 1
    return noisy


def _sample(noise_range: ImpulseRange, rng: np.random.Generator, _: tuple[int, ...]) -> ImpulseNoise:
    return ImpulseNoise(float(rng.uniform(*noise_range.density)), float(rng.uniform(*noise_range.salt_share)))


SALT_AND_PEPPER_NOISE = NoiseSpecification(
    display_name="Salt-and-pepper",
    sheet_word="Salt",
    words=("salt", "saltpepper", "saltandpepper", "saltnpepper", "sp", "sandp", "snp", "impulse"),
    parameters=ImpulseNoise,
    default_range=ImpulseRange(),
    training_range=ImpulseRange(density=(0.005, 0.25), salt_share=(0.3, 0.7)),
    second_range=ImpulseRange(density=(0.005, 0.125)),
    sample=_sample,
    apply=add_impulse_noise,
    robustness=RobustnessLevels(
        name="share of pixels struck",
        strengths=(0.02, 0.05, 0.1, 0.18, 0.3),
        parameters=lambda strength, *_: ImpulseNoise(strength),
    ),
    estimate=NoiseLevelEstimate(
        name="density",
        of=lambda parameters: parameters.density,
        describe=lambda density: f"{100 * density:.1f}% of the pixels",
        maximum=1.0,
    ),
    comes_last=True,
)
