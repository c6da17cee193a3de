"""Lay one image over another and tell whether they show the same part, down to its scratches and grain."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.data.groups.canonical import SIDE, Field, detail, oriented
from clearcast.imaging import Picture

_FINE = 2.0  # pixels: detail to judge by
_SOFT = 2.0, 4.0  # pixels: detail to judge noisy images by is coarser than the one and finer than the other
_HALF, _COARSE = SIDE // 2, 3.0  # pixels: aligned at half the size, by this detail
_WINDOW, _SOFT_WINDOW = 3.0, 4.0  # pixels: standard deviation of the neighbourhood in which images are compared
_TEXTURE = 3.0  # grey levels: where both vary less there is nothing to compare
_WORST, _SOFT_WORST = 10, 20  # percentile: nearly everywhere the images must agree, not only on average
_SOFT_SCALE = 6  # soft detail agrees closer: copies above 0.983 there, above 0.9 in fine detail
_MARGIN = 4  # pixels at the border of an image that are not compared
_REACH = 0.44 * SIDE  # pixels from the frame's middle: beyond is background
_LEAST_SHARE = 0.02  # of the frame that must have something to compare
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 1e-3)  # of alignment: steps, gain in correlation
_SMOOTHING = 3  # pixels, odd: of alignment
_GROWTH = 2.0  # in area: the frames of copies differ by less

Matrix = NDArray[np.float32]

_ACROSS = np.arange(SIDE) - (SIDE - 1) / 2
_MIDDLE = np.hypot(_ACROSS[:, None], _ACROSS) < _REACH
_WHOLE = np.pad(np.ones((SIDE - 2 * _MARGIN, SIDE - 2 * _MARGIN), np.uint8), _MARGIN)


def rough_alignment(one: Field, other: Field, orientation: int) -> tuple[float, Matrix]:
    """Align small images: cheap, and enough to tell which pairs are worth the comparison in full.

    Args:
        one: float32 (side, side), the detail of a small image; it is turned by ``orientation`` and then aligned.
        other: the same of another image.
        orientation: see ``oriented``.

    Returns:
        their correlation once aligned, at most 1, and the affine matrix (2, 3) in pixels of the standard frame.
    """
    start = np.eye(2, 3, dtype=np.float32)
    correlation, matrix = _aligned(np.asarray(oriented(one, orientation), np.float32), other, start)
    return correlation, _enlarged(matrix, SIDE / len(one))


def agreement(one: Picture, other: Picture, orientation: int, start: Matrix, *, noisy: bool = False) -> float:
    """How well two images agree where they agree least, once aligned: at most 1, about 0 for unrelated detail.

    Args:
        one: uint8 (SIDE, SIDE), an image in the standard frame; it is turned by ``orientation`` and then aligned.
        other: the same of another image.
        orientation: see ``oriented``.
        start: the alignment to begin with, from ``rough_alignment``.
        noisy: judge by softer detail, since noise hides the finest; what is told is brought to the same scale.
    """
    turned = np.asarray(oriented(one, orientation), np.uint8)
    _, matrix = _aligned(_half_detail(turned), _half_detail(other), _enlarged(start, _HALF / SIDE))
    matrix = _enlarged(matrix, SIDE / _HALF)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(turned.astype(np.float32), matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpAffine(_WHOLE, matrix, (SIDE, SIDE), flags=flags) > 0
    judge = _soft_agreement if noisy else _fine_agreement
    return judge(np.asarray(laid, np.float32), other.astype(np.float32), covered & _MIDDLE)


def _half_detail(image: Picture) -> Field:
    half = cv2.resize(image, (_HALF, _HALF), interpolation=cv2.INTER_AREA)
    return detail(np.asarray(half, np.uint8), _COARSE)


def _aligned(one: Field, other: Field, start: Matrix) -> tuple[float, Matrix]:
    """Correlation and matrix, by the enhanced correlation coefficient (Evangelidis and Psarakis, 2008)."""
    begun = start.copy()  # since it is written to
    try:
        correlation, matrix = cv2.findTransformECC(other, one, begun, cv2.MOTION_AFFINE, _STOP, None, _SMOOTHING)
    except cv2.error:  # it says so where it finds no alignment at all
        return 0.0, start
    if not 1 / _GROWTH < float(np.linalg.det(matrix[:, :2])) < _GROWTH:  # it ran away to a featureless corner
        return 0.0, start
    return float(correlation), np.asarray(matrix, np.float32)


def _enlarged(matrix: Matrix, scale: float) -> Matrix:
    """The same alignment for images ``scale`` times as large, whose pixels' middles lie at halves."""
    linear, shift = matrix[:, :2], matrix[:, 2]
    middle = 0.5 / scale - 0.5  # where the large image's first pixel lies in the small one
    return np.column_stack([linear, scale * (linear @ np.full(2, middle) + shift + 0.5) - 0.5]).astype(np.float32)


def _fine_agreement(one: Field, other: Field, compared: NDArray[np.bool_]) -> float:
    """A low percentile of the correlation of fine detail in small neighbourhoods."""
    a, b = (field - cv2.GaussianBlur(field, (0, 0), _FINE) for field in (one, other))
    both, of_a, of_b = _products(a, b, _WINDOW)
    textured = compared & (np.minimum(of_a, of_b) > _TEXTURE**2)
    if textured.mean() < _LEAST_SHARE:
        return 0.0
    return float(np.percentile(both[textured] / np.sqrt(of_a[textured] * of_b[textured] + 4), _WORST))


def _soft_agreement(one: Field, other: Field, compared: NDArray[np.bool_]) -> float:
    """The same of softer detail, wherever the images are compared: noise is texture everywhere."""
    if compared.mean() < _LEAST_SHARE:
        return 0.0
    finest, coarsest = _SOFT
    a, b = (cv2.GaussianBlur(f, (0, 0), finest) - cv2.GaussianBlur(f, (0, 0), coarsest) for f in (one, other))
    both, of_a, of_b = _products(a, b, _SOFT_WINDOW)
    correlation = both[compared] / np.sqrt(of_a[compared] * of_b[compared] + 0.5)
    return 1 - _SOFT_SCALE * (1 - float(np.percentile(correlation, _SOFT_WORST)))


def _products(a: Field, b: Field, window: float) -> tuple[Field, Field, Field]:
    """Local means of ``a * b``, ``a * a`` and ``b * b``."""
    both, of_a, of_b = (cv2.GaussianBlur(product, (0, 0), window) for product in (a * b, a * a, b * b))
    return both, of_a, of_b
