"""An image moved and stretched to a standard frame, in which copies of one part lie nearly on top of each other.

The frame follows from where the image has contrast: its centre of gravity goes to the middle, and its spread along
either axis to a fixed length. That takes out shift and stretch without knowing what a part looks like. What remains are
the eight ways to mirror it and to turn it by quarters.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.imaging import Picture

Field = NDArray[np.float32]

SIDE = 160  # pixels of the standard frame
ORIENTATIONS = 8
_WORKING_SIDE = 256  # images are reduced to this before anything else
_SPREAD = 0.22 * SIDE  # standard deviation of contrast along either axis, in the standard frame
_SOFTEN = 0.5  # of the frame's pixels: without it fine grooves alias, otherwise in each copy
_QUIET, _LOUD = 60, 95  # percentiles of contrast: below is background, above counts no more


def canonical(grey: Picture) -> Picture:
    """The image in the standard frame: uint8 (SIDE, SIDE), from uint8 (height, width)."""
    scale = _WORKING_SIDE / max(grey.shape)
    if scale < 1:
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    (x, spread_x), (y, spread_y) = _place(grey.astype(np.float32))
    step_x, step_y = spread_x / _SPREAD, spread_y / _SPREAD  # image's pixels for one of the frame's
    soft = cv2.GaussianBlur(grey, (0, 0), _SOFTEN * step_x, sigmaY=_SOFTEN * step_y)
    middle = (SIDE - 1) / 2
    matrix = np.array([[step_x, 0, x - step_x * middle], [0, step_y, y - step_y * middle]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(soft, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def oriented(image: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """One of the eight ways: turned by ``orientation // 2`` quarters, then mirrored where it is odd."""
    turned = np.rot90(image, orientation // 2)
    return np.ascontiguousarray(turned[:, ::-1] if orientation % 2 else turned)


def detail(image: Picture | Field, scale: float) -> Field:
    """What is finer than ``scale`` pixels, divided by its local strength: blind to brightness and to soft shadows."""
    field = image.astype(np.float32)
    fine = field - cv2.GaussianBlur(field, (0, 0), scale)
    strength = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 2 * scale) + 4)  # 4: two grey levels of noise are nothing
    return np.asarray(fine / strength, np.float32)


def _place(field: Field) -> tuple[tuple[float, float], tuple[float, float]]:
    """Centre and standard deviation of contrast along x and along y, in pixels."""
    soft = cv2.GaussianBlur(field, (0, 0), 4)
    contrast = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))
    quiet, loud = np.percentile(contrast, (_QUIET, _LOUD))
    weight = np.clip(contrast, quiet, loud) - quiet
    return _moments(weight.sum(axis=0)), _moments(weight.sum(axis=1))


def _moments(weights: Field) -> tuple[float, float]:
    places = np.arange(len(weights))
    if not weights.any():  # an image without any contrast
        weights = np.ones_like(weights)
    share = weights / weights.sum()
    mean = float((share * places).sum())
    return mean, max(float(np.sqrt((share * (places - mean) ** 2).sum())), 1.0)
