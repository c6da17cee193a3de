"""Surface of a part as maps (height, albedo, turned finish, coverage), and models of the defects on it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clearcast.synth.disks.drawing import (
    PixelGrid,
    PixelMap,
    fractal_noise,
    gaussian_blur,
    rasterize_lines,
    sample_crack,
    sample_scratch,
    smooth_step,
)
from clearcast.synth.disks.part import (
    UNITS_PER_IMAGE,
    DefectKind,
    EdgeSide,
    Hole,
    RenderedDefect,
    RenderedPart,
    RingZone,
    Slot,
    Vanes,
)

_STEPS = 8  # entries of a radial table per unit of length
_BEVEL = 1.8  # units: width of the bevel of turned edges
_SPREAD = 1.5  # pixels over which radial tables are averaged if pixels are larger than a unit


@dataclass
class SurfaceMaps:
    """Height, albedo, finish and coverage maps, float32 of shape (size, size); defects modify them.

    ``height`` in units above the upper face, ``albedo`` 0..1, ``turned`` the strength (0..1) of the fine
    concentric grooves of turning, ``cover`` the share (0..1) of the pixel that the part covers.
    """

    height: PixelMap
    albedo: PixelMap
    turned: PixelMap
    cover: PixelMap

    def window(self, rows: slice, columns: slice) -> "SurfaceMaps":
        """Return a view of some rows and columns; writing to it changes this surface."""
        cut = (rows, columns)
        return SurfaceMaps(self.height[cut], self.albedo[cut], self.turned[cut], self.cover[cut])

    def blend(
        self, share: PixelMap, *, height: PixelMap | float, albedo: PixelMap | float, turned: float, cover: float
    ) -> None:
        """Blend the given values into each map with the weight ``share`` (0..1), in place."""
        self.height += share * (height - self.height)
        self.albedo += share * (albedo - self.albedo)
        self.turned += share * (turned - self.turned)
        self.cover += share * (cover - self.cover)

    def copy(self) -> "SurfaceMaps":
        """Copy all maps."""
        return SurfaceMaps(self.height.copy(), self.albedo.copy(), self.turned.copy(), self.cover.copy())


def build_surface(part: RenderedPart, grid: PixelGrid) -> SurfaceMaps:
    """Build the surface of a part without defects: the rings over the deeper zones, then vanes, slots and holes."""
    top = _build_rings(part.top, grid.radius, part.thickness, grid.scale)
    lower = np.hypot(grid.x - np.float32(part.parallax[0]), grid.y - np.float32(part.parallax[1]))
    surface = _build_rings(part.deep, lower, part.thickness, grid.scale)
    surface.height += (surface.cover - 1) * (surface.height + part.thickness)  # only background beyond the part
    if part.vanes is not None:
        _add_vanes(surface, part.vanes, grid)
    surface.blend(top.cover, height=top.height, albedo=top.albedo, turned=0, cover=1)
    surface.turned += top.cover * top.turned
    for slot in part.slots:
        reach = (slot.outer - slot.inner) / 2 + abs(slot.sweep) * slot.outer / 2 + slot.width
        window = grid.near((slot.inner + slot.outer) / 2, slot.angle + slot.sweep / 2, reach)
        _cut_slot(surface.window(*window), slot, grid.window(*window))
    for hole in part.holes:
        window = grid.near(hole.radius, hole.angle, hole.bore + 4)
        _cut_hole(surface.window(*window), hole, grid.window(*window), part.thickness)
    return surface


def _build_rings(zones: tuple[RingZone, ...], radius: PixelMap, thickness: float, scale: float) -> SurfaceMaps:
    """Look up the zones by radius; between zones, the values are those of the nearest zone and ``cover`` is 0.

    In an image of fewer than ``UNITS_PER_IMAGE`` pixels, gaps narrower than a pixel would alias and make circles look
    dashed; the tables are therefore averaged over a pixel's neighbourhood first.
    """
    steps = np.arange(0, UNITS_PER_IMAGE * _STEPS) / _STEPS
    gaps = np.array([np.maximum(zone.inner - steps, steps - zone.outer) for zone in zones])
    nearest = gaps.argmin(axis=0)
    values = np.array([(zone.height, zone.albedo, zone.turned) for zone in zones])[nearest]
    height, albedo, turned = values.T
    cover = smooth_step(np.asarray(0.5 - gaps.min(axis=0), np.float32), 1.0)
    entry = (radius * _STEPS).astype(np.int32)
    # a bevelled edge falls off towards the gap, which makes rims bright
    falling = _smooth(np.where(gaps.min(axis=0) <= 0, height, np.maximum(height - 3, -thickness)), _BEVEL)
    tables = (falling, _smooth(albedo, 1.0), _smooth(turned, 1.0), cover.astype(np.float64))
    spread = _SPREAD / scale if scale < 1 else 0.0
    return SurfaceMaps(*(np.take(_smooth(table, spread).astype(np.float32), entry) for table in tables))


def _smooth(table: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Average over ``width`` units; the table itself if that is less than an entry."""
    count = int(width * _STEPS) | 1
    padded = np.pad(table, count // 2, mode="edge")
    return np.convolve(padded, np.ones(count) / count, mode="valid")


def _add_vanes(deep: SurfaceMaps, vanes: Vanes, grid: PixelGrid) -> None:
    """Add blades that rise slowly on one side, fall off sharply on the other and fade at both ends."""
    turn = grid.angle - np.float32(vanes.twist) * np.log(np.maximum(grid.radius, 1) / np.float32(vanes.inner))
    phase = np.mod((turn + np.float32(vanes.phase)) * np.float32(vanes.count / (2 * np.pi)), 1)
    position = (grid.radius - np.float32(vanes.inner)) / np.float32(vanes.outer - vanes.inner)
    inside = np.clip(4 * position * (1.05 - position), 0, 1) * (position > 0)
    blade = inside * np.clip(phase / 0.55, 0, 1) ** 3 * smooth_step(np.float32(0.6) - phase, 0.08)
    deep.height += np.float32(vanes.height) * blade
    deep.albedo += np.float32(0.14) * blade * blade


def _cut_slot(target: SurfaceMaps, slot: Slot, grid: PixelGrid) -> None:
    """Cut a milled groove."""
    position = np.clip((grid.radius - np.float32(slot.inner)) / np.float32(slot.outer - slot.inner), 0, 1)
    middle = np.float32(slot.angle) + np.float32(slot.sweep) * position
    aside = np.abs(np.mod(grid.angle - middle + np.pi, 2 * np.pi) - np.pi) * grid.radius
    beyond = np.maximum(np.float32(slot.inner) - grid.radius, grid.radius - np.float32(slot.outer))
    distance = np.hypot(aside, np.maximum(beyond, 0))
    target.blend(smooth_step(np.float32(slot.width / 2) - distance, 1.5), height=-5.0, albedo=0.14, turned=0, cover=1)


def _cut_hole(target: SurfaceMaps, hole: Hole, grid: PixelGrid, thickness: float) -> None:
    """Cut a countersunk through hole: a bright bevel around a wall, and the background below."""
    x, y = hole.radius * np.cos(hole.angle), hole.radius * np.sin(hole.angle)
    distance = np.float32(hole.bore) - np.hypot(grid.x - np.float32(x), grid.y - np.float32(y))
    bevel = smooth_step(distance + np.float32(1.5), 1.5)
    target.blend(bevel, height=-1.5, albedo=0.5, turned=0, cover=1)
    target.blend(smooth_step(distance, 1.2), height=-thickness * 0.7, albedo=0.12, turned=0, cover=1)
    target.blend(smooth_step(distance - np.float32(1.5), 1.2), height=-thickness, albedo=0.1, turned=0, cover=0)


def add_rendered_defects(target: SurfaceMaps, part: RenderedPart, grid: PixelGrid) -> None:
    """Add a part's defects to its surface maps in place."""
    for defect in part.defects:
        reach = defect.size * 0.75 + 30  # clusters of pinholes and the teeth of a burr extend beyond the size
        rows, columns = grid.near(defect.radius, defect.angle, reach)
        _DEFECT_MODELS[defect.kind](
            target.window(rows, columns), _LocalCoordinates(defect, part, grid.window(rows, columns))
        )


class _LocalCoordinates:
    """Local coordinates of a defect in a window: ``out`` points away from the part's centre, ``along`` its circle."""

    def __init__(self, defect: RenderedDefect, part: RenderedPart, grid: PixelGrid) -> None:
        cos, sin = np.float32(np.cos(defect.angle)), np.float32(np.sin(defect.angle))
        self.defect, self.part, self.scale = defect, part, grid.scale
        self.out: PixelMap = grid.x * cos + grid.y * sin - np.float32(defect.radius)
        self.along: PixelMap = grid.y * cos - grid.x * sin
        self.radius: PixelMap = grid.radius
        self.rng: Generator = np.random.default_rng(defect.seed)

    @property
    def pixel(self) -> float:
        """Width of a pixel in units."""
        return 1 / self.scale

    @property
    def distance_past_edge(self) -> PixelMap:
        """Signed distance from the edge into free air, negative in the metal."""
        past = self.radius - np.float32(self.defect.radius)
        return past if self.defect.side is EdgeSide.OUTSIDE else -past

    def rough(self, cells: int, octaves: int) -> PixelMap:
        """Make fractal noise over the window; zero mean, about unit variance."""
        return fractal_noise(self.rng, self.out.shape, cells, octaves)


def _add_blowhole(target: SurfaceMaps, local: _LocalCoordinates) -> None:
    """Add a gas pore that is cut open: a smooth rounded cavity with a dark floor and one bright wall."""
    size, rng = local.defect.size, local.rng
    turn, aspect = rng.uniform(0, np.pi), rng.uniform(1.0, 1.5)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    major, minor = local.out * cos + local.along * sin, local.along * cos - local.out * sin
    bearing = np.arctan2(minor, major)
    wobble = 1 + 0.08 * np.sin(2 * bearing + rng.uniform(0, 6)) + 0.06 * np.sin(3 * bearing + rng.uniform(0, 6))
    distance = np.hypot(major / np.float32(aspect**0.5), minor * np.float32(aspect**0.5)) / wobble
    _cut_cavity(target, np.asarray(distance, np.float32), size / 2, local.pixel, depth=1.0, floor=0.1, wall=0.75)


def _add_pinhole(target: SurfaceMaps, local: _LocalCoordinates) -> None:
    """Add one tiny round gas pore, or a loose cluster of them."""
    size, rng = local.defect.size, local.rng
    count = int(rng.choice((1, 3, 5, 8), p=(0.5, 0.2, 0.2, 0.1)))
    places = np.vstack([np.zeros((1, 2)), rng.normal(0, 2.2 * size, (count - 1, 2))])
    for out, along in np.clip(places, -26, 26):
        distance = np.hypot(local.out - np.float32(out), local.along - np.float32(along))
        _cut_cavity(target, distance, size / 2 * rng.uniform(0.9, 1.1), local.pixel, depth=1.4, floor=0.05, wall=0.08)


def _cut_cavity(
    target: SurfaceMaps, distance: PixelMap, radius: float, pixel: float, *, depth: float, floor: float, wall: float
) -> None:
    """Cut a round cavity: ``depth`` in radii, albedo from ``floor`` in the middle to ``wall`` at its rim."""
    bowl = np.sqrt(np.clip(1 - (distance / np.float32(radius)) ** 2, 0, 1))
    target.height -= np.float32(depth * radius) * bowl * target.cover
    inside = smooth_step(np.float32(radius) - distance, max(1.0, pixel)) * target.cover
    grey = np.float32(wall) + np.float32(floor - wall) * bowl
    target.blend(inside, height=target.height, albedo=grey, turned=0, cover=1)


def _add_chipped_edge(target: SurfaceMaps, local: _LocalCoordinates) -> None:
    """Remove a piece of the edge: air where it is broken through, a rough fracture surface around it."""
    size = local.defect.size
    ragged = local.rough(5, 4)
    chip_distance = np.hypot(local.out * np.float32(local.rng.uniform(1.0, 1.7)), local.along)
    inside = np.float32(size / 2) * (1 + np.float32(0.22) * ragged) - chip_distance
    metal = smooth_step(inside, 1.2) * smooth_step(-local.distance_past_edge, 1.2) * target.cover
    facets = local.rough(12, 3)
    depth = np.minimum(inside * np.float32(0.8), 9) + np.float32(1.1) * np.abs(facets)
    grey = np.clip(0.30 + 0.16 * facets, 0.05, 0.75)
    target.blend(metal, height=target.height - np.maximum(depth, 0), albedo=grey, turned=0, cover=1)
    air = smooth_step(inside - np.float32(size * 0.17), 1.2) * smooth_step(
        local.distance_past_edge + np.float32(size * 0.12), 1.5
    )
    if local.defect.side is EdgeSide.OUTSIDE:
        target.blend(air, height=-local.part.thickness, albedo=0.1, turned=0, cover=0)
    else:
        target.blend(air * metal, height=-12.0, albedo=0.08, turned=0, cover=1)


def _add_burr(target: SurfaceMaps, local: _LocalCoordinates) -> None:
    """Add a thin ragged flash of metal beyond the edge, bright and dark as it curls."""
    half = local.defect.size / 2
    bearing = np.arctan2(local.along, np.float32(local.defect.radius) + local.out)
    position = bearing * np.float32(local.defect.radius / half)
    teeth = 2 * int(max(6, local.defect.size / 3))
    ragged = np.interp(position, np.linspace(-1, 1, teeth), np.abs(local.rng.normal(0.35, 0.4, teeth)))
    widest = min(11.0, 3.5 + local.defect.size / 9)
    width = (1.3 + widest * ragged) * np.sqrt(np.clip(1 - position**2, 0, 1)) * (1 + 0.25 * local.rough(24, 2))
    flash = smooth_step(np.asarray(width, np.float32) - np.abs(local.distance_past_edge - np.float32(0.3)), 1.1)
    flash *= smooth_step(local.distance_past_edge + np.float32(1.2), 1.2) * (np.abs(position) < 1)
    curl = local.rough(18, 3)
    grey = np.clip(0.34 + 0.30 * curl, 0.04, 0.95)
    target.blend(flash, height=-2 + np.float32(1.5) * curl, albedo=grey, turned=0, cover=1)


def _add_scratch(target: SurfaceMaps, local: _LocalCoordinates) -> None:
    """Add a straight or curved groove with tapered ends, dark or with bright flanks, on turned faces only."""
    rng, size = local.rng, local.defect.size
    width = float(rng.choice((0.9, 1.3, 2.0), p=(0.4, 0.4, 0.2)))
    stroke = rasterize_lines(*sample_scratch(rng, size, width), local.out, local.along, local.scale)
    stroke = stroke * (target.turned > 0.05)
    target.height -= np.float32(1.3 * width) * gaussian_blur(stroke, 0.6)
    if rng.random() < 0.5:  # raised flanks shine on both sides of the dark groove
        flanks = gaussian_blur(stroke, 0.9) * target.cover
        target.blend(flanks, height=target.height, albedo=0.08, turned=0, cover=1)
        target.blend(stroke, height=target.height, albedo=1.2, turned=0, cover=1)
    else:
        target.blend(stroke, height=target.height, albedo=0.12, turned=0, cover=1)


def _add_crack(target: SurfaceMaps, local: _LocalCoordinates) -> None:
    """Add a thin dark jagged line that branches and tapers."""
    paths, widths = sample_crack(local.rng, local.defect.size)
    stroke = rasterize_lines(paths, widths, local.out, local.along, local.scale) * (target.turned > 0.05)
    target.height -= np.float32(3) * stroke
    target.blend(stroke, height=target.height, albedo=0.04, turned=0, cover=1)


def _add_shrinkage(target: SurfaceMaps, local: _LocalCoordinates) -> None:
    """Add shrinkage porosity: a spongy patch of irregular dark pores between dendrites."""
    half = local.defect.size / 2
    cells = max(4, round(local.out.shape[0] / (local.scale * 9)))
    outline = 1 - np.asarray(np.hypot(local.out, local.along), np.float32) / np.float32(half)
    outline += np.float32(0.22) * local.rough(cells, 2)
    sponge = local.rough(cells * 3, 3) + np.float32(1.5) * np.minimum(outline, 0.7) - np.float32(0.7)
    patch = smooth_step(outline, 0.7) * target.cover * (1 + np.float32(0.25) * local.rough(cells * 6, 2))
    pores = smooth_step(sponge, 0.35) * smooth_step(outline + np.float32(0.1), 0.1) * target.cover
    target.height -= np.float32(2.5) * pores + np.float32(0.6) * patch
    target.albedo *= 1 - np.float32(0.2) * patch
    target.turned *= 1 - np.float32(0.6) * patch
    target.blend(pores, height=target.height, albedo=0.06, turned=0, cover=1)


_DEFECT_MODELS: dict[DefectKind, Callable[[SurfaceMaps, _LocalCoordinates], None]] = {
    DefectKind.BLOWHOLE: _add_blowhole,
    DefectKind.PINHOLE: _add_pinhole,
    DefectKind.CHIPPED_EDGE: _add_chipped_edge,
    DefectKind.BURR: _add_burr,
    DefectKind.SCRATCH: _add_scratch,
    DefectKind.CRACK: _add_crack,
    DefectKind.SHRINKAGE: _add_shrinkage,
}
