"""Two images as they are compared: both in the standard frame, one laid over the other."""

import cv2
import numpy as np

from clearcast.data.groups.candidates import small_detail
from clearcast.data.groups.canonical import ORIENTATIONS, SIDE, canonical, oriented
from clearcast.data.groups.verify import rough_alignment
from clearcast.imaging import Picture


def laid_over(one: Picture, other: Picture) -> tuple[Picture, Picture]:
    """Turn and move ``one`` so that it lies on ``other``, as well as any of the eight orientations allows.

    Args:
        one: grey, uint8 (height, width).
        other: the same of another image, of any size.

    Returns:
        both, uint8 (SIDE, SIDE).
    """
    frames = canonical(one), canonical(other)
    small_one, small_other = map(small_detail, frames)
    found = [(*rough_alignment(small_one, small_other, way), way) for way in range(ORIENTATIONS)]
    _, matrix, orientation = max(found, key=lambda alignment: alignment[0])
    turned = np.asarray(oriented(frames[0], orientation), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(turned, matrix, (SIDE, SIDE), flags=flags), np.uint8), frames[1]
