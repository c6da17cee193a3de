"""Pose normalisation: shift and scale images to a standard frame, in which copies of one part nearly coincide.

The contrast of the image defines the frame: its centroid is moved to the centre, and its standard deviation along each
axis is scaled to a fixed length. This removes shift and stretch without a model of the part. Mirroring and rotation by
quarter turns remain: eight orientations.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.imaging import Picture

Field = NDArray[np.float32]

SIDE = 160  # pixels; size of the standard frame
ORIENTATIONS = 8
_WORKING_SIDE = 256  # pixels; larger images are reduced first
_SPREAD = 0.22 * SIDE  # standard deviation of contrast along either axis, in the standard frame
_BLUR = 0.5  # pixels of the standard frame; prevents aliasing of fine grooves, which differs between copies
_LOW, _HIGH = 60, 95  # percentiles of contrast: below is background, above is clipped


def canonical(grey: Picture) -> Picture:
    """Transform an image to the standard frame: uint8 (SIDE, SIDE), from uint8 (height, width)."""
    scale = _WORKING_SIDE / max(grey.shape)
    if scale < 1:
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    (x, spread_x), (y, spread_y) = _contrast_moments(grey.astype(np.float32))
    step_x, step_y = spread_x / _SPREAD, spread_y / _SPREAD  # pixels of the image per pixel of the frame
    soft = cv2.GaussianBlur(grey, (0, 0), _BLUR * step_x, sigmaY=_BLUR * step_y)
    middle = (SIDE - 1) / 2
    matrix = np.array([[step_x, 0, x - step_x * middle], [0, step_y, y - step_y * middle]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(soft, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def oriented(image: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Apply one of eight orientations: rotate by ``orientation // 2`` quarter turns, then mirror if it is odd."""
    rotated = np.rot90(image, orientation // 2)
    return np.ascontiguousarray(rotated[:, ::-1] if orientation % 2 else rotated)


def detail(image: Picture | Field, scale: float) -> Field:
    """High-pass filter with local contrast normalisation: detail finer than ``scale`` pixels, without lighting."""
    field = image.astype(np.float32)
    fine = field - cv2.GaussianBlur(field, (0, 0), scale)
    strength = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 2 * scale) + 4)  # 4: ignores noise of two grey levels
    return np.asarray(fine / strength, np.float32)


def _contrast_moments(field: Field) -> tuple[tuple[float, float], tuple[float, float]]:
    """Compute mean and standard deviation of the contrast along x and along y, in pixels."""
    soft = cv2.GaussianBlur(field, (0, 0), 4)
    contrast = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))
    low, high = np.percentile(contrast, (_LOW, _HIGH))
    weight = np.clip(contrast, low, high) - low
    return _moments(weight.sum(axis=0)), _moments(weight.sum(axis=1))


def _moments(weights: Field) -> tuple[float, float]:
    places = np.arange(len(weights))
    if not weights.any():  # a uniform image
        weights = np.ones_like(weights)
    share = weights / weights.sum()
    mean = float((share * places).sum())
    return mean, max(float(np.sqrt((share * (places - mean) ** 2).sum())), 1.0)
