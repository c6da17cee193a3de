"""Parameters of a rendered part: geometry, light, surface finish, background and defects.

Lengths are in units of 1/512 of the image's width, so one unit is one pixel of a 512 x 512 image. Angles are in
radians, from the x axis (right) towards the y axis (down). Albedos and strengths are shares of full white.
"""

from dataclasses import dataclass
from enum import StrEnum

from clearcast.types import Label

UNITS_PER_IMAGE = 512  # width of an image in units of length


class PartFamily(StrEnum):
    """Family of parts."""

    IMPELLER = "impeller"
    FLANGE = "flange"
    BRAKE_DISK = "brake_disk"


class DefectKind(StrEnum):
    """Kind of defect, as foundries name them."""

    BLOWHOLE = "blowhole"
    PINHOLE = "pinhole"
    CHIPPED_EDGE = "chipped_edge"
    BURR = "burr"
    SCRATCH = "scratch"
    CRACK = "crack"
    SHRINKAGE = "shrinkage"


class EdgeSide(StrEnum):
    """Side of an edge where the air is: outside the circle (a rim) or inside it (a bore)."""

    OUTSIDE = "outside"
    INSIDE = "inside"


@dataclass(frozen=True)
class RenderedDefect:
    """One defect at a position in polar coordinates around the part's centre.

    ``size`` is the diameter of a blowhole, of each pinhole, of a chip and of a shrinkage patch, the length along the
    edge of a burr, and the length of a scratch or crack. ``seed`` fixes its shape. ``side`` matters only at an edge.
    """

    kind: DefectKind
    size: float
    radius: float
    angle: float
    seed: int
    side: EdgeSide = EdgeSide.OUTSIDE


@dataclass(frozen=True)
class RingZone:
    """Ring between two radii: height above the upper face, albedo, and strength (0..1) of the turned finish."""

    inner: float
    outer: float
    height: float
    albedo: float
    turned: float


@dataclass(frozen=True)
class Hole:
    """Drilled through hole."""

    radius: float
    angle: float
    bore: float


@dataclass(frozen=True)
class Slot:
    """Milled groove from one radius to another; its angle changes by ``sweep`` in between."""

    inner: float
    outer: float
    angle: float
    sweep: float
    width: float


@dataclass(frozen=True)
class Vanes:
    """Curved blades on the floor of the recess; ``twist`` is the rotation per e-fold of the radius."""

    count: int
    inner: float
    outer: float
    twist: float
    phase: float
    height: float


@dataclass(frozen=True)
class AnisotropicHighlight:
    """Anisotropic highlight: two opposite bright sectors where turned grooves reflect one lamp into the camera."""

    angle: float
    width: float
    strength: float


@dataclass(frozen=True)
class Lighting:
    """One soft key light, ambient light, and the anisotropic highlights on turned faces."""

    azimuth: float
    elevation: float
    key: float
    ambient: float
    fans: tuple[AnisotropicHighlight, ...]


@dataclass(frozen=True)
class SurfaceFinish:
    """Harmless marks of machining and handling: strengths 0..1, ``pitch`` of the feed grooves, number of specks."""

    rings: float
    streaks: float
    pitch: float
    grooves: float
    stain: float
    specks: int


@dataclass(frozen=True)
class Background:
    """Background: its tone 0..1, the gradient of the tone and its direction, mottling, number of dust grains."""

    tone: float
    fall: float
    direction: float
    mottle: float
    dust: int


@dataclass(frozen=True)
class RenderedPart:
    """One part, its light and its background.

    ``top`` are the rings of the upper faces. Between and beyond them ``deep`` is visible, displaced by ``parallax``
    because it lies lower. Elsewhere the background is visible, ``thickness`` below the upper face.
    """

    family: PartFamily
    seed: int
    centre: tuple[float, float]
    roundness: float
    parallax: tuple[float, float]
    thickness: float
    top: tuple[RingZone, ...]
    deep: tuple[RingZone, ...]
    holes: tuple[Hole, ...]
    slots: tuple[Slot, ...]
    vanes: Vanes | None
    light: Lighting
    finish: SurfaceFinish
    backdrop: Background
    defects: tuple[RenderedDefect, ...] = ()

    @property
    def label(self) -> Label:
        """``DEFECT`` if there is at least one defect."""
        return Label.DEFECT if self.defects else Label.OK

    @property
    def radius(self) -> float:
        """Outer radius."""
        return max(zone.outer for zone in self.top)
