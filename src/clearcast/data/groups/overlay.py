"""Registration of two images for display: both in the standard frame, one aligned with the other."""

import cv2
import numpy as np

from clearcast.data.groups.candidates import small_detail
from clearcast.data.groups.canonical import ORIENTATIONS, SIDE, canonical, oriented
from clearcast.data.groups.verify import rough_alignment
from clearcast.imaging import Picture


def laid_over(one: Picture, other: Picture) -> tuple[Picture, Picture]:
    """Align ``one`` with ``other``, in the best of eight orientations.

    Args:
        one: grey image, uint8 (height, width).
        other: another grey image, of any size.

    Returns:
        Both images, uint8 (SIDE, SIDE).
    """
    frames = canonical(one), canonical(other)
    small_one, small_other = map(small_detail, frames)
    found = [(*rough_alignment(small_one, small_other, each), each) for each in range(ORIENTATIONS)]
    _, matrix, orientation = max(found, key=lambda alignment: alignment[0])
    rotated = np.asarray(oriented(frames[0], orientation), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(rotated, matrix, (SIDE, SIDE), flags=flags), np.uint8), frames[1]
