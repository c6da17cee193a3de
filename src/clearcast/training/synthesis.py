"""Noise made anew at every step: a clean picture and a generator in, a noisy picture and everything known of it out."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.domain import NoiseType
from clearcast.imaging import Picture
from clearcast.noise import (
    CloudRange,
    GaussianLevel,
    GaussianRange,
    LevelRange,
    PeriodicLevel,
    PeriodicRange,
    SaltPepperLevel,
    SaltPepperRange,
    StripesRange,
    add_noise,
    after_jpeg,
    sample_level,
    wave_field,
)

Image = NDArray[np.float32]

TYPES = tuple(NoiseType)  # the order of the noise types in everything that is learned

# Wider than what is common, so that stronger and weaker noise than a sheet holds is met too.
_RANGES: tuple[LevelRange, ...] = (
    GaussianRange(sigma=(0.02, 0.22)),
    SaltPepperRange(density=(0.005, 0.25), salt_share=(0.3, 0.7)),
    PeriodicRange(
        stripes=StripesRange(amplitude=(0.08, 0.5), period=(0.03, 0.3)),
        cloud=CloudRange(waves=(4, 64), rms=(0.04, 0.25)),
    ),
)
_CLEAN, _TWO_AT_ONCE, _JPEG = 0.1, 0.08, 0.85  # probabilities
_SECOND = 0.5  # how strong a second noise is, at most, against one alone


@dataclass(frozen=True)
class Spoiled:
    """A noisy picture and what is true of it.

    Attributes:
        noisy, clean: uint8 of one shape, (height, width) or (height, width, 3).
        kind: the noise; the first of two at once.
        sigma, density: standard deviation of the grain and density of the impulses, on the 0..1 scale; 0 for none.
        waves: what was added before clipping, float32 (height, width); None where that is not known.
    """

    noisy: Picture
    clean: Picture
    kind: NoiseType
    sigma: float | None
    density: float | None
    waves: Image | None


def spoil(clean: Picture, rng: np.random.Generator) -> Spoiled:
    """Add noise of a type and level drawn by ``rng``; sometimes none, sometimes two at once; mostly JPEG after it."""
    levels = []
    if rng.random() >= _CLEAN:
        order = rng.permutation(len(_RANGES))
        levels = [sample_level(_RANGES[order[0]], rng, clean.shape)]
        if rng.random() < _TWO_AT_ONCE:
            levels.append(sample_level(_weaker(_RANGES[order[1]]), rng, clean.shape))
    noisy = clean * np.float32(1 / 255)
    for level in sorted(levels, key=lambda level: isinstance(level, SaltPepperLevel)):  # impulses strike last
        noisy = add_noise(noisy, level, rng)
    picture = np.rint(noisy * np.float32(255)).astype(np.uint8)
    if rng.random() < _JPEG:
        picture = after_jpeg(picture, int(rng.integers(60, 97)))
    return Spoiled(
        picture,
        clean,
        levels[0].noise_type if levels else NoiseType.NONE,
        sigma=sum(level.sigma for level in levels if isinstance(level, GaussianLevel)),
        density=sum(level.density for level in levels if isinstance(level, SaltPepperLevel)),
        waves=_field(levels, clean),
    )


def augment(pictures: list[Picture], rng: np.random.Generator) -> list[Picture]:
    """The same change of all pictures of one view: one of the turns and mirrorings that keep its shape.

    These are eight of a square, and four of another picture, which is not turned by a quarter.
    """
    turns, mirrored = divmod(int(rng.integers(8)), 2)
    height, width = pictures[0].shape[:2]
    if height != width:
        turns -= turns % 2
    turned = [np.rot90(picture, turns) for picture in pictures]
    return [np.ascontiguousarray(picture[:, ::-1] if mirrored else picture) for picture in turned]


def jitter(clean: Picture, rng: np.random.Generator) -> Picture:
    """A picture as another camera might have taken it: stretched and shifted a little, brighter or darker."""
    height, width = clean.shape[:2]
    stretch = rng.uniform(0.9, 1.1, 2)
    shift = rng.uniform(-0.03, 0.03, 2) * (width, height) + (1 - stretch) * (width - 1, height - 1) / 2
    matrix = np.array([[stretch[0], 0, shift[0]], [0, stretch[1], shift[1]]])
    moved = cv2.warpAffine(clean, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    table = np.arange(256) * rng.uniform(0.85, 1.15) + rng.uniform(-12, 12)
    return np.asarray(cv2.LUT(moved, np.clip(np.rint(table), 0, 255).astype(np.uint8)), np.uint8)


def _weaker(levels: LevelRange) -> LevelRange:
    match levels:
        case GaussianRange():
            return GaussianRange(sigma=(levels.sigma[0], levels.sigma[1] * _SECOND))
        case SaltPepperRange():
            return SaltPepperRange(density=(levels.density[0], levels.density[1] * _SECOND))
        case PeriodicRange():
            return levels


def _field(levels: list[GaussianLevel | SaltPepperLevel | PeriodicLevel], clean: Picture) -> Image:
    height, width = clean.shape[:2]
    waves = [wave for level in levels if isinstance(level, PeriodicLevel) for wave in level.waves]
    return wave_field(tuple(waves), height, width) if waves else np.zeros((height, width), np.float32)
