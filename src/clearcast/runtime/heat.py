"""Heat maps: the evidence of a defect, drawn over the image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.imaging import Picture

_FAINT, _SURE = 1.0, 4.0  # log-odds above the image's mean at which the colour begins, and is full
_OPAQUE = 0.6  # opacity of the full colour
_BAND = 256  # rows coloured at a time, so that large images need little memory


def heat_map(evidence: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return the evidence relative to its mean, scaled to 0..1 and resized: float32 (height, width).

    Args:
        evidence: float32 (h, w), log-odds of defect by place.
        height, width: of the image in pixels.
    """
    over = np.clip((evidence - evidence.mean() - _FAINT) / (_SURE - _FAINT), 0, 1)
    return np.asarray(cv2.resize(over, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def draw_heat(image: Picture, evidence: NDArray[np.float32]) -> Picture:
    """Return the image in grey with the heat map in red to yellow: uint8 (height, width, 3) in RGB order.

    Args:
        image: uint8 (height, width) or (height, width, 3).
        evidence: float32 (h, w), log-odds of defect by place.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    heat = heat_map(evidence, *grey.shape[:2])
    drawn = np.empty((*grey.shape, 3), np.uint8)
    for top in range(0, grey.shape[0], _BAND):
        rows = slice(top, top + _BAND)
        drawn[rows] = _blend(grey[rows], heat[rows])
    return drawn


def _blend(grey: Picture, heat: NDArray[np.float32]) -> NDArray[np.float32]:
    colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_AUTUMN)[..., ::-1]  # OpenCV's are BGR
    share = _OPAQUE * heat[..., None]
    return np.asarray(np.rint((1 - share) * grey[..., None] + share * colours), np.float32)
