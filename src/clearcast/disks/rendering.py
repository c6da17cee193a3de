"""From a part to its picture and the mask of what its defects changed."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.disks.canvas import Field, blur, canvas
from clearcast.disks.defects import carve
from clearcast.disks.part import Part
from clearcast.disks.shading import scene, shade
from clearcast.disks.surface import surface

NOTICEABLE = 8.0  # grey levels; a pixel that a defect changes by less is not marked

_FOCUS = 0.55  # the lens's blur, in pixels
_GRAIN = 1.1  # the sensor's noise, in grey levels


def render(part: Part, size: int = 512) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Take a part's picture and mark its defects.

    Args:
        part: what to draw; its lengths are scaled to the picture.
        size: the width and height in pixels.

    Returns:
        The picture, grey, uint8 of shape (size, size), 0..255; and the mask, uint8 of the same shape, 255 where the
        same part without its defects would differ by more than ``NOTICEABLE`` grey levels (and in gaps of a pixel
        between such pixels), else 0. The same part and size always give the same bytes.
    """
    grid = canvas(part, size)
    around, bare = scene(part, grid), surface(part, grid)
    faulty = bare.copy()
    carve(faulty, part, grid)
    exposed = _expose(shade(faulty, around, part.light, grid.scale))
    if part.defects:
        changed = np.abs(exposed - _expose(shade(bare, around, part.light, grid.scale))) > NOTICEABLE
        mask = cv2.morphologyEx(changed.astype(np.uint8) * 255, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    else:
        mask = np.zeros((size, size), np.uint8)
    grain = np.random.default_rng([part.seed, 1]).standard_normal((size, size), np.float32)
    picture = np.clip(np.rint(exposed + np.float32(_GRAIN) * grain), 0, 255).astype(np.uint8)
    return picture, np.asarray(mask, np.uint8)


def _expose(brightness: Field) -> Field:
    """Brightness to grey levels 0..255 as a camera does: blurred by the lens, highlights rolled off, shadows lifted."""
    seen = blur(brightness, _FOCUS)
    rolled = np.where(seen > 0.8, 0.8 + 0.2 * np.tanh((seen - 0.8) / 0.2), seen)
    return np.asarray(rolled * 247 + 8, np.float32)
