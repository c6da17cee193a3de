"""How a picture looks, in two numbers that drift when a camera, its light or its focus do."""

import cv2
import numpy as np

from clearcast.imaging import Picture


def brightness(picture: Picture) -> float:
    """The mean grey level of a picture as it came, 0..255; uint8 (height, width) or (height, width, 3) in RGB order."""
    return float(cv2.mean(_grey(picture))[0])


def sharpness(restored: Picture) -> float:
    """The variance of the Laplacian of a restored picture, in squared grey levels (Pech-Pacheco et al. 2000).

    Of the restored one, since noise would hide a loss of focus. uint8 (height, width) or (height, width, 3) in RGB
    order.
    """
    _, deviation = cv2.meanStdDev(cv2.Laplacian(_grey(restored), cv2.CV_16S))
    return float(np.square(deviation).item())


def _grey(picture: Picture) -> Picture:
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
