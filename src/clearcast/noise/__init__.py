"""Noise types: their parameters and ranges, adding noise to images, and noise estimates.

>>> import numpy as np
>>> grey = np.full((4, 4), 128, np.uint8)
>>> rng = np.random.default_rng(7)
>>> parameters = sample_noise(ImpulseRange(density=(1, 1), salt_share=(1, 1)), rng, grey.shape)
>>> int(corrupt_image(grey, parameters, rng).min())
255
"""

from clearcast.noise.config import load_noise_ranges
from clearcast.noise.estimation import find_strongest_wave
from clearcast.noise.gaussian import GaussianNoise, GaussianRange, add_gaussian_noise
from clearcast.noise.periodic import (
    CloudRange,
    PeriodicNoise,
    PeriodicRange,
    StripesRange,
    Wave,
    add_periodic_noise,
    render_waves,
)
from clearcast.noise.registry import (
    DEFAULT_NOISE_RANGES,
    NOISES,
    NoiseType,
    add_noise,
    corrupt_image,
    noise_type_of,
    noise_types_with_level,
    sample_noise,
)
from clearcast.noise.salt_and_pepper import ImpulseNoise, ImpulseRange, add_impulse_noise
from clearcast.noise.specification import NoiseParameters, NoiseRange, compress_as_jpeg, require_jpeg_quality

__all__ = [
    "DEFAULT_NOISE_RANGES",
    "NOISES",
    "CloudRange",
    "GaussianNoise",
    "GaussianRange",
    "ImpulseNoise",
    "ImpulseRange",
    "NoiseParameters",
    "NoiseRange",
    "NoiseType",
    "PeriodicNoise",
    "PeriodicRange",
    "StripesRange",
    "Wave",
    "add_gaussian_noise",
    "add_impulse_noise",
    "add_noise",
    "add_periodic_noise",
    "compress_as_jpeg",
    "corrupt_image",
    "find_strongest_wave",
    "load_noise_ranges",
    "noise_type_of",
    "noise_types_with_level",
    "render_waves",
    "require_jpeg_quality",
    "sample_noise",
]
