"""Random shapes of the three part families: radii, heights, holes, slots and vanes."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from clearcast.disks.part import Family, Hole, Slot, Vanes, Zone


@dataclass(frozen=True)
class Shape:
    """Geometry of a part; see ``Part`` for the fields."""

    top: tuple[Zone, ...]
    deep: tuple[Zone, ...]
    holes: tuple[Hole, ...] = ()
    slots: tuple[Slot, ...] = ()
    vanes: Vanes | None = None


def shape(family: Family, rng: Generator, radius: float, thickness: float) -> Shape:
    """Draw the shape of one part with the given outer radius and thickness."""
    match family:
        case Family.IMPELLER:
            return _impeller(rng, radius, thickness)
        case Family.FLANGE:
            return _flange(rng, radius, thickness)
        case Family.BRAKE_DISK:
            return _brake_disk(rng, radius, thickness)


def _impeller(rng: Generator, radius: float, thickness: float) -> Shape:
    """A turned flange, a stepped collar, a dark recess with vanes, and a hub around the bore."""
    bore, hub = radius * rng.uniform(0.16, 0.20), radius * rng.uniform(0.23, 0.28)
    recess, collar = radius * rng.uniform(0.48, 0.53), radius * rng.uniform(0.55, 0.60)
    groove = rng.choice((0.0, rng.uniform(2, 6)))  # some collars have a dark groove in front
    albedo = rng.uniform(0.36, 0.62)
    top = (
        Zone(bore, hub, -rng.uniform(1, 5), albedo * rng.uniform(0.9, 1.15), 0.8),
        Zone(recess, collar - groove, rng.uniform(-6, 3), albedo * rng.uniform(0.95, 1.2), 0.9),
        Zone(collar, radius, 0.0, albedo, 1.0),
    )
    floor = rng.uniform(0.03, 0.09)
    deep = (
        Zone(bore * 0.96, bore * 1.1, -thickness * 0.6, 0.3, 0.0),
        Zone(bore * 1.1, collar + 2, -thickness * 0.7, floor, 0.0),
        Zone(collar + 2, radius, -thickness * 0.5, 0.16, 0.0),
    )
    twist = rng.choice((-1, 1)) * rng.uniform(1.2, 2.2)
    vanes = Vanes(int(rng.integers(5, 9)), hub, recess, twist, rng.uniform(0, 2 * np.pi), rng.uniform(5, 9))
    return Shape(top, deep, vanes=vanes)


def _flange(rng: Generator, radius: float, thickness: float) -> Shape:
    """A bolted pipe flange: a bolt circle on the outer face, a raised sealing face, a wide bore."""
    bore, raised = radius * rng.uniform(0.26, 0.38), radius * rng.uniform(0.60, 0.66)
    albedo = rng.uniform(0.36, 0.6)
    top = (
        Zone(bore, bore + rng.uniform(3, 7), -rng.uniform(1, 3), albedo * 1.1, 0.7),
        Zone(bore + 8, raised, rng.uniform(2, 5), albedo * rng.uniform(1.0, 1.15), 1.0),
        Zone(raised + 1.5, radius, 0.0, albedo, rng.uniform(0.7, 1.0)),
    )
    holes = _bolt_circle(rng, int(rng.choice((4, 6, 8))), radius * 0.82, radius * rng.uniform(0.055, 0.085))
    return Shape(top, _walls(bore, radius, thickness), holes)


def _brake_disk(rng: Generator, radius: float, thickness: float) -> Shape:
    """A turned friction ring with slots or drillings around a dull cast hat with a bolt circle."""
    bore, hat, ring = (radius * rng.uniform(*span) for span in ((0.18, 0.24), (0.44, 0.50), (0.53, 0.57)))
    albedo = rng.uniform(0.36, 0.6)
    top = (
        Zone(bore, hat, rng.uniform(3, 7), rng.uniform(0.22, 0.36), 0.15),
        Zone(hat + 1, ring, -rng.uniform(5, 9), rng.uniform(0.10, 0.2), 0.0),
        Zone(ring + 1, radius, 0.0, albedo, 1.0),
    )
    bolts = _bolt_circle(rng, int(rng.integers(4, 7)), (bore + hat) / 2, radius * rng.uniform(0.03, 0.045))
    slotted = rng.random() < 0.6
    slots = _slot_ring(rng, ring + 12, radius - 12) if slotted else ()
    drilled = () if slotted else _bolt_circle(rng, int(rng.integers(8, 13)), (ring + radius) / 2, rng.uniform(4, 7))
    return Shape(top, _walls(bore, radius, thickness), bolts + drilled, slots)


def _walls(bore: float, radius: float, thickness: float) -> tuple[Zone, ...]:
    middle = (bore + radius) / 2
    return (
        Zone(bore * 0.95, middle, -thickness * 0.6, 0.24, 0.0),
        Zone(middle, radius, -thickness * 0.5, 0.16, 0.0),
    )


def _bolt_circle(rng: Generator, count: int, radius: float, bore: float) -> tuple[Hole, ...]:
    phase = rng.uniform(0, 2 * np.pi)
    return tuple(Hole(radius, phase + 2 * np.pi * index / count, bore) for index in range(count))


def _slot_ring(rng: Generator, inner: float, outer: float) -> tuple[Slot, ...]:
    count, phase = int(rng.integers(4, 9)), rng.uniform(0, 2 * np.pi)
    sweep, width = rng.choice((-1, 1)) * rng.uniform(0.15, 0.4), rng.uniform(4, 7)
    return tuple(Slot(inner, outer, phase + 2 * np.pi * index / count, sweep, width) for index in range(count))
