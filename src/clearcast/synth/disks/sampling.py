"""Sampling of parts: geometry of the three families, light, finish, background, and defects."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from clearcast.synth.disks.part import (
    UNITS_PER_IMAGE,
    AnisotropicHighlight,
    Background,
    DefectKind,
    EdgeSide,
    Hole,
    Lighting,
    PartFamily,
    RenderedDefect,
    RenderedPart,
    RingZone,
    Slot,
    SurfaceFinish,
    Vanes,
)
from clearcast.types import Label

PART_MARGIN = 14.0  # units kept free around the part, so that burrs stay in the image
_DEFECT_SIZES: dict[DefectKind, tuple[float, float]] = {  # lowest and highest, in units
    DefectKind.BLOWHOLE: (5, 30),
    DefectKind.PINHOLE: (3, 5),
    DefectKind.CHIPPED_EDGE: (12, 48),
    DefectKind.BURR: (16, 130),
    DefectKind.SCRATCH: (16, 130),
    DefectKind.CRACK: (18, 80),
    DefectKind.SHRINKAGE: (12, 60),
}

_FAMILY_SHARES = {PartFamily.IMPELLER: 0.5, PartFamily.FLANGE: 0.25, PartFamily.BRAKE_DISK: 0.25}
_EDGE_KINDS = frozenset({DefectKind.CHIPPED_EDGE, DefectKind.BURR})
_SMALLEST_FACE = 14.0  # units; a narrower ring leaves no room for a defect of the face
_MACHINED = 0.5  # rings turned less than this are raw castings, where small flaws are allowed


@dataclass(frozen=True)
class _PartGeometry:
    """Geometry of a part; see ``RenderedPart`` for the fields."""

    top: tuple[RingZone, ...]
    deep: tuple[RingZone, ...]
    holes: tuple[Hole, ...] = ()
    slots: tuple[Slot, ...] = ()
    vanes: Vanes | None = None


def sample_part(rng: Generator, label: Label) -> RenderedPart:
    """Draw a part; a defect part gets one to three defects, of log-uniform sizes.

    The part itself is sampled before its defects: the same generator state gives the same part without defects for
    ``Label.OK``.
    """
    family = PartFamily(rng.choice(list(_FAMILY_SHARES), p=list(_FAMILY_SHARES.values())))
    radius, thickness = rng.uniform(165, 225), rng.uniform(24, 40)
    geometry = _sample_geometry(family, rng, radius, thickness)
    slack = UNITS_PER_IMAGE / 2 - PART_MARGIN - radius
    part = RenderedPart(
        family=family,
        seed=int(rng.integers(2**32)),
        centre=(rng.uniform(-slack, slack) * 0.8, rng.uniform(-slack, slack) * 0.8),
        roundness=rng.uniform(0.985, 1.015),
        parallax=(rng.normal(0, 1.8), rng.normal(0, 1.8)),
        thickness=thickness,
        light=_sample_light(rng),
        finish=_sample_finish(rng),
        backdrop=_sample_background(rng),
        **{field.name: getattr(geometry, field.name) for field in dataclasses.fields(geometry)},
    )
    if label is Label.OK:
        return part
    count = int(rng.choice((1, 2, 3), p=(0.75, 0.2, 0.05)))
    return dataclasses.replace(part, defects=tuple(sample_defect(rng, part) for _ in range(count)))


def sample_defect(rng: Generator, part: RenderedPart, kind: DefectKind | None = None) -> RenderedDefect:
    """Draw one defect, of a random kind unless one is given, at a position where that kind occurs."""
    defect_kind = DefectKind(rng.choice(list(DefectKind))) if kind is None else kind
    low, high = _DEFECT_SIZES[defect_kind]
    size = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    seed = int(rng.integers(2**32))
    if defect_kind in _EDGE_KINDS:
        return _place_at_edge(rng, part, defect_kind, size, seed)
    return _place_on_face(rng, part, defect_kind, size, seed)


def _sample_geometry(family: PartFamily, rng: Generator, radius: float, thickness: float) -> _PartGeometry:
    """Draw the shape of one part with the given outer radius and thickness."""
    match family:
        case PartFamily.IMPELLER:
            return _sample_impeller(rng, radius, thickness)
        case PartFamily.FLANGE:
            return _sample_flange(rng, radius, thickness)
        case PartFamily.BRAKE_DISK:
            return _sample_brake_disk(rng, radius, thickness)


def _sample_impeller(rng: Generator, radius: float, thickness: float) -> _PartGeometry:
    """Sample a turned flange, a stepped collar, a dark recess with vanes, and a hub around the bore."""
    bore, hub = radius * rng.uniform(0.16, 0.20), radius * rng.uniform(0.23, 0.28)
    recess, collar = radius * rng.uniform(0.48, 0.53), radius * rng.uniform(0.55, 0.60)
    groove = rng.choice((0.0, rng.uniform(2, 6)))  # some collars have a dark groove in front
    albedo = rng.uniform(0.36, 0.62)
    top = (
        RingZone(bore, hub, -rng.uniform(1, 5), albedo * rng.uniform(0.9, 1.15), 0.8),
        RingZone(recess, collar - groove, rng.uniform(-6, 3), albedo * rng.uniform(0.95, 1.2), 0.9),
        RingZone(collar, radius, 0.0, albedo, 1.0),
    )
    floor = rng.uniform(0.03, 0.09)
    deep = (
        RingZone(bore * 0.96, bore * 1.1, -thickness * 0.6, 0.3, 0.0),
        RingZone(bore * 1.1, collar + 2, -thickness * 0.7, floor, 0.0),
        RingZone(collar + 2, radius, -thickness * 0.5, 0.16, 0.0),
    )
    twist = rng.choice((-1, 1)) * rng.uniform(1.2, 2.2)
    vanes = Vanes(int(rng.integers(5, 9)), hub, recess, twist, rng.uniform(0, 2 * np.pi), rng.uniform(5, 9))
    return _PartGeometry(top, deep, vanes=vanes)


def _sample_flange(rng: Generator, radius: float, thickness: float) -> _PartGeometry:
    """Sample a bolted pipe flange: a bolt circle on the outer face, a raised sealing face, a wide bore."""
    bore, raised = radius * rng.uniform(0.26, 0.38), radius * rng.uniform(0.60, 0.66)
    albedo = rng.uniform(0.36, 0.6)
    top = (
        RingZone(bore, bore + rng.uniform(3, 7), -rng.uniform(1, 3), albedo * 1.1, 0.7),
        RingZone(bore + 8, raised, rng.uniform(2, 5), albedo * rng.uniform(1.0, 1.15), 1.0),
        RingZone(raised + 1.5, radius, 0.0, albedo, rng.uniform(0.7, 1.0)),
    )
    holes = _bolt_circle(rng, int(rng.choice((4, 6, 8))), radius * 0.82, radius * rng.uniform(0.055, 0.085))
    return _PartGeometry(top, _walls(bore, radius, thickness), holes)


def _sample_brake_disk(rng: Generator, radius: float, thickness: float) -> _PartGeometry:
    """Sample a turned friction ring with slots or drillings around a dull cast hat with a bolt circle."""
    bore, hat, ring = (radius * rng.uniform(*span) for span in ((0.18, 0.24), (0.44, 0.50), (0.53, 0.57)))
    albedo = rng.uniform(0.36, 0.6)
    top = (
        RingZone(bore, hat, rng.uniform(3, 7), rng.uniform(0.22, 0.36), 0.15),
        RingZone(hat + 1, ring, -rng.uniform(5, 9), rng.uniform(0.10, 0.2), 0.0),
        RingZone(ring + 1, radius, 0.0, albedo, 1.0),
    )
    bolts = _bolt_circle(rng, int(rng.integers(4, 7)), (bore + hat) / 2, radius * rng.uniform(0.03, 0.045))
    slotted = rng.random() < 0.6
    slots = _slot_ring(rng, ring + 12, radius - 12) if slotted else ()
    drilled = () if slotted else _bolt_circle(rng, int(rng.integers(8, 13)), (ring + radius) / 2, rng.uniform(4, 7))
    return _PartGeometry(top, _walls(bore, radius, thickness), bolts + drilled, slots)


def _walls(bore: float, radius: float, thickness: float) -> tuple[RingZone, ...]:
    middle = (bore + radius) / 2
    return (
        RingZone(bore * 0.95, middle, -thickness * 0.6, 0.24, 0.0),
        RingZone(middle, radius, -thickness * 0.5, 0.16, 0.0),
    )


def _bolt_circle(rng: Generator, count: int, radius: float, bore: float) -> tuple[Hole, ...]:
    phase = rng.uniform(0, 2 * np.pi)
    return tuple(Hole(radius, phase + 2 * np.pi * index / count, bore) for index in range(count))


def _slot_ring(rng: Generator, inner: float, outer: float) -> tuple[Slot, ...]:
    count, phase = int(rng.integers(4, 9)), rng.uniform(0, 2 * np.pi)
    sweep, width = rng.choice((-1, 1)) * rng.uniform(0.15, 0.4), rng.uniform(4, 7)
    return tuple(Slot(inner, outer, phase + 2 * np.pi * index / count, sweep, width) for index in range(count))


def _place_at_edge(rng: Generator, part: RenderedPart, kind: DefectKind, size: float, seed: int) -> RenderedDefect:
    """Place a chip or burr: most are on the outer rim, the others at the bore."""
    bore = part.top[0].inner
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.75:
        return RenderedDefect(kind, size, part.radius, angle, seed)
    return RenderedDefect(kind, min(size, bore * 0.8), bore, angle, seed, EdgeSide.INSIDE)


def _place_on_face(rng: Generator, part: RenderedPart, kind: DefectKind, size: float, seed: int) -> RenderedDefect:
    """Place a defect on a machined face, clear of holes and slots."""
    faces = [zone for zone in part.top if zone.turned >= _MACHINED and zone.outer - zone.inner >= _SMALLEST_FACE]
    widths = np.array([zone.outer - zone.inner for zone in faces])
    face: RingZone = faces[int(rng.choice(len(faces), p=widths / widths.sum()))]
    size = min(size, _largest_size(face, kind))
    inset = min(size / 2 + 3, (face.outer - face.inner) / 2)
    if kind in {DefectKind.SCRATCH, DefectKind.CRACK}:
        inset = 5.0
    while True:
        defect = RenderedDefect(
            kind, size, rng.uniform(face.inner + inset, face.outer - inset), rng.uniform(0, 2 * np.pi), seed
        )
        if not any(_touches(defect, opening) for opening in part.holes + part.slots):
            return defect


def _largest_size(face: RingZone, kind: DefectKind) -> float:
    """Compute the largest size of a defect on a ring: a patch must fit into it; a line may run along it and beyond."""
    width = face.outer - face.inner
    return 1.6 * width if kind in {DefectKind.SCRATCH, DefectKind.CRACK} else width - 6


def _touches(defect: RenderedDefect, opening: Hole | Slot) -> bool:
    """Return whether the defect's centre is so close to a hole or slot that it could disappear in it."""
    x, y = defect.radius * np.cos(defect.angle), defect.radius * np.sin(defect.angle)
    if isinstance(opening, Hole):
        radii, angles = np.array([opening.radius]), np.array([opening.angle])
        reach = opening.bore
    else:
        position = np.linspace(0, 1, 12)
        radii = opening.inner + position * (opening.outer - opening.inner)
        angles, reach = opening.angle + position * opening.sweep, opening.width
    nearest = np.hypot(radii * np.cos(angles) - x, radii * np.sin(angles) - y).min()
    return bool(nearest < reach + min(defect.size / 2, 10) + 2)


