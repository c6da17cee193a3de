"""Defect models: each casting or machining defect as a change of the height, albedo and coverage maps."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from clearcast.disks.canvas import Canvas, Field, blur, fractal, ramp
from clearcast.disks.lines import bowed, branches, draw
from clearcast.disks.part import Defect, DefectKind, Part, Side
from clearcast.disks.surface import Surface


def carve(target: Surface, part: Part, grid: Canvas) -> None:
    """Add a part's defects to its surface maps in place."""
    for defect in part.defects:
        reach = defect.size * 0.75 + 30  # clusters of pinholes and the teeth of a burr extend beyond the size
        rows, columns = grid.near(defect.radius, defect.angle, reach)
        _DEFECT_MODELS[defect.kind](target.window(rows, columns), _Local(defect, part, grid.window(rows, columns)))


class _Local:
    """Local coordinates of a defect in a window: ``out`` points away from the part's centre, ``along`` its circle."""

    def __init__(self, defect: Defect, part: Part, grid: Canvas) -> None:
        cos, sin = np.float32(np.cos(defect.angle)), np.float32(np.sin(defect.angle))
        self.defect, self.part, self.scale = defect, part, grid.scale
        self.out: Field = grid.x * cos + grid.y * sin - np.float32(defect.radius)
        self.along: Field = grid.y * cos - grid.x * sin
        self.radius: Field = grid.radius
        self.rng: Generator = np.random.default_rng(defect.seed)

    @property
    def pixel(self) -> float:
        """Width of a pixel in units."""
        return 1 / self.scale

    @property
    def distance_past_edge(self) -> Field:
        """Signed distance from the edge into free air, negative in the metal."""
        past = self.radius - np.float32(self.defect.radius)
        return past if self.defect.side is Side.OUTSIDE else -past

    def rough(self, cells: int, octaves: int) -> Field:
        """Fractal noise over the window; zero mean, about unit variance."""
        return fractal(self.rng, self.out.shape, cells, octaves)


def _blowhole(target: Surface, local: _Local) -> None:
    """Gas pore that is cut open: a smooth rounded cavity with a dark floor and one bright wall."""
    size, rng = local.defect.size, local.rng
    turn, aspect = rng.uniform(0, np.pi), rng.uniform(1.0, 1.5)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    major, minor = local.out * cos + local.along * sin, local.along * cos - local.out * sin
    bearing = np.arctan2(minor, major)
    wobble = 1 + 0.08 * np.sin(2 * bearing + rng.uniform(0, 6)) + 0.06 * np.sin(3 * bearing + rng.uniform(0, 6))
    distance = np.hypot(major / np.float32(aspect**0.5), minor * np.float32(aspect**0.5)) / wobble
    _hollow(target, np.asarray(distance, np.float32), size / 2, local.pixel, depth=1.0, floor=0.1, wall=0.75)


def _pinhole(target: Surface, local: _Local) -> None:
    """One tiny round gas pore, or a loose cluster of them."""
    size, rng = local.defect.size, local.rng
    count = int(rng.choice((1, 3, 5, 8), p=(0.5, 0.2, 0.2, 0.1)))
    places = np.vstack([np.zeros((1, 2)), rng.normal(0, 2.2 * size, (count - 1, 2))])
    for out, along in np.clip(places, -26, 26):
        distance = np.hypot(local.out - np.float32(out), local.along - np.float32(along))
        _hollow(target, distance, size / 2 * rng.uniform(0.9, 1.1), local.pixel, depth=1.4, floor=0.05, wall=0.08)


def _hollow(
    target: Surface, distance: Field, radius: float, pixel: float, *, depth: float, floor: float, wall: float
) -> None:
    """Round cavity: ``depth`` in radii, albedo from ``floor`` in the middle to ``wall`` at its rim."""
    bowl = np.sqrt(np.clip(1 - (distance / np.float32(radius)) ** 2, 0, 1))
    target.height -= np.float32(depth * radius) * bowl * target.cover
    inside = ramp(np.float32(radius) - distance, max(1.0, pixel)) * target.cover
    grey = np.float32(wall) + np.float32(floor - wall) * bowl
    target.blend(inside, height=target.height, albedo=grey, turned=0, cover=1)


