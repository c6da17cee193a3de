"""Synthetic defects: pinholes and scratches drawn onto training images, so that a denoiser keeps fine details."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.imaging import Picture

Point = NDArray[np.float64]
"""x and y in pixels."""

_LAYERS = 3  # each of one contrast
_CELL = (40.0, 160.0)  # pixels: on average one defect a square of this side
_CONTRAST = (10.0, 90.0)  # grey levels
_DARK = 0.65  # share of layers darker than the part
_RADIUS = (0.8, 3.0)  # pixels, of pinholes
_LENGTH = (8.0, 80.0)  # pixels, of scratches
_BEND = 0.06  # standard deviation of a scratch's bend, as a share of its length
_BLUR = (0.3, 0.8)  # pixels: standard deviation of the optical blur
_SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel


def scar(clean: Picture, rng: np.random.Generator) -> Picture:
    """Add synthetic defects: pinholes and hairline scratches, dark and bright, at random positions.

    Args:
        clean: reference image, uint8 (height, width) or (height, width, 3); see ``imaging``.
        rng: decides all of it.

    Returns:
        uint8, of the same shape.
    """
    height, width = clean.shape[:2]
    defective = clean.astype(np.float32)
    side = np.exp(rng.uniform(*np.log(_CELL)))
    for _ in range(_LAYERS):
        mask = np.zeros((height, width), np.uint8)
        for _ in range(rng.poisson(height * width / side**2 / _LAYERS)):
            middle = rng.uniform(0, (width, height))
            (_pinhole if rng.random() < 0.5 else _scratch)(mask, middle, rng)
        soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(*_BLUR)) * np.float32(1 / 255)
        contrast = rng.uniform(*_CONTRAST) * (-1 if rng.random() < _DARK else 1)
        defective += np.float32(contrast) * soft.reshape(height, width, *[1] * (clean.ndim - 2))
    return np.asarray(np.rint(np.clip(defective, 0, 255)), np.uint8)


def _pinhole(mask: Picture, middle: Point, rng: np.random.Generator) -> None:
    radius = rng.uniform(*_RADIUS)
    cv2.circle(mask, _fixed_point(middle), int(radius * 2**_SHIFT), 255, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _scratch(mask: Picture, middle: Point, rng: np.random.Generator) -> None:
    position = np.linspace(-0.5, 0.5, 12)
    angle = rng.uniform(0, np.pi)
    curve = np.stack([position, rng.normal(0, _BEND) * (1 - 4 * position**2)], axis=1) * rng.uniform(*_LENGTH)
    path = middle + curve @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = np.array([_fixed_point(point) for point in path], np.int32)
    cv2.polylines(mask, [points], isClosed=False, color=255, thickness=1, lineType=cv2.LINE_AA, shift=_SHIFT)


def _fixed_point(point: Point) -> tuple[int, int]:
    x, y = np.rint(point * 2**_SHIFT).astype(int).tolist()
    return x, y