def _sample_light(rng: Generator) -> Lighting:
    azimuth = rng.uniform(0, 2 * np.pi)
    fans = [AnisotropicHighlight(azimuth + rng.normal(0, 0.15), rng.uniform(0.08, 0.3), rng.uniform(0.2, 0.55))]
    for _ in range(int(rng.integers(1, 4))):
        fans.append(AnisotropicHighlight(rng.uniform(0, np.pi), rng.uniform(0.06, 0.5), rng.uniform(0.08, 0.35)))
    return Lighting(azimuth, rng.uniform(0.75, 1.1), rng.uniform(0.35, 0.55), rng.uniform(0.5, 0.65), tuple(fans))


def _sample_finish(rng: Generator) -> SurfaceFinish:
    return SurfaceFinish(
        rings=rng.uniform(0.02, 0.08),
        streaks=rng.uniform(0.02, 0.07),
        pitch=rng.uniform(1.02, 3.2),
        grooves=rng.uniform(0.0, 0.09),
        stain=rng.uniform(0.0, 0.14),
        specks=int(rng.choice((0, 40, 250), p=(0.5, 0.3, 0.2))),
    )


def _sample_background(rng: Generator) -> Background:
    return Background(
        tone=rng.uniform(0.5, 0.88),
        fall=rng.uniform(0.0, 0.12),
        direction=rng.uniform(0, 2 * np.pi),
        mottle=rng.uniform(0.005, 0.02),
        dust=int(rng.integers(0, 40)),
    )
