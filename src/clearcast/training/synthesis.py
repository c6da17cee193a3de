"""Degradation of training images: noise drawn afresh at every step, together with the truth about it."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from clearcast.domain import NoiseType
from clearcast.imaging import Picture
from clearcast.noise import (
    NOISES,
    Level,
    PeriodicLevel,
    add_noise,
    after_jpeg,
    estimated_noises,
    level_type,
    sample_level,
    wave_field,
)
from clearcast.noise.specification import Image

TYPES = tuple(NoiseType)  # the classes of networks that are trained, in the order of their outputs

_NO_NOISE, _TWO_AT_ONCE, _JPEG = 0.1, 0.08, 0.85  # probabilities


@dataclass(frozen=True)
class Spoiled:
    """A degraded image and the truth about its noise.

    Attributes:
        noisy, clean: uint8 of one shape, (height, width) or (height, width, 3); ``clean`` is the reference image.
        noise_type: of the noise; the first of two at once.
        levels: of each noise type whose level is a number (see ``LevelEstimate``), on the 0..1 scale; 0 if it was not
            added, None if it is not known.
        waves: what periodic noise added before clipping, float32 (height, width); None if it is not known.
    """

    noisy: Picture
    clean: Picture
    noise_type: NoiseType
    levels: Mapping[NoiseType, float | None]
    waves: Image | None


def spoil(clean: Picture, rng: np.random.Generator) -> Spoiled:
    """Degrade an image: usually one noise of random type and level, sometimes none or two, then mostly JPEG.

    Args:
        clean: uint8 (height, width) or (height, width, 3); see ``imaging``.
        rng: decides all of it.
    """
    levels = _sample_levels(clean.shape, rng)
    noisy = clean * np.float32(1 / 255)
    for level in sorted(levels, key=lambda level: level_type(level).specification.comes_last):
        noisy = add_noise(noisy, level, rng)
    image = np.rint(noisy * np.float32(255)).astype(np.uint8)
    if rng.random() < _JPEG:
        image = after_jpeg(image, int(rng.integers(60, 97)))
    return Spoiled(
        image,
        clean,
        level_type(levels[0]) if levels else NoiseType.NONE,
        levels={kind: _true_level(kind, levels) for kind in estimated_noises()},
        waves=_field(levels, clean),
    )


def augment(pictures: list[Picture], rng: np.random.Generator) -> list[Picture]:
    """Apply one random flip or rotation by right angles to all images of a view; their shape stays.

    A square image has eight of these; any other image has four, as it is not rotated by 90 degrees.
    """
    turns, mirrored = divmod(int(rng.integers(8)), 2)
    height, width = pictures[0].shape[:2]
    if height != width:
        turns -= turns % 2
    turned = [np.rot90(image, turns) for image in pictures]
    return [np.ascontiguousarray(image[:, ::-1] if mirrored else image) for image in turned]


def jitter(clean: Picture, rng: np.random.Generator) -> Picture:
    """Photometric and geometric jitter, as from another camera: slightly scaled and shifted, brighter or darker."""
    height, width = clean.shape[:2]
    stretch = rng.uniform(0.9, 1.1, 2)
    shift = rng.uniform(-0.03, 0.03, 2) * (width, height) + (1 - stretch) * (width - 1, height - 1) / 2
    matrix = np.array([[stretch[0], 0, shift[0]], [0, stretch[1], shift[1]]])
    moved = cv2.warpAffine(clean, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    table = np.arange(256) * rng.uniform(0.85, 1.15) + rng.uniform(-12, 12)
    return np.asarray(cv2.LUT(moved, np.clip(np.rint(table), 0, 255).astype(np.uint8)), np.uint8)


def _sample_levels(shape: tuple[int, ...], rng: np.random.Generator) -> list[Level]:
    """None, one or two levels of different noise types; the second is weaker."""
    if rng.random() < _NO_NOISE:
        return []
    first, second, *_ = (NOISES[place].specification for place in rng.permutation(len(NOISES)))
    levels = [sample_level(first.training_range, rng, shape)]
    if rng.random() < _TWO_AT_ONCE:
        levels.append(sample_level(second.second_range or second.training_range, rng, shape))
    return levels


def _true_level(kind: NoiseType, levels: list[Level]) -> float:
    return float(sum(kind.estimate.of(level) for level in levels if level_type(level) is kind))


def _field(levels: list[Level], clean: Picture) -> Image:
    """The waves of all periodic noise, float32 (height, width)."""
    height, width = clean.shape[:2]
    waves = [wave for level in levels if isinstance(level, PeriodicLevel) for wave in level.waves]
    return wave_field(tuple(waves), height, width) if waves else np.zeros((height, width), np.float32)
