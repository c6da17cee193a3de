"""Random paths of scratches and cracks, and their antialiased rasterisation."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clearcast.disks.canvas import Field

Path = NDArray[np.float64]
"""Points of shape (n, 2): units out from and along the circle, relative to the defect's centre."""

_SUPERSAMPLING = 4  # drawn pixels per image pixel, in each direction
_SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel


def bowed(rng: Generator, length: float, width: float) -> tuple[list[Path], list[float]]:
    """Random straight or curved line of a scratch, cut into pieces, with widths that taper at both ends."""
    position = np.linspace(-0.5, 0.5, 24)
    turn, bow = rng.uniform(0, np.pi), rng.normal(0, 0.04)
    straight = np.stack([position, bow * (1 - 4 * position**2)], axis=1) * length
    cos, sin = np.cos(turn), np.sin(turn)
    arc = straight @ np.array([[cos, sin], [-sin, cos]])
    widths = width * np.sqrt(1 - (position[:-1] + position[1:]) ** 2)
    return [arc[i : i + 2] for i in range(len(arc) - 1)], widths.tolist()


def branches(rng: Generator, length: float) -> tuple[list[Path], list[float]]:
    """Random jagged crack of the given length with up to three branches, cut into pieces, and each piece's width."""
    main = _jagged(rng, np.zeros(2), rng.uniform(0, 2 * np.pi), length)
    main -= (main[0] + main[-1]) / 2
    stems = [(main, rng.uniform(1.0, 1.9))]
    for _ in range(int(rng.integers(0, 4))):
        start = int(rng.integers(1, len(main) - 1))
        heading = np.arctan2(*(main[start + 1] - main[start])[::-1]) + rng.choice((-1, 1)) * rng.uniform(0.5, 1.0)
        stems.append((_jagged(rng, main[start], heading, length * rng.uniform(0.15, 0.4)), rng.uniform(0.8, 1.1)))
    pieces = [
        (stem[i : i + 2], width * (1 - 0.6 * i / len(stem))) for stem, width in stems for i in range(len(stem) - 1)
    ]
    return [piece for piece, _ in pieces], [width for _, width in pieces]


def _jagged(rng: Generator, start: Path, heading: float, length: float) -> Path:
    """Random walk of short steps that zigzags around its heading."""
    count = max(4, int(length / 3.5))
    headings = heading + rng.normal(0, 0.55, count) + np.cumsum(rng.normal(0, 0.08, count))
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / count)
    return np.vstack([start, start + np.cumsum(steps, axis=0)])


def draw(paths: list[Path], widths: list[float], out: Field, along: Field, scale: float) -> Field:
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
