"""Drawing of rendered parts: pixel grid, procedural noise, and the lines of scratches and cracks."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clearcast.synth.disks.part import UNITS_PER_IMAGE, RenderedPart

PixelMap = NDArray[np.float32]
"""One value for each pixel: float32 of shape (size, size)."""

LinePath = NDArray[np.float64]
"""Points of shape (n, 2): units out from and along the circle, relative to the defect's centre."""

_SUPERSAMPLING = 4  # drawn pixels per image pixel, in each direction
_SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel


@dataclass(frozen=True)
class PixelGrid:
    """Coordinates of each pixel relative to the part's centre, in units of length and radians (0..2 pi).

    ``x``, ``y``, ``radius`` and ``angle`` are float32 of shape (size, size); ``scale`` is pixels per unit.
    """

    x: PixelMap
    y: PixelMap
    radius: PixelMap
    angle: PixelMap
    scale: float

    @property
    def size(self) -> int:
        """The image's width and height in pixels."""
        return int(self.x.shape[0])

    def near(self, radius: float, angle: float, reach: float) -> tuple[slice, slice]:
        """Find the rows and columns of the pixels within ``reach`` units of a position, in x and in y."""
        bounds = []
        for axis, middle in ((self.y[:, 0], radius * np.sin(angle)), (self.x[0], radius * np.cos(angle))):
            bounds.append(slice(*(int(bound) for bound in np.searchsorted(axis, (middle - reach, middle + reach)))))
        return bounds[0], bounds[1]

    def window(self, rows: slice, columns: slice) -> "PixelGrid":
        """Return a view of some rows and columns of the grid."""
        cut = (rows, columns)
        return PixelGrid(self.x[cut], self.y[cut], self.radius[cut], self.angle[cut], self.scale)


def make_pixel_grid(part: RenderedPart, size: int) -> PixelGrid:
    """Make the grid of an image of ``size`` x ``size`` pixels."""
    scale = size / UNITS_PER_IMAGE
    axis = ((np.arange(size) + 0.5) / scale - UNITS_PER_IMAGE / 2).astype(np.float32)
    x = np.broadcast_to((axis - np.float32(part.centre[0])) / np.float32(part.roundness), (size, size)).copy()
    y = np.broadcast_to((axis - np.float32(part.centre[1]))[:, None], (size, size)).copy()
    radius, angle = cv2.cartToPolar(x, y)
    return PixelGrid(x, y, np.asarray(radius), np.asarray(angle), scale)


def value_noise(rng: Generator, shape: tuple[int, int], cells: int) -> PixelMap:
    """Make value noise: smooth, of zero mean and about unit variance, with features about 1/cells of the image wide."""
    coarse = rng.standard_normal((cells, cells), np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def fractal_noise(rng: Generator, shape: tuple[int, int], cells: int, octaves: int) -> PixelMap:
    """Make fractal noise: octaves of value noise, each twice as fine and 0.6 times as strong; about unit variance."""
    total = np.zeros(shape, np.float32)
    weights = 0.6 ** np.arange(octaves)
    for octave, weight in enumerate(weights / np.hypot.reduce(weights)):
        total += np.float32(weight) * value_noise(rng, shape, cells * 2**octave)
    return total


def smooth_step(distance: PixelMap, width: float) -> PixelMap:
    """Compute an antialiased step: 0 below -width/2, 1 above width/2, linear between."""
    return np.asarray(np.clip(distance / width + 0.5, 0, 1), np.float32)


def gaussian_blur(values: PixelMap, sigma: float) -> PixelMap:
    """Blur by a Gaussian; ``sigma`` in pixels."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def sample_scratch(rng: Generator, length: float, width: float) -> tuple[list[LinePath], list[float]]:
    """Sample the straight or curved line of a scratch, cut into pieces, with widths that taper at both ends."""
    position = np.linspace(-0.5, 0.5, 24)
    angle, bend = rng.uniform(0, np.pi), rng.normal(0, 0.04)
    straight = np.stack([position, bend * (1 - 4 * position**2)], axis=1) * length
    cos, sin = np.cos(angle), np.sin(angle)
    arc = straight @ np.array([[cos, sin], [-sin, cos]])
    widths = width * np.sqrt(1 - (position[:-1] + position[1:]) ** 2)
    return [arc[i : i + 2] for i in range(len(arc) - 1)], widths.tolist()


def sample_crack(rng: Generator, length: float) -> tuple[list[LinePath], list[float]]:
    """Sample a jagged crack of the given length with up to three branches, cut into pieces, and each piece's width."""
    main = _sample_jagged_line(rng, np.zeros(2), rng.uniform(0, 2 * np.pi), length)
    main -= (main[0] + main[-1]) / 2
    stems = [(main, rng.uniform(1.0, 1.9))]
    for _ in range(int(rng.integers(0, 4))):
        start = int(rng.integers(1, len(main) - 1))
        heading = np.arctan2(*(main[start + 1] - main[start])[::-1]) + rng.choice((-1, 1)) * rng.uniform(0.5, 1.0)
        stems.append(
            (_sample_jagged_line(rng, main[start], heading, length * rng.uniform(0.15, 0.4)), rng.uniform(0.8, 1.1))
        )
    pieces = [
        (stem[i : i + 2], width * (1 - 0.6 * i / len(stem))) for stem, width in stems for i in range(len(stem) - 1)
    ]
    return [piece for piece, _ in pieces], [width for _, width in pieces]


def _sample_jagged_line(rng: Generator, start: LinePath, heading: float, length: float) -> LinePath:
    """Sample a random walk of short steps that zigzags around its heading."""
    count = max(4, int(length / 3.5))
    headings = heading + rng.normal(0, 0.55, count) + np.cumsum(rng.normal(0, 0.08, count))
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / count)
    return np.vstack([start, start + np.cumsum(steps, axis=0)])


def rasterize_lines(
    paths: list[LinePath], widths: list[float], out: PixelMap, along: PixelMap, scale: float
) -> PixelMap:
    """Rasterise lines: the share (0..1) of each pixel that they cover; widths in units, at least 3/4 of a pixel.

    ``out`` and ``along`` hold each pixel's coordinates and are affine in row and column; float32 as the result.
    """
    origin = np.array([out[0, 0], along[0, 0]])
    axes = np.array(
        [[out[0, 1] - out[0, 0], along[0, 1] - along[0, 0]], [out[1, 0] - out[0, 0], along[1, 0] - along[0, 0]]]
    )
    to_pixels = np.linalg.inv(axes)
    height, width = out.shape
    raster = np.zeros((height * _SUPERSAMPLING, width * _SUPERSAMPLING), np.uint8)
    for path, line_width in zip(paths, widths, strict=True):
        points = ((path - origin) @ to_pixels + 0.5) * _SUPERSAMPLING * 2**_SHIFT
        thickness = max(round(_SUPERSAMPLING * 0.75), round(line_width * scale * _SUPERSAMPLING))
        cv2.polylines(raster, [np.round(points).astype(np.int32)], False, 255, thickness, cv2.LINE_8, _SHIFT)
    return np.asarray(cv2.resize(raster, (width, height), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
