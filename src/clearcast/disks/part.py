"""What a rendered part is made of: frozen records that a renderer can draw and a test can read.

Lengths are in units of 1/512 of the picture's width, so one unit is one pixel of a 512 x 512 picture. Angles are in
radians, growing from the x axis (right) to the y axis (down). Reflectances and strengths are shares of full white.
"""

from dataclasses import dataclass
from enum import StrEnum

from clearcast.domain import Label

UNITS = 512  # the width of a picture in units of length


class Family(StrEnum):
    """The kinds of part."""

    IMPELLER = "impeller"
    FLANGE = "flange"
    BRAKE_DISK = "brake_disk"


class DefectKind(StrEnum):
    """The kinds of defect, as foundries name them."""

    BLOWHOLE = "blowhole"
    PINHOLE = "pinhole"
    CHIPPED_EDGE = "chipped_edge"
    BURR = "burr"
    SCRATCH = "scratch"
    CRACK = "crack"
    SHRINKAGE = "shrinkage"


class Side(StrEnum):
    """Where the free air lies at an edge: outside the edge's circle (a rim) or inside it (a bore)."""

    OUTSIDE = "outside"
    INSIDE = "inside"


@dataclass(frozen=True)
class Defect:
    """One flaw at a place in polar coordinates about the part's centre.

    ``size`` is the diameter of a blowhole, of each pinhole, of a chip and of a shrinkage patch, the length along the
    edge of a burr, and the length of a scratch or crack. ``seed`` fixes its shape. ``side`` matters at an edge only.
    """

    kind: DefectKind
    size: float
    radius: float
    angle: float
    seed: int
    side: Side = Side.OUTSIDE


@dataclass(frozen=True)
class Zone:
    """A ring between two radii: its height above the upper face, its reflectance and how far (0..1) it is turned."""

    inner: float
    outer: float
    height: float
    albedo: float
    turned: float


@dataclass(frozen=True)
class Hole:
    """A drilled through hole."""

    radius: float
    angle: float
    bore: float


@dataclass(frozen=True)
class Slot:
    """A milled groove from one radius to another, which turns by ``sweep`` on the way."""

    inner: float
    outer: float
    angle: float
    sweep: float
    width: float


@dataclass(frozen=True)
class Vanes:
    """Curved blades on the floor of the recess; ``twist`` is the turn per e-fold of the radius."""

    count: int
    inner: float
    outer: float
    twist: float
    phase: float
    height: float


@dataclass(frozen=True)
class Fan:
    """A pair of bright sectors, opposite each other, in which turned grooves throw one lamp into the camera."""

    angle: float
    width: float
    strength: float


@dataclass(frozen=True)
class Light:
    """One soft lamp at a direction, light from everywhere, and the fans on turned faces."""

    azimuth: float
    elevation: float
    key: float
    ambient: float
    fans: tuple[Fan, ...]


@dataclass(frozen=True)
class Finish:
    """The harmless marks of machining and handling: strengths 0..1, ``pitch`` of the feed grooves, specks' number."""

    rings: float
    streaks: float
    pitch: float
    grooves: float
    stain: float
    specks: int


@dataclass(frozen=True)
class Backdrop:
    """The table below: its tone 0..1, the tone's fall across the picture and its direction, mottling, dust grains."""

    tone: float
    fall: float
    direction: float
    mottle: float
    dust: int


@dataclass(frozen=True)
class Part:
    """One part and how its picture is taken.

    ``top`` are the rings seen first; between and beyond them ``deep`` shows, displaced by ``parallax`` as a camera
    sees what lies lower; where neither is, the backdrop shows, ``thickness`` below the upper face.
    """

    family: Family
    seed: int
    centre: tuple[float, float]
    roundness: float
    parallax: tuple[float, float]
    thickness: float
    top: tuple[Zone, ...]
    deep: tuple[Zone, ...]
    holes: tuple[Hole, ...]
    slots: tuple[Slot, ...]
    vanes: Vanes | None
    light: Light
    finish: Finish
    backdrop: Backdrop
    defects: tuple[Defect, ...] = ()

    @property
    def label(self) -> Label:
        """Defect if there is at least one."""
        return Label.DEFECT if self.defects else Label.OK

    @property
    def radius(self) -> float:
        """The part's outer radius."""
        return max(zone.outer for zone in self.top)
