"""Lay one picture over another and tell whether they show the same part, down to its scratches and grain."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.data.groups.canonical import SIDE, Field, detail, oriented
from clearcast.imaging import Picture

_COARSE, _FINE = 8.0, 2.0  # pixels: detail to align by, detail to judge by
_WINDOW = 4.0  # pixels: standard deviation of the neighbourhood in which pictures are compared
_TEXTURE = 3.0  # grey levels: where both vary less there is nothing to compare
_WORST = 10  # percentile: nearly everywhere the pictures must agree, not only on average
_LEAST_SHARE = 0.02  # of the frame that must have something to compare
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 1e-4)


def agreement(one: Picture, other: Picture, orientation: int) -> float:
    """How well two pictures agree where they agree least, once aligned: at most 1, about 0 for unrelated detail.

    Args:
        one: uint8 (SIDE, SIDE), a picture in the standard frame; it is turned by ``orientation`` and then aligned.
        other: the same of another picture.
        orientation: see ``oriented``.
    """
    turned = np.asarray(oriented(one, orientation), np.uint8)
    try:
        start = np.eye(2, 3, dtype=np.float32)
        _, matrix = cv2.findTransformECC(
            detail(other, _COARSE), detail(turned, _COARSE), start, cv2.MOTION_AFFINE, _STOP, None, 5
        )
    except cv2.error:  # it says so where it finds no alignment at all
        return 0.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(turned.astype(np.float32), matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones((SIDE, SIDE), np.uint8), matrix, (SIDE, SIDE), flags=flags) > 0
    return _local_agreement(np.asarray(laid, np.float32), other.astype(np.float32), inside)


def _local_agreement(one: Field, other: Field, inside: NDArray[np.bool_]) -> float:
    """A low percentile of the correlation of fine detail in small neighbourhoods."""
    a, b = (field - cv2.GaussianBlur(field, (0, 0), _FINE) for field in (one, other))
    both, of_a, of_b = (cv2.GaussianBlur(product, (0, 0), _WINDOW) for product in (a * b, a * a, b * b))
    textured = inside & (np.minimum(of_a, of_b) > _TEXTURE**2)
    if textured.mean() < _LEAST_SHARE:
        return 0.0
    return float(np.percentile(both[textured] / np.sqrt(of_a[textured] * of_b[textured] + 4), _WORST))
