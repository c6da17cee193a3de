"""Image statistics for drift monitoring: brightness and sharpness change with camera, light and focus."""

import cv2
import numpy as np

from clearcast.imaging import Picture


def brightness(image: Picture) -> float:
    """Return the mean grey level, 0..255, of a noisy image, uint8 (height, width) or RGB (height, width, 3)."""
    return float(cv2.mean(_grey(image))[0])


def sharpness(denoised: Picture) -> float:
    """Return the variance of the Laplacian of a denoised image, in squared grey levels (Pech-Pacheco et al. 2000).

    The image is uint8 (height, width) or (height, width, 3) in RGB order; it is denoised because noise would hide a
    loss of focus.
    """
    _, deviation = cv2.meanStdDev(cv2.Laplacian(_grey(denoised), cv2.CV_16S))
    return float(np.square(deviation).item())


def _grey(image: Picture) -> Picture:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
