"""Small copies of images, kept of every image that is read to compare it with others."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.imaging import Picture

Thumbnail = NDArray[np.uint8]

SIDE = 32  # pixels


def thumbnail(grey: Picture) -> Thumbnail:
    """A small copy squeezed to a square: uint8 (32, 32), from uint8 (height, width)."""
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
