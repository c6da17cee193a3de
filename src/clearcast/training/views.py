"""Augmentation of classifier images: rotation, mirroring, affine distortion, exposure, blur and sensor noise."""

import cv2
import numpy as np

from clearcast.imaging import Picture

# Ranges of the uniform distributions.
_DEGREES = 12.0
_STRETCH, _SHEAR, _SHIFT = 0.08, 0.05, 0.023  # of the picture's side
_GAMMA, _GAIN, _OFFSET = 0.25, 0.12, 0.06  # logarithm, share, and share of white
_BLUR, _LEAST_BLUR, _NOISE = 1.0, 0.3, 0.02  # pixels, pixels, share of white


def vary(picture: Picture, rng: np.random.Generator) -> Picture:
    """Augment an image at random; its labels and its defects stay.

    Args:
        picture: uint8 (height, width) or (height, width, 3); see ``imaging``.
        rng: decides all of it.

    Returns:
        uint8, of the same shape.
    """
    return _expose(_transform(picture, rng), rng)


def _transform(picture: Picture, rng: np.random.Generator) -> Picture:
    """Random flip, rotation by right angles that keep the shape, then a small affine transform."""
    height, width = picture.shape[:2]
    quarters = int(rng.integers(4)) if height == width else 2 * int(rng.integers(2))
    turned = np.rot90(picture[:, ::-1] if rng.random() < 0.5 else picture, quarters)
    angle = np.deg2rad(rng.uniform(-_DEGREES, _DEGREES))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag(np.exp(rng.uniform(-_STRETCH, _STRETCH, 2)))
    stretch[0, 1] = rng.uniform(-_SHEAR, _SHEAR)
    matrix = turn @ stretch
    centre = np.array([width - 1, height - 1]) / 2
    shift = rng.uniform(-_SHIFT, _SHIFT, 2) * (width, height)
    affine = np.column_stack([matrix, centre + shift - matrix @ centre])
    moved = cv2.warpAffine(np.ascontiguousarray(turned), affine, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, np.uint8)


def _expose(picture: Picture, rng: np.random.Generator) -> Picture:
    """Random exposure (gamma, gain, offset), blur and sensor noise."""
    tone_curve = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-_GAMMA, _GAMMA))
    tone_curve = tone_curve * rng.uniform(1 - _GAIN, 1 + _GAIN) + rng.uniform(-_OFFSET, _OFFSET)
    image = tone_curve.astype(np.float32)[picture]
    blur = rng.uniform(0, _BLUR)
    if blur > _LEAST_BLUR:  # less has no visible effect
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.float32)
    sigma = rng.uniform(-_NOISE, _NOISE)  # half of the images get none
    if sigma > 0:
        image = image + np.float32(sigma) * rng.standard_normal(image.shape, np.float32)
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)
