"""Thumbnails of images, for comparing them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.imaging import Picture

Thumbnail = NDArray[np.uint8]

SIDE = 32  # pixels


def thumbnail(grey: Picture) -> Thumbnail:
    """Return a square thumbnail, without preserving the aspect ratio: uint8 (32, 32), from uint8 (height, width)."""
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
