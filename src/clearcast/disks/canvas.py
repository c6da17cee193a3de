"""Pixel grid of a rendered part, and procedural textures: value noise and fractal noise."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clearcast.disks.part import UNITS, Part

Field = NDArray[np.float32]
"""One value for each pixel: float32 of shape (size, size)."""


@dataclass(frozen=True)
class Canvas:
    """Coordinates of each pixel relative to the part's centre, in units of length and radians (0..2 pi).

    ``x``, ``y``, ``radius`` and ``angle`` are float32 of shape (size, size); ``scale`` is pixels per unit.
    """

    x: Field
    y: Field
    radius: Field
    angle: Field
    scale: float

    @property
    def size(self) -> int:
        """The image's width and height in pixels."""
        return int(self.x.shape[0])

    def near(self, radius: float, angle: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns of the pixels within ``reach`` units of a position, in x and in y."""
        bounds = []
        for axis, middle in ((self.y[:, 0], radius * np.sin(angle)), (self.x[0], radius * np.cos(angle))):
            bounds.append(slice(*(int(bound) for bound in np.searchsorted(axis, (middle - reach, middle + reach)))))
        return bounds[0], bounds[1]

    def window(self, rows: slice, columns: slice) -> "Canvas":
        """A view of some rows and columns of the grid."""
        cut = (rows, columns)
        return Canvas(self.x[cut], self.y[cut], self.radius[cut], self.angle[cut], self.scale)


def canvas(part: Part, size: int) -> Canvas:
    """Make the grid of an image of ``size`` x ``size`` pixels."""
    scale = size / UNITS
    axis = ((np.arange(size) + 0.5) / scale - UNITS / 2).astype(np.float32)
    x = np.broadcast_to((axis - np.float32(part.centre[0])) / np.float32(part.roundness), (size, size)).copy()
    y = np.broadcast_to((axis - np.float32(part.centre[1]))[:, None], (size, size)).copy()
    radius, angle = cv2.cartToPolar(x, y)
    return Canvas(x, y, np.asarray(radius), np.asarray(angle), scale)


def cloud(rng: Generator, shape: tuple[int, int], cells: int) -> Field:
    """Value noise: smooth, of zero mean and about unit variance, with features about 1/cells of the image wide."""
    coarse = rng.standard_normal((cells, cells), np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def fractal(rng: Generator, shape: tuple[int, int], cells: int, octaves: int) -> Field:
    """Fractal noise: octaves of value noise, each twice as fine and 0.6 times as strong; about unit variance."""
    total = np.zeros(shape, np.float32)
    weights = 0.6 ** np.arange(octaves)
    for octave, weight in enumerate(weights / np.hypot.reduce(weights)):
        total += np.float32(weight) * cloud(rng, shape, cells * 2**octave)
    return total


def ramp(distance: Field, width: float) -> Field:
    """Antialiased step: 0 below -width/2, 1 above width/2, linear between."""
    return np.asarray(np.clip(distance / width + 0.5, 0, 1), np.float32)


def blur(values: Field, sigma: float) -> Field:
    """Gaussian blur; ``sigma`` in pixels."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
