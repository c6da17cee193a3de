"""Noise types: their parameters, how levels are drawn and applied, and how noise estimates are described.

>>> import numpy as np
>>> grey = np.full((4, 4), 128, np.uint8)
>>> rng = np.random.default_rng(7)
>>> level = sample_level(SaltPepperRange(density=(1, 1), salt_share=(1, 1)), rng, grey.shape)
>>> int(corrupt(grey, level, rng).min())
255
"""

from clearcast.noise.config import load_ranges
from clearcast.noise.estimation import strongest_wave
from clearcast.noise.gaussian import GaussianLevel, GaussianRange, add_gaussian
from clearcast.noise.images import after_jpeg, require_jpeg_quality
from clearcast.noise.periodic import (
    CloudRange,
    PeriodicLevel,
    PeriodicRange,
    StripesRange,
    Wave,
    add_periodic,
    wave_field,
)
from clearcast.noise.registry import (
    DEFAULT_RANGES,
    NOISES,
    NoiseType,
    add_noise,
    corrupt,
    estimated_noises,
    level_type,
    sample_level,
)
from clearcast.noise.salt_and_pepper import SaltPepperLevel, SaltPepperRange, add_salt_and_pepper
from clearcast.noise.specification import Level, LevelRange

__all__ = [
    "DEFAULT_RANGES",
    "NOISES",
    "CloudRange",
    "GaussianLevel",
    "GaussianRange",
    "Level",
    "LevelRange",
    "NoiseType",
    "PeriodicLevel",
    "PeriodicRange",
    "SaltPepperLevel",
    "SaltPepperRange",
    "StripesRange",
    "Wave",
    "add_gaussian",
    "add_noise",
    "add_periodic",
    "add_salt_and_pepper",
    "after_jpeg",
    "corrupt",
    "estimated_noises",
    "level_type",
    "load_ranges",
    "require_jpeg_quality",
    "sample_level",
    "strongest_wave",
    "wave_field",
]
