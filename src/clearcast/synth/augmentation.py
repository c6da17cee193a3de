"""Augmentation of training images, synthetic defects, and degradation with noise of known levels.

``augment_image`` varies images for the classifier; ``flip_and_rotate`` and ``photometric_jitter`` vary images for the
denoiser. ``add_synthetic_defects`` draws pinholes and scratches. ``degrade`` adds noise, and returns it as the target.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.core.decoding.image_info import ImageArray
from clearcast.noise import (
    NOISES,
    NoiseParameters,
    PeriodicNoise,
    add_noise,
    compress_as_jpeg,
    noise_type_of,
    noise_types_with_level,
    render_waves,
    sample_noise,
)
from clearcast.noise.registry import NoiseType
from clearcast.noise.specification import FloatImage

TRAINED_NOISE_TYPES = tuple(NoiseType)  # the classes of networks that are trained, in the order of their outputs

# Augmentation: ranges of the uniform distributions.
_DEGREES = 12.0
_STRETCH, _SHEAR, _SHIFT = 0.08, 0.05, 0.023  # of the image's side
_GAMMA, _GAIN, _OFFSET = 0.25, 0.12, 0.06  # logarithm, share, and share of white
_BLUR, _MIN_BLUR, _SENSOR_NOISE = 1.0, 0.3, 0.02  # pixels, pixels, share of white

# Synthetic defects.
_LAYERS = 3  # each of one contrast
_CELL = (40.0, 160.0)  # pixels: on average one defect a square of this side
_CONTRAST = (10.0, 90.0)  # grey levels
_DARK = 0.65  # share of layers darker than the part
_RADIUS = (0.8, 3.0)  # pixels, of pinholes
_LENGTH = (8.0, 80.0)  # pixels, of scratches
_BEND = 0.06  # standard deviation of a scratch's bend, as a share of its length
_DEFECT_BLUR = (0.3, 0.8)  # pixels: standard deviation of the optical blur
_DEFECT_SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel

# Degradation.
_NO_NOISE, _TWO_AT_ONCE, _JPEG = 0.1, 0.08, 0.85  # probabilities

_PixelPoint = NDArray[np.float64]
"""x and y in pixels."""


@dataclass(frozen=True)
class DegradedSample:
    """Degraded image with its noise-free image, noise type, noise levels and waves: the targets of training.

    Attributes:
        noisy: uint8 (height, width) or (height, width, 3).
        noise_free: the reference image, of the same shape and type.
        noise_type: of the noise; the first of two at once.
        levels: of each noise type whose level is a number (see ``NoiseLevelEstimate``), on the 0..1 scale; 0 if it was
            not added, None if it is not known.
        waves: what periodic noise added before clipping, float32 (height, width); None if it is not known.
    """

    noisy: ImageArray
    noise_free: ImageArray
    noise_type: NoiseType
    levels: Mapping[NoiseType, float | None]
    waves: FloatImage | None


def augment_image(image: ImageArray, rng: np.random.Generator) -> ImageArray:
    """Augment an image at random; its labels and its defects stay.

    Args:
        image: uint8 (height, width) or (height, width, 3); see ``imaging``.
        rng: for all random choices.

    Returns:
        uint8, of the same shape.
    """
    return _expose(_transform(image, rng), rng)


def _transform(image: ImageArray, rng: np.random.Generator) -> ImageArray:
    """Apply a random flip, rotation by right angles that keep the shape, then a small affine transform."""
    height, width = image.shape[:2]
    quarters = int(rng.integers(4)) if height == width else 2 * int(rng.integers(2))
    flipped = np.rot90(image[:, ::-1] if rng.random() < 0.5 else image, quarters)
    angle = np.deg2rad(rng.uniform(-_DEGREES, _DEGREES))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag(np.exp(rng.uniform(-_STRETCH, _STRETCH, 2)))
    stretch[0, 1] = rng.uniform(-_SHEAR, _SHEAR)
    matrix = rotation @ stretch
    centre = np.array([width - 1, height - 1]) / 2
    shift = rng.uniform(-_SHIFT, _SHIFT, 2) * (width, height)
    affine = np.column_stack([matrix, centre + shift - matrix @ centre])
    moved = cv2.warpAffine(np.ascontiguousarray(flipped), affine, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, np.uint8)


def _expose(image: ImageArray, rng: np.random.Generator) -> ImageArray:
    """Apply random exposure (gamma, gain, offset), blur and sensor noise."""
    tone_curve = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-_GAMMA, _GAMMA))
    tone_curve = tone_curve * rng.uniform(1 - _GAIN, 1 + _GAIN) + rng.uniform(-_OFFSET, _OFFSET)
    exposed = tone_curve.astype(np.float32)[image]
    blur = rng.uniform(0, _BLUR)
    if blur > _MIN_BLUR:  # less has no visible effect
        exposed = np.asarray(cv2.GaussianBlur(exposed, (0, 0), blur), np.float32)
    sigma = rng.uniform(-_SENSOR_NOISE, _SENSOR_NOISE)  # half of the images get none
    if sigma > 0:
        exposed = exposed + np.float32(sigma) * rng.standard_normal(exposed.shape, np.float32)
    return np.asarray(np.rint(np.clip(exposed, 0, 1) * 255), np.uint8)


def flip_and_rotate(images: list[ImageArray], rng: np.random.Generator) -> list[ImageArray]:
    """Apply one random flip or rotation by right angles to all images of a view; their shape stays.

    A square image has eight of these; any other image has four, as it is not rotated by 90 degrees.
    """
    turns, mirrored = divmod(int(rng.integers(8)), 2)
    height, width = images[0].shape[:2]
    if height != width:
        turns -= turns % 2
    rotated = [np.rot90(image, turns) for image in images]
    return [np.ascontiguousarray(image[:, ::-1] if mirrored else image) for image in rotated]


def photometric_jitter(noise_free: ImageArray, rng: np.random.Generator) -> ImageArray:
    """Apply photometric and geometric jitter, as from another camera: scaled, shifted, brighter or darker."""
    height, width = noise_free.shape[:2]
    stretch = rng.uniform(0.9, 1.1, 2)
    shift = rng.uniform(-0.03, 0.03, 2) * (width, height) + (1 - stretch) * (width - 1, height - 1) / 2
    matrix = np.array([[stretch[0], 0, shift[0]], [0, stretch[1], shift[1]]])
    moved = cv2.warpAffine(noise_free, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    tone_curve = np.arange(256) * rng.uniform(0.85, 1.15) + rng.uniform(-12, 12)
    return np.asarray(cv2.LUT(moved, np.clip(np.rint(tone_curve), 0, 255).astype(np.uint8)), np.uint8)


def add_synthetic_defects(noise_free: ImageArray, rng: np.random.Generator) -> ImageArray:
    """Add synthetic defects: pinholes and hairline scratches, dark and bright, at random positions.

    Args:
        noise_free: reference image, uint8 (height, width) or (height, width, 3); see ``imaging``.
        rng: for all random choices.

    Returns:
        uint8, of the same shape.
    """
    height, width = noise_free.shape[:2]
    defective = noise_free.astype(np.float32)
    side = np.exp(rng.uniform(*np.log(_CELL)))
    for _ in range(_LAYERS):
        mask = np.zeros((height, width), np.uint8)
        for _ in range(rng.poisson(height * width / side**2 / _LAYERS)):
            middle = rng.uniform(0, (width, height))
            (_draw_pinhole if rng.random() < 0.5 else _draw_scratch)(mask, middle, rng)
        soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(*_DEFECT_BLUR)) * np.float32(1 / 255)
        contrast = rng.uniform(*_CONTRAST) * (-1 if rng.random() < _DARK else 1)
        defective += np.float32(contrast) * soft.reshape(height, width, *[1] * (noise_free.ndim - 2))
    return np.asarray(np.rint(np.clip(defective, 0, 255)), np.uint8)


def _draw_pinhole(mask: ImageArray, middle: _PixelPoint, rng: np.random.Generator) -> None:
    radius = rng.uniform(*_RADIUS)
    cv2.circle(mask, _fixed_point(middle), int(radius * 2**_DEFECT_SHIFT), 255, cv2.FILLED, cv2.LINE_AA, _DEFECT_SHIFT)


def _draw_scratch(mask: ImageArray, middle: _PixelPoint, rng: np.random.Generator) -> None:
    position = np.linspace(-0.5, 0.5, 12)
    angle = rng.uniform(0, np.pi)
    curve = np.stack([position, rng.normal(0, _BEND) * (1 - 4 * position**2)], axis=1) * rng.uniform(*_LENGTH)
    path = middle + curve @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = np.array([_fixed_point(point) for point in path], np.int32)
    cv2.polylines(mask, [points], isClosed=False, color=255, thickness=1, lineType=cv2.LINE_AA, shift=_DEFECT_SHIFT)


def _fixed_point(point: _PixelPoint) -> tuple[int, int]:
    x, y = np.rint(point * 2**_DEFECT_SHIFT).astype(int).tolist()
    return x, y


def degrade(noise_free: ImageArray, rng: np.random.Generator) -> DegradedSample:
    """Degrade an image: usually one noise of random type and level, sometimes none or two, then mostly JPEG.

    Args:
        noise_free: uint8 (height, width) or (height, width, 3); see ``imaging``.
        rng: for all random choices.
    """
    levels = _sample_levels(noise_free.shape, rng)
    noisy = noise_free * np.float32(1 / 255)
    for level in sorted(levels, key=lambda level: noise_type_of(level).specification.comes_last):
        noisy = add_noise(noisy, level, rng)
    image = np.rint(noisy * np.float32(255)).astype(np.uint8)
    if rng.random() < _JPEG:
        image = compress_as_jpeg(image, int(rng.integers(60, 97)))
    return DegradedSample(
        image,
        noise_free,
        noise_type_of(levels[0]) if levels else NoiseType.NONE,
        levels={noise_type: _true_level(noise_type, levels) for noise_type in noise_types_with_level()},
        waves=_render_waves_of(levels, noise_free),
    )


def _sample_levels(shape: tuple[int, ...], rng: np.random.Generator) -> list[NoiseParameters]:
    """Sample none, one or two levels of different noise types; the second is weaker."""
    if rng.random() < _NO_NOISE:
        return []
    first, second, *_ = (NOISES[index].specification for index in rng.permutation(len(NOISES)))
    levels = [sample_noise(first.training_range, rng, shape)]
    if rng.random() < _TWO_AT_ONCE:
        levels.append(sample_noise(second.second_range or second.training_range, rng, shape))
    return levels


def _true_level(noise_type: NoiseType, levels: list[NoiseParameters]) -> float:
    return float(sum(noise_type.estimate.of(level) for level in levels if noise_type_of(level) is noise_type))


def _render_waves_of(levels: list[NoiseParameters], noise_free: ImageArray) -> FloatImage:
    """Render the waves of all periodic noise, float32 (height, width)."""
    height, width = noise_free.shape[:2]
    waves = [wave for level in levels if isinstance(level, PeriodicNoise) for wave in level.waves]
    return render_waves(tuple(waves), height, width) if waves else np.zeros((height, width), np.float32)
