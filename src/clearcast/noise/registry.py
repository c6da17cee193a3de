"""Registry of the noise types, one line per type; and the functions that sample and add any noise.

Everything that lists noise types is derived from the registry.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from clearcast.core.decoding.image_info import ImageArray
from clearcast.noise.gaussian import GAUSSIAN_NOISE
from clearcast.noise.periodic import PERIODIC_NOISE
from clearcast.noise.salt_and_pepper import SALT_AND_PEPPER_NOISE
from clearcast.noise.specification import (
    AnySpecification,
    FloatImage,
    NoiseLevelEstimate,
    NoiseParameters,
    NoiseRange,
    require_float_image,
    require_uint8_image,
)


class NoiseType(StrEnum):
    """Type of the noise in an image; "none" is the class of images without noise."""

    # To add a type, write a file with its specification and add a line before NONE. Networks keep the classes that they
    # were trained on: a bundle's manifest lists them in the order of the outputs.
    GAUSSIAN = "gaussian", GAUSSIAN_NOISE
    SALT_AND_PEPPER = "salt_and_pepper", SALT_AND_PEPPER_NOISE
    PERIODIC = "periodic", PERIODIC_NOISE
    NONE = "none"

    _specification: AnySpecification | None

    def __new__(cls, value: str, specification: AnySpecification | None = None) -> Self:
        """Create a member whose value is its name in files."""
        member = str.__new__(cls, value)
        member._value_ = value
        member._specification = specification
        return member

    @property
    def specification(self) -> AnySpecification:
        """Specification of the noise; ``NONE`` has none."""
        assert self._specification, f"{self} has no specification"
        return self._specification

    @property
    def estimate(self) -> NoiseLevelEstimate[Any]:
        """Level estimate; only for the types of ``noise_types_with_level``."""
        assert self.specification.estimate, f"the level of {self} is not estimated as a number"
        return self.specification.estimate

    @property
    def display_name(self) -> str:
        """Name in tables and figures.

        >>> NoiseType.SALT_AND_PEPPER.display_name
        'Salt-and-pepper'
        """
        return self._specification.display_name if self._specification else "None"


NOISES: tuple[NoiseType, ...] = tuple(kind for kind in NoiseType if kind is not NoiseType.NONE)
"""The noise types that can be added to an image, in the order of ``NoiseType``."""

DEFAULT_NOISE_RANGES: Mapping[NoiseType, NoiseRange] = MappingProxyType(
    {kind: kind.specification.default_range for kind in NOISES}
)
"""Ranges of the noise parameters, measured on images of cast parts (512 x 512 pixels) with their references."""


def noise_types_with_level(noise_types: Iterable[NoiseType] = NoiseType) -> tuple[NoiseType, ...]:
    """Return the noise types whose level networks estimate as a number, in the order of the networks' outputs."""
    return tuple(kind for kind in noise_types if kind in NOISES and kind.specification.estimate)


def noise_type_of(parameters: NoiseParameters | NoiseRange) -> NoiseType:
    """Return the noise type of noise parameters or of a range."""
    for kind in NOISES:
        specification = kind.specification
        if isinstance(parameters, (specification.parameters, type(specification.default_range))):
            return kind
    raise TypeError(f"expected parameters or a range of a registered noise type, got {type(parameters).__name__}")


def sample_noise(noise_range: NoiseRange, rng: np.random.Generator, shape: tuple[int, ...]) -> NoiseParameters:
    """Sample the noise parameters for an image of ``shape`` (height, width) or (height, width, 3) in pixels.

    >>> from clearcast.noise import GaussianRange
    >>> sample_noise(GaussianRange(sigma=(0.1, 0.1)), np.random.default_rng(7), (512, 512, 3))
    GaussianNoise(sigma=0.1, per_channel=True)
    """
    parameters: NoiseParameters = noise_type_of(noise_range).specification.sample(noise_range, rng, shape)
    return parameters


def add_noise(image: FloatImage, parameters: NoiseParameters, rng: np.random.Generator) -> FloatImage:
    """Add noise to a float32 image with values in 0..1.

    Returns:
        A new image of the same shape, clipped to 0..1. ``rng`` is the only source of randomness.

    Raises:
        PictureError: the image is not float32, or has another shape than (height, width) or (height, width, 3).
    """
    require_float_image(image)
    noisy: FloatImage = noise_type_of(parameters).specification.apply(image, parameters, rng)
    return noisy


def corrupt_image(image: ImageArray, parameters: NoiseParameters, rng: np.random.Generator) -> ImageArray:
    """Add noise to a uint8 image (see ``imaging``) on the 0..1 scale, clip, and round to the nearest of 0..255.

    Raises:
        PictureError: the image is not uint8, or has another shape than (height, width) or (height, width, 3).
    """
    require_uint8_image(image)
    noisy = add_noise(image * np.float32(1 / 255), parameters, rng)
    noisy *= np.float32(255)
    return np.rint(noisy, out=noisy).astype(np.uint8)
