"""How the station stands, as JSON."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field

from clearcast.domain import NoiseType
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.stage import Stage
from clearcast.station.api.tokens import Role


class TakenLimits(BaseModel):
    """What is taken of one request: bytes and pixels of a picture, files."""

    bytes: int
    pixels: int
    files: int


class Figure(BaseModel):
    """A measured share, 0..1, with its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


class Figures(BaseModel):
    """What the bundle was measured at on test pictures; null where it was not.

    `escape`: the share of defects that were called ok. `overkill`: the share of ok parts that were called defect.
    """

    images: int
    parts: int
    accuracy: Figure | None = None
    escape: Figure | None = None
    overkill: Figure | None = None

    @classmethod
    def of(cls, measured: Evidence) -> Self:
        """From a bundle's manifest, of its verdicts on noisy pictures."""
        decision = measured["decisions"].get(Stage.DENOISED)
        point = (decision["chosen"] or decision["plain"]) if decision else None
        figures = {name: Figure(**point[name]) for name in _MEASURES} if point else {}
        return cls(images=measured["images"], parts=measured["parts"], **figures)


_MEASURES: tuple[Literal["accuracy", "escape", "overkill"], ...] = ("accuracy", "escape", "overkill")


class StationFacts(BaseModel):
    """How the station stands, and what the one who asks may do."""

    version: str
    model: str | None
    threshold: float | None
    shadow: str | None
    shadow_fault: Annotated[str, Field(description="why the bundle in shadow says nothing, though it should")]
    ready: bool
    reasons: list[str]
    role: Role
    limits: TakenLimits
    drift: list[str]
    repeats: Annotated[int, Field(description="pictures since the start that equalled their sender's one before")]
    noise_types: list[NoiseType]
    station: str
    measured: Figures | None


class Health(BaseModel):
    """Whether the station answers."""

    status: Literal["ok", "ready"]
