"""Gaussian noise: additive, of mean zero, independent from pixel to pixel."""

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
    add_and_clip,
    require_float_image,
    require_in_range,
    require_value_range,
)


@dataclass(frozen=True)
class GaussianNoise(NoiseParameters):
    """Parameters of additive Gaussian noise with mean zero.

    Attributes:
        sigma: standard deviation on the 0..1 scale, from 0 to 1, before clipping.
        per_channel: whether each colour channel gets independent noise; otherwise the noise is grey.

    Raises:
        RecipeError: ``sigma`` is outside 0..1.
    """

    sigma: float
    per_channel: bool = True

    def __post_init__(self) -> None:
        require_in_range(
            "sigma", self.sigma, 0, 1, "it is a standard deviation on the 0..1 scale; 25 grey levels are 0.098"
        )


@dataclass(frozen=True)
class GaussianRange(NoiseRange):
    """``sigma``: lowest and highest standard deviation (0..1 scale), sampled uniformly; see ``GaussianNoise``."""

    sigma: ValueRange = (0.04, 0.22)
    per_channel: bool = True

    def __post_init__(self) -> None:
        require_value_range("sigma", self.sigma, 0, 1)


def add_gaussian_noise(image: FloatImage, parameters: GaussianNoise, rng: np.random.Generator) -> FloatImage:
    """Add noise of mean zero and standard deviation ``parameters.sigma``, independent from pixel to pixel; then clip.

    Raises:
        PictureError: see ``add_noise``.
    """
    require_float_image(image)
    shape = image.shape if parameters.per_channel else (*image.shape[:2], *(1,) * (image.ndim - 2))
    noise = rng.standard_normal(shape, np.float32)
    noise *= np.float32(parameters.sigma)
    return add_and_clip(image, noise)


def _sample(noise_range: GaussianRange, rng: np.random.Generator, _: tuple[int, ...]) -> GaussianNoise:
    return GaussianNoise(float(rng.uniform(*noise_range.sigma)), noise_range.per_channel)


GAUSSIAN_NOISE = NoiseSpecification(
    display_name="Gaussian",
    sheet_word="Gaussian",
    words=("gaussian", "gauss", "awgn", "white", "whitegaussian"),
    parameters=GaussianNoise,
    default_range=GaussianRange(),
    training_range=GaussianRange(sigma=(0.02, 0.22)),
    second_range=GaussianRange(sigma=(0.02, 0.11)),
    sample=_sample,
    apply=add_gaussian_noise,
    robustness=RobustnessLevels(
        name="standard deviation (white is 1)",
        strengths=(0.04, 0.08, 0.14, 0.22, 0.32),
        parameters=lambda strength, *_: GaussianNoise(strength),
    ),
    estimate=NoiseLevelEstimate(
        name="sigma",
        of=lambda parameters: parameters.sigma,
        describe=lambda sigma: f"standard deviation {255 * sigma:.0f} grey levels",
    ),
)
