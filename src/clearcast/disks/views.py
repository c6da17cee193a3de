"""Further pictures of one part, as augmentation makes them: mirrored, stretched, shifted, brighter or darker."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clearcast.disks.part import UNITS, Part
from clearcast.disks.sampling import MARGIN

_SMALLEST, _LARGEST = 0.82, 1.15  # stretch along an axis
_LEAST = 255 // 8  # a pixel is marked if an eighth of it is: even a single marked pixel survives the smallest stretch


@dataclass(frozen=True)
class View:
    """How one picture differs from the one taken.

    First ``mirrored`` (left to right) and ``flipped`` (top to bottom), then stretched about the picture's middle along
    x and y, then shifted by units of 1/512 of its width along x and y; ``gain`` multiplies the grey levels.
    """

    mirrored: bool = False
    flipped: bool = False
    stretch: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0


def sample_view(rng: Generator, part: Part) -> View:
    """Draw a view that keeps the whole part in the picture."""
    mirrored, flipped = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    middle = (-part.centre[0] if mirrored else part.centre[0], -part.centre[1] if flipped else part.centre[1])
    reach = part.radius * max(part.roundness, 1.0) + MARGIN
    stretch = rng.uniform(_SMALLEST, min(_LARGEST, UNITS / 2 / reach), 2)
    slack = UNITS / 2 - reach * stretch
    shift = rng.uniform(-slack, slack) - stretch * middle
    return View(
        mirrored,
        flipped,
        (stretch[0].item(), stretch[1].item()),
        (shift[0].item(), shift[1].item()),
        rng.normal(1, 0.03),
    )


def look(
    picture: NDArray[np.uint8], mask: NDArray[np.uint8], view: View
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Apply a view to a picture and to its mask alike.

    Args:
        picture: grey, uint8 of shape (size, size), 0..255.
        mask: uint8 of the same shape, 0 or 255.
        view: what to do.

    Returns:
        Picture and mask of the same shapes, dtypes and ranges. What comes in from beyond repeats the picture's border.
    """
    size = picture.shape[0]
    middle = (size - 1) / 2
    factors = np.array(view.stretch) * np.where((view.mirrored, view.flipped), -1, 1)
    offsets = middle - factors * middle + np.array(view.shift) * size / UNITS
    move = np.array([[factors[0], 0, offsets[0]], [0, factors[1], offsets[1]]])
    seen = cv2.warpAffine(picture, move, (size, size), borderMode=cv2.BORDER_REPLICATE)
    marked = cv2.warpAffine(mask, move, (size, size)) > _LEAST
    return np.asarray(cv2.convertScaleAbs(seen, alpha=view.gain), np.uint8), marked.astype(np.uint8) * np.uint8(255)
