"""Augmented images of one part: mirrored, stretched, shifted, brighter or darker."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clearcast.disks.part import UNITS, Part
from clearcast.disks.sampling import MARGIN

_LEAST_STRETCH, _MOST_STRETCH = 0.82, 1.15  # along an axis
_MASKED = 255 // 8  # a pixel is masked from an eighth on, so that a single masked pixel survives the least stretch


@dataclass(frozen=True)
class View:
    """Parameters of one augmented image.

    First ``mirrored`` (left to right) and ``flipped`` (top to bottom), then stretched around the image's centre along
    x and y, then shifted by units of 1/512 of its width along x and y; ``gain`` multiplies the grey levels.
    """

    mirrored: bool = False
    flipped: bool = False
    stretch: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0


def sample_view(rng: Generator, part: Part) -> View:
    """Draw a view that keeps the whole part in the image."""
    mirrored, flipped = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    middle = (-part.centre[0] if mirrored else part.centre[0], -part.centre[1] if flipped else part.centre[1])
    reach = part.radius * max(part.roundness, 1.0) + MARGIN
    stretch = rng.uniform(_LEAST_STRETCH, min(_MOST_STRETCH, UNITS / 2 / reach), 2)
    slack = UNITS / 2 - reach * stretch
    shift = rng.uniform(-slack, slack) - stretch * middle
    return View(
        mirrored,
        flipped,
        (stretch[0].item(), stretch[1].item()),
        (shift[0].item(), shift[1].item()),
        rng.normal(1, 0.03),
    )


def look(image: NDArray[np.uint8], mask: NDArray[np.uint8], view: View) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Apply a view to an image and to its mask.

    Args:
        image: grey image, uint8 of shape (size, size), 0..255.
        mask: uint8 of the same shape, 0 or 255.
        view: the parameters.

    Returns:
        Image and mask of the same shapes, dtypes and ranges; the image is padded by repeating its border.
    """
    size = image.shape[0]
    middle = (size - 1) / 2
    factors = np.array(view.stretch) * np.where((view.mirrored, view.flipped), -1, 1)
    offsets = middle - factors * middle + np.array(view.shift) * size / UNITS
    move = np.array([[factors[0], 0, offsets[0]], [0, factors[1], offsets[1]]])
    moved = cv2.warpAffine(image, move, (size, size), borderMode=cv2.BORDER_REPLICATE)
    marked = cv2.warpAffine(mask, move, (size, size)) > _MASKED
    return np.asarray(cv2.convertScaleAbs(moved, alpha=view.gain), np.uint8), marked.astype(np.uint8) * np.uint8(255)
