"""Random parts: shape, light, surface finish, background and, for a defect part, its defects."""

import dataclasses

import numpy as np
from numpy.random import Generator

from clearcast.disks import families
from clearcast.disks.part import (
    UNITS,
    Backdrop,
    Defect,
    DefectKind,
    Family,
    Fan,
    Finish,
    Hole,
    Light,
    Part,
    Side,
    Slot,
    Zone,
)
from clearcast.domain import Label

MARGIN = 14.0  # units kept free around the part, so that burrs stay in the image
SIZES: dict[DefectKind, tuple[float, float]] = {
    DefectKind.BLOWHOLE: (5, 30),
    DefectKind.PINHOLE: (3, 5),
    DefectKind.CHIPPED_EDGE: (12, 48),
    DefectKind.BURR: (16, 130),
    DefectKind.SCRATCH: (16, 130),
    DefectKind.CRACK: (18, 80),
    DefectKind.SHRINKAGE: (12, 60),
}

_FAMILY_SHARES = {Family.IMPELLER: 0.5, Family.FLANGE: 0.25, Family.BRAKE_DISK: 0.25}
_EDGE_KINDS = frozenset({DefectKind.CHIPPED_EDGE, DefectKind.BURR})
_SMALLEST_FACE = 14.0  # units; a narrower ring leaves no room for a defect of the face
_MACHINED = 0.5  # rings turned less than this are raw castings, where small flaws are allowed


def sample_part(rng: Generator, label: Label) -> Part:
    """Draw a part; a defect part gets one to three defects, of log-uniform sizes.

    The part itself is drawn before its defects: the same generator state gives the same part without defects for
    ``Label.OK``.
    """
    family = Family(rng.choice(list(_FAMILY_SHARES), p=list(_FAMILY_SHARES.values())))
    radius, thickness = rng.uniform(165, 225), rng.uniform(24, 40)
    shape = families.shape(family, rng, radius, thickness)
    slack = UNITS / 2 - MARGIN - radius
    part = Part(
        family=family,
        seed=int(rng.integers(2**32)),
        centre=(rng.uniform(-slack, slack) * 0.8, rng.uniform(-slack, slack) * 0.8),
        roundness=rng.uniform(0.985, 1.015),
        parallax=(rng.normal(0, 1.8), rng.normal(0, 1.8)),
        thickness=thickness,
        light=_light(rng),
        finish=_finish(rng),
        backdrop=_backdrop(rng),
        **{field.name: getattr(shape, field.name) for field in dataclasses.fields(shape)},
    )
    if label is Label.OK:
        return part
    count = int(rng.choice((1, 2, 3), p=(0.75, 0.2, 0.05)))
    return dataclasses.replace(part, defects=tuple(sample_defect(rng, part) for _ in range(count)))


def sample_defect(rng: Generator, part: Part, kind: DefectKind | None = None) -> Defect:
    """Draw one defect, of a random kind unless one is given, at a position where that kind occurs."""
    drawn = DefectKind(rng.choice(list(DefectKind))) if kind is None else kind
    low, high = SIZES[drawn]
    size = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    seed = int(rng.integers(2**32))
    if drawn in _EDGE_KINDS:
        return _at_edge(rng, part, drawn, size, seed)
    return _on_face(rng, part, drawn, size, seed)


def _at_edge(rng: Generator, part: Part, kind: DefectKind, size: float, seed: int) -> Defect:
    """Place a chip or burr: most are on the outer rim, the others at the bore."""
    bore = part.top[0].inner
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.75:
        return Defect(kind, size, part.radius, angle, seed)
    return Defect(kind, min(size, bore * 0.8), bore, angle, seed, Side.INSIDE)


def _on_face(rng: Generator, part: Part, kind: DefectKind, size: float, seed: int) -> Defect:
    faces = [zone for zone in part.top if zone.turned >= _MACHINED and zone.outer - zone.inner >= _SMALLEST_FACE]
    widths = np.array([zone.outer - zone.inner for zone in faces])
    face: Zone = faces[int(rng.choice(len(faces), p=widths / widths.sum()))]
    size = min(size, _largest_size(face, kind))
    inset = min(size / 2 + 3, (face.outer - face.inner) / 2)
    if kind in {DefectKind.SCRATCH, DefectKind.CRACK}:
        inset = 5.0
    while True:
        defect = Defect(
            kind, size, rng.uniform(face.inner + inset, face.outer - inset), rng.uniform(0, 2 * np.pi), seed
        )
        if not any(_touches(defect, opening) for opening in part.holes + part.slots):
            return defect


def _largest_size(face: Zone, kind: DefectKind) -> float:
    """The largest size on a ring: a patch must fit into it; a line may run along it and beyond."""
    width = face.outer - face.inner
    return 1.6 * width if kind in {DefectKind.SCRATCH, DefectKind.CRACK} else width - 6


def _touches(defect: Defect, opening: Hole | Slot) -> bool:
    """Whether the defect's centre is so close to a hole or slot that it could disappear in it."""
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


def _light(rng: Generator) -> Light:
    azimuth = rng.uniform(0, 2 * np.pi)
    fans = [Fan(azimuth + rng.normal(0, 0.15), rng.uniform(0.08, 0.3), rng.uniform(0.2, 0.55))]
    for _ in range(int(rng.integers(1, 4))):
        fans.append(Fan(rng.uniform(0, np.pi), rng.uniform(0.06, 0.5), rng.uniform(0.08, 0.35)))
    return Light(azimuth, rng.uniform(0.75, 1.1), rng.uniform(0.35, 0.55), rng.uniform(0.5, 0.65), tuple(fans))


def _finish(rng: Generator) -> Finish:
    return Finish(
        rings=rng.uniform(0.02, 0.08),
        streaks=rng.uniform(0.02, 0.07),
        pitch=rng.uniform(1.02, 3.2),
        grooves=rng.uniform(0.0, 0.09),
        stain=rng.uniform(0.0, 0.14),
        specks=int(rng.choice((0, 40, 250), p=(0.5, 0.3, 0.2))),
    )


def _backdrop(rng: Generator) -> Backdrop:
    return Backdrop(
        tone=rng.uniform(0.5, 0.88),
        fall=rng.uniform(0.0, 0.12),
        direction=rng.uniform(0, 2 * np.pi),
        mottle=rng.uniform(0.005, 0.02),
        dust=int(rng.integers(0, 40)),
    )
