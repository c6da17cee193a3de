"""Image registration (ECC) and match score: whether two images show the same part, by its finest detail."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.data.groups.canonical import SIDE, Field, detail, oriented
from clearcast.imaging import Picture

_FINE = 2.0  # pixels; scale of the high-pass filter for noise-free images
_SOFT = 2.0, 4.0  # pixels; scales of the band-pass filter for noisy images
_HALF, _COARSE = SIDE // 2, 3.0  # pixels; size and detail scale for the alignment
_WINDOW, _SOFT_WINDOW = 3.0, 4.0  # pixels; standard deviation of the local windows
_TEXTURE = 3.0  # grey levels; areas with less local variation in both images are not compared
_WORST, _SOFT_WORST = 10, 20  # percentile of the local correlation: the images must match nearly everywhere
_SOFT_SCALE = 6  # maps scores of coarse detail, where copies exceed 0.983, to those of fine detail, 0.9
_MARGIN = 4  # pixels; ignored border
_REACH = 0.44 * SIDE  # pixels from the centre of the frame; further out is background
_MIN_SHARE = 0.02  # of the frame that must be comparable
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 1e-3)  # of the alignment: steps, gain in correlation
_SMOOTHING = 3  # pixels, odd; smoothing in the alignment
_MAX_GROWTH = 2.0  # in area; the frames of copies differ by less

Matrix = NDArray[np.float32]

_ACROSS = np.arange(SIDE) - (SIDE - 1) / 2
_MIDDLE = np.hypot(_ACROSS[:, None], _ACROSS) < _REACH
_WHOLE = np.pad(np.ones((SIDE - 2 * _MARGIN, SIDE - 2 * _MARGIN), np.uint8), _MARGIN)


def rough_alignment(one: Field, other: Field, orientation: int) -> tuple[float, Matrix]:
    """Align low-resolution images, which is cheap, to select the pairs that are compared in full.

    Args:
        one: float32 (side, side), detail of an image, which is rotated by ``orientation`` and aligned.
        other: float32 (side, side), detail of the other image.
        orientation: see ``oriented``.

    Returns:
        The correlation after alignment, at most 1, and the affine matrix (2, 3) in pixels of the standard frame.
    """
    start = np.eye(2, 3, dtype=np.float32)
    correlation, matrix = _align(np.asarray(oriented(one, orientation), np.float32), other, start)
    return correlation, _scale_matrix(matrix, SIDE / len(one))


def agreement(one: Picture, other: Picture, orientation: int, start: Matrix, *, noisy: bool = False) -> float:
    """Compute the match score of two images: a low percentile of their local correlation after alignment.

    Args:
        one: uint8 (SIDE, SIDE), an image in the standard frame, which is rotated by ``orientation`` and aligned.
        other: uint8 (SIDE, SIDE), the other image.
        orientation: see ``oriented``.
        start: initial alignment, from ``rough_alignment``.
        noisy: compare coarser detail, since noise hides the finest; the score is mapped to the same scale.

    Returns:
        The score, at most 1, and about 0 for unrelated images.
    """
    rotated = np.asarray(oriented(one, orientation), np.uint8)
    _, matrix = _align(_half_detail(rotated), _half_detail(other), _scale_matrix(start, _HALF / SIDE))
    matrix = _scale_matrix(matrix, SIDE / _HALF)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        rotated.astype(np.float32), matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    covered = cv2.warpAffine(_WHOLE, matrix, (SIDE, SIDE), flags=flags) > 0
    score = _soft_agreement if noisy else _fine_agreement
    return score(np.asarray(warped, np.float32), other.astype(np.float32), covered & _MIDDLE)


def _half_detail(image: Picture) -> Field:
    half = cv2.resize(image, (_HALF, _HALF), interpolation=cv2.INTER_AREA)
    return detail(np.asarray(half, np.uint8), _COARSE)


def _align(one: Field, other: Field, start: Matrix) -> tuple[float, Matrix]:
    """Register two images by the enhanced correlation coefficient (ECC; Evangelidis and Psarakis, 2008)."""
    initial = start.copy()  # OpenCV overwrites it
    try:
        correlation, matrix = cv2.findTransformECC(other, one, initial, cv2.MOTION_AFFINE, _STOP, None, _SMOOTHING)
    except cv2.error:  # raised if the iteration does not converge
        return 0.0, start
    if not 1 / _MAX_GROWTH < float(np.linalg.det(matrix[:, :2])) < _MAX_GROWTH:  # diverged to a featureless corner
        return 0.0, start
    return float(correlation), np.asarray(matrix, np.float32)


def _scale_matrix(matrix: Matrix, scale: float) -> Matrix:
    """Convert an alignment to images ``scale`` times as large, with pixel centres at half-integers."""
    linear, shift = matrix[:, :2], matrix[:, 2]
    middle = 0.5 / scale - 0.5  # position of the large image's first pixel in the small one
    return np.column_stack([linear, scale * (linear @ np.full(2, middle) + shift + 0.5) - 0.5]).astype(np.float32)


def _fine_agreement(one: Field, other: Field, compared: NDArray[np.bool_]) -> float:
    """Compute a low percentile of the local correlation of fine detail."""
    a, b = (field - cv2.GaussianBlur(field, (0, 0), _FINE) for field in (one, other))
    both, of_a, of_b = _products(a, b, _WINDOW)
    textured = compared & (np.minimum(of_a, of_b) > _TEXTURE**2)
    if textured.mean() < _MIN_SHARE:
        return 0.0
    return float(np.percentile(both[textured] / np.sqrt(of_a[textured] * of_b[textured] + 4), _WORST))


def _soft_agreement(one: Field, other: Field, compared: NDArray[np.bool_]) -> float:
    """Compute the same for coarser detail, also in areas without texture, since noise is texture everywhere."""
    if compared.mean() < _MIN_SHARE:
        return 0.0
    finest, coarsest = _SOFT
    a, b = (cv2.GaussianBlur(f, (0, 0), finest) - cv2.GaussianBlur(f, (0, 0), coarsest) for f in (one, other))
    both, of_a, of_b = _products(a, b, _SOFT_WINDOW)
    correlation = both[compared] / np.sqrt(of_a[compared] * of_b[compared] + 0.5)
    return 1 - _SOFT_SCALE * (1 - float(np.percentile(correlation, _SOFT_WORST)))


def _products(a: Field, b: Field, window: float) -> tuple[Field, Field, Field]:
    """Compute local means of ``a * b``, ``a * a`` and ``b * b``."""
    both, of_a, of_b = (cv2.GaussianBlur(product, (0, 0), window) for product in (a * b, a * a, b * b))
    return both, of_a, of_b
