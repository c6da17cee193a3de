"""Noise made on purpose: pure functions ``(image, level, rng) -> image``, and ranges from which levels are drawn.

>>> import numpy as np
>>> grey = np.full((4, 4), 128, np.uint8)
>>> rng = np.random.default_rng(7)
>>> level = sample_level(SaltPepperRange(density=(1, 1), salt_share=(1, 1)), rng, grey.shape)
>>> int(corrupt(grey, level, rng).min())
255
"""

from clearcast.noise.estimating import strongest_wave
from clearcast.noise.file import load_ranges
from clearcast.noise.levels import GaussianLevel, Level, PeriodicLevel, SaltPepperLevel, Wave
from clearcast.noise.pixels import (
    add_gaussian,
    add_noise,
    add_periodic,
    add_salt_and_pepper,
    after_jpeg,
    corrupt,
    require_jpeg_quality,
    wave_field,
)
from clearcast.noise.ranges import (
    DEFAULT_RANGES,
    CloudRange,
    GaussianRange,
    LevelRange,
    PeriodicRange,
    SaltPepperRange,
    StripesRange,
    sample_level,
)

__all__ = [
    "DEFAULT_RANGES",
    "CloudRange",
    "GaussianLevel",
    "GaussianRange",
    "Level",
    "LevelRange",
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
    "load_ranges",
    "require_jpeg_quality",
    "sample_level",
    "strongest_wave",
    "wave_field",
]
