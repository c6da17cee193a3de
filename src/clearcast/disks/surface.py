"""Surface of a part as maps: height map, albedo map, turned finish and coverage."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.disks.canvas import Canvas, Field, ramp
from clearcast.disks.part import UNITS, Hole, Part, Slot, Vanes, Zone

_STEPS = 8  # entries of a radial table per unit of length
_BEVEL = 1.8  # units: width of the bevel of turned edges
_SPREAD = 1.5  # pixels over which radial tables are averaged if pixels are larger than a unit


@dataclass
class Surface:
    """Height, albedo, finish and coverage maps, float32 of shape (size, size); defects modify them.

    ``height`` in units above the upper face, ``albedo`` 0..1, ``turned`` the strength (0..1) of the fine
    concentric grooves of turning, ``cover`` the share (0..1) of the pixel that the part covers.
    """

    height: Field
    albedo: Field
    turned: Field
    cover: Field

    def window(self, rows: slice, columns: slice) -> "Surface":
        """A view of some rows and columns; writing to it changes this surface."""
        cut = (rows, columns)
        return Surface(self.height[cut], self.albedo[cut], self.turned[cut], self.cover[cut])

    def blend(self, share: Field, *, height: Field | float, albedo: Field | float, turned: float, cover: float) -> None:
        """Blend the given values into each map with the weight ``share`` (0..1), in place."""
        self.height += share * (height - self.height)
        self.albedo += share * (albedo - self.albedo)
        self.turned += share * (turned - self.turned)
        self.cover += share * (cover - self.cover)

    def copy(self) -> "Surface":
        """A copy of all maps."""
        return Surface(self.height.copy(), self.albedo.copy(), self.turned.copy(), self.cover.copy())


def surface(part: Part, grid: Canvas) -> Surface:
    """Build the surface of a part without defects: the rings over the deeper zones, then vanes, slots and holes."""
    top = _rings(part.top, grid.radius, part.thickness, grid.scale)
    lower = np.hypot(grid.x - np.float32(part.parallax[0]), grid.y - np.float32(part.parallax[1]))
    result = _rings(part.deep, lower, part.thickness, grid.scale)
    result.height += (result.cover - 1) * (result.height + part.thickness)  # only background beyond the part
    if part.vanes is not None:
        _add_vanes(result, part.vanes, grid)
    result.blend(top.cover, height=top.height, albedo=top.albedo, turned=0, cover=1)
    result.turned += top.cover * top.turned
    for slot in part.slots:
        reach = (slot.outer - slot.inner) / 2 + abs(slot.sweep) * slot.outer / 2 + slot.width
        cut = grid.near((slot.inner + slot.outer) / 2, slot.angle + slot.sweep / 2, reach)
        _mill(result.window(*cut), slot, grid.window(*cut))
    for hole in part.holes:
        cut = grid.near(hole.radius, hole.angle, hole.bore + 4)
        _drill(result.window(*cut), hole, grid.window(*cut), part.thickness)
    return result


def _rings(zones: tuple[Zone, ...], radius: Field, thickness: float, scale: float) -> Surface:
    """Look the zones up by radius; between zones, the values are those of the nearest zone and ``cover`` is 0.

    In an image of fewer than ``UNITS`` pixels, gaps narrower than a pixel would alias and make circles look dashed;
    the tables are therefore averaged over a pixel's neighbourhood first.
    """
    steps = np.arange(0, UNITS * _STEPS) / _STEPS
    gaps = np.array([np.maximum(zone.inner - steps, steps - zone.outer) for zone in zones])
    nearest = gaps.argmin(axis=0)
    values = np.array([(zone.height, zone.albedo, zone.turned) for zone in zones])[nearest]
    height, albedo, turned = values.T
    cover = ramp(np.asarray(0.5 - gaps.min(axis=0), np.float32), 1.0)
    entry = (radius * _STEPS).astype(np.int32)
    # a bevelled edge falls off towards the gap, which makes rims bright
    falling = _smooth(np.where(gaps.min(axis=0) <= 0, height, np.maximum(height - 3, -thickness)), _BEVEL)
    tables = (falling, _smooth(albedo, 1.0), _smooth(turned, 1.0), cover.astype(np.float64))
    spread = _SPREAD / scale if scale < 1 else 0.0
    return Surface(*(np.take(_smooth(table, spread).astype(np.float32), entry) for table in tables))


def _smooth(table: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Moving average over ``width`` units; the table itself if that is less than an entry."""
    count = int(width * _STEPS) | 1
    padded = np.pad(table, count // 2, mode="edge")
    return np.convolve(padded, np.ones(count) / count, mode="valid")


def _add_vanes(deep: Surface, vanes: Vanes, grid: Canvas) -> None:
    """Add blades that rise slowly on one side, fall off sharply on the other and fade at both ends."""
    turn = grid.angle - np.float32(vanes.twist) * np.log(np.maximum(grid.radius, 1) / np.float32(vanes.inner))
    phase = np.mod((turn + np.float32(vanes.phase)) * np.float32(vanes.count / (2 * np.pi)), 1)
    position = (grid.radius - np.float32(vanes.inner)) / np.float32(vanes.outer - vanes.inner)
    inside = np.clip(4 * position * (1.05 - position), 0, 1) * (position > 0)
    blade = inside * np.clip(phase / 0.55, 0, 1) ** 3 * ramp(np.float32(0.6) - phase, 0.08)
    deep.height += np.float32(vanes.height) * blade
    deep.albedo += np.float32(0.14) * blade * blade


def _mill(target: Surface, slot: Slot, grid: Canvas) -> None:
    """Cut a milled groove."""
    position = np.clip((grid.radius - np.float32(slot.inner)) / np.float32(slot.outer - slot.inner), 0, 1)
    middle = np.float32(slot.angle) + np.float32(slot.sweep) * position
    aside = np.abs(np.mod(grid.angle - middle + np.pi, 2 * np.pi) - np.pi) * grid.radius
    beyond = np.maximum(np.float32(slot.inner) - grid.radius, grid.radius - np.float32(slot.outer))
    distance = np.hypot(aside, np.maximum(beyond, 0))
    target.blend(ramp(np.float32(slot.width / 2) - distance, 1.5), height=-5.0, albedo=0.14, turned=0, cover=1)


def _drill(target: Surface, hole: Hole, grid: Canvas, thickness: float) -> None:
    """Cut a countersunk through hole: a bright bevel around a wall, and the background below."""
    x, y = hole.radius * np.cos(hole.angle), hole.radius * np.sin(hole.angle)
    distance = np.float32(hole.bore) - np.hypot(grid.x - np.float32(x), grid.y - np.float32(y))
    bevel = ramp(distance + np.float32(1.5), 1.5)
    target.blend(bevel, height=-1.5, albedo=0.5, turned=0, cover=1)
    target.blend(ramp(distance, 1.2), height=-thickness * 0.7, albedo=0.12, turned=0, cover=1)
    target.blend(ramp(distance - np.float32(1.5), 1.2), height=-thickness, albedo=0.1, turned=0, cover=0)
