"""Rendering of a part: its image, and the mask of the pixels that its defects change."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.disks.canvas import Field, blur, canvas
from clearcast.disks.defects import carve
from clearcast.disks.part import Part
from clearcast.disks.shading import scene, shade
from clearcast.disks.surface import surface

NOTICEABLE = 8.0  # grey levels; pixels that a defect changes by less are not marked

_LENS_BLUR = 0.55  # standard deviation in pixels
_SENSOR_NOISE = 1.1  # standard deviation in grey levels


def render(part: Part, size: int = 512) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Render a part's image and the mask of its defects.

    Args:
        part: its lengths are scaled to the image.
        size: the width and height in pixels.

    Returns:
        The grey image, uint8 of shape (size, size), 0..255; and the mask, uint8 of the same shape, 255 where the same
        part without its defects would differ by more than ``NOTICEABLE`` grey levels (and in gaps of a pixel between
        such pixels), else 0. The same part and size always give the same bytes.
    """
    grid = canvas(part, size)
    textures, flawless = scene(part, grid), surface(part, grid)
    defective = flawless.copy()
    carve(defective, part, grid)
    exposed = _expose(shade(defective, textures, part.light, grid.scale))
    if part.defects:
        changed = np.abs(exposed - _expose(shade(flawless, textures, part.light, grid.scale))) > NOTICEABLE
        mask = cv2.morphologyEx(changed.astype(np.uint8) * 255, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    else:
        mask = np.zeros((size, size), np.uint8)
    noise = np.random.default_rng([part.seed, 1]).standard_normal((size, size), np.float32)
    image = np.clip(np.rint(exposed + np.float32(_SENSOR_NOISE) * noise), 0, 255).astype(np.uint8)
    return image, np.asarray(mask, np.uint8)


def _expose(brightness: Field) -> Field:
    """Camera model: lens blur, tone curve with compressed highlights and lifted shadows; grey levels 0..255."""
    blurred = blur(brightness, _LENS_BLUR)
    rolled = np.where(blurred > 0.8, 0.8 + 0.2 * np.tanh((blurred - 0.8) / 0.2), blurred)
    return np.asarray(rolled * 247 + 8, np.float32)