def _chipped_edge(target: Surface, local: _Local) -> None:
    """Missing piece of the edge: air where it is broken through, a rough fracture surface around it."""
    size = local.defect.size
    ragged = local.rough(5, 4)
    chip_distance = np.hypot(local.out * np.float32(local.rng.uniform(1.0, 1.7)), local.along)
    inside = np.float32(size / 2) * (1 + np.float32(0.22) * ragged) - chip_distance
    metal = ramp(inside, 1.2) * ramp(-local.distance_past_edge, 1.2) * target.cover
    facets = local.rough(12, 3)
    depth = np.minimum(inside * np.float32(0.8), 9) + np.float32(1.1) * np.abs(facets)
    grey = np.clip(0.30 + 0.16 * facets, 0.05, 0.75)
    target.blend(metal, height=target.height - np.maximum(depth, 0), albedo=grey, turned=0, cover=1)
    air = ramp(inside - np.float32(size * 0.17), 1.2) * ramp(local.distance_past_edge + np.float32(size * 0.12), 1.5)
    if local.defect.side is Side.OUTSIDE:
        target.blend(air, height=-local.part.thickness, albedo=0.1, turned=0, cover=0)
    else:
        target.blend(air * metal, height=-12.0, albedo=0.08, turned=0, cover=1)


def _burr(target: Surface, local: _Local) -> None:
    """Thin ragged flash of metal beyond the edge, bright and dark as it curls."""
    half = local.defect.size / 2
    bearing = np.arctan2(local.along, np.float32(local.defect.radius) + local.out)
    position = bearing * np.float32(local.defect.radius / half)
    teeth = 2 * int(max(6, local.defect.size / 3))
    ragged = np.interp(position, np.linspace(-1, 1, teeth), np.abs(local.rng.normal(0.35, 0.4, teeth)))
    widest = min(11.0, 3.5 + local.defect.size / 9)
    width = (1.3 + widest * ragged) * np.sqrt(np.clip(1 - position**2, 0, 1)) * (1 + 0.25 * local.rough(24, 2))
    flash = ramp(np.asarray(width, np.float32) - np.abs(local.distance_past_edge - np.float32(0.3)), 1.1)
    flash *= ramp(local.distance_past_edge + np.float32(1.2), 1.2) * (np.abs(position) < 1)
    curl = local.rough(18, 3)
    grey = np.clip(0.34 + 0.30 * curl, 0.04, 0.95)
    target.blend(flash, height=-2 + np.float32(1.5) * curl, albedo=grey, turned=0, cover=1)


def _scratch(target: Surface, local: _Local) -> None:
    """Straight or curved groove with tapered ends, dark or with bright flanks; it interrupts the turned finish."""
    rng, size = local.rng, local.defect.size
    width = float(rng.choice((0.9, 1.3, 2.0), p=(0.4, 0.4, 0.2)))
    stroke = draw(*bowed(rng, size, width), local.out, local.along, local.scale)
    stroke = stroke * (target.turned > 0.05)
    target.height -= np.float32(1.3 * width) * blur(stroke, 0.6)
    if rng.random() < 0.5:  # raised flanks shine on both sides of the dark groove
        flanks = blur(stroke, 0.9) * target.cover
        target.blend(flanks, height=target.height, albedo=0.08, turned=0, cover=1)
        target.blend(stroke, height=target.height, albedo=1.2, turned=0, cover=1)
    else:
        target.blend(stroke, height=target.height, albedo=0.12, turned=0, cover=1)


def _crack(target: Surface, local: _Local) -> None:
    """Thin dark jagged line that branches and tapers."""
    paths, widths = branches(local.rng, local.defect.size)
    stroke = draw(paths, widths, local.out, local.along, local.scale) * (target.turned > 0.05)
    target.height -= np.float32(3) * stroke
    target.blend(stroke, height=target.height, albedo=0.04, turned=0, cover=1)


def _shrinkage(target: Surface, local: _Local) -> None:
    """Shrinkage porosity: a spongy patch of irregular dark pores between dendrites."""
    half = local.defect.size / 2
    cells = max(4, round(local.out.shape[0] / (local.scale * 9)))
    outline = 1 - np.asarray(np.hypot(local.out, local.along), np.float32) / np.float32(half)
    outline += np.float32(0.22) * local.rough(cells, 2)
    sponge = local.rough(cells * 3, 3) + np.float32(1.5) * np.minimum(outline, 0.7) - np.float32(0.7)
    patch = ramp(outline, 0.7) * target.cover * (1 + np.float32(0.25) * local.rough(cells * 6, 2))
    pores = ramp(sponge, 0.35) * ramp(outline + np.float32(0.1), 0.1) * target.cover
    target.height -= np.float32(2.5) * pores + np.float32(0.6) * patch
    target.albedo *= 1 - np.float32(0.2) * patch
    target.turned *= 1 - np.float32(0.6) * patch
    target.blend(pores, height=target.height, albedo=0.06, turned=0, cover=1)


_DEFECT_MODELS: dict[DefectKind, Callable[[Surface, _Local], None]] = {
    DefectKind.BLOWHOLE: _blowhole,
    DefectKind.PINHOLE: _pinhole,
    DefectKind.CHIPPED_EDGE: _chipped_edge,
    DefectKind.BURR: _burr,
    DefectKind.SCRATCH: _scratch,
    DefectKind.CRACK: _crack,
    DefectKind.SHRINKAGE: _shrinkage,
}
