"""JSON schemas of the station's status: model, readiness, limits, measured rates."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field

from clearcast.domain import NoiseType
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.stage import Stage
from clearcast.station.api.tokens import Role


class TakenLimits(BaseModel):
    """Upload limits: bytes and pixels of an image, files of a request."""

    bytes: int
    pixels: int
    files: int


class Figure(BaseModel):
    """Measured rate, 0..1, with its 95 % confidence interval."""

    value: float | None
    low: float | None
    high: float | None


class Figures(BaseModel):
    """Measured rates of the bundle on test images; null if it was not measured.

    `escape`: share of defects predicted ok. `overkill`: share of ok parts predicted defect.
    """

    images: int
    parts: int
    accuracy: Figure | None = None
    escape: Figure | None = None
    overkill: Figure | None = None

    @classmethod
    def of(cls, measured: Evidence) -> Self:
        """Convert from the evidence in a bundle's manifest, for verdicts on noisy images."""
        decision = measured["decisions"].get(Stage.DENOISED)
        point = (decision["chosen"] or decision["plain"]) if decision else None
        figures = {name: Figure(**point[name]) for name in _MEASURES} if point else {}
        return cls(images=measured["images"], parts=measured["parts"], **figures)


_MEASURES: tuple[Literal["accuracy", "escape", "overkill"], ...] = ("accuracy", "escape", "overkill")


class StationFacts(BaseModel):
    """Status of the station, and the role of the client."""

    version: str
    model: str | None
    threshold: float | None
    shadow: str | None
    shadow_fault: Annotated[str, Field(description="why the shadow bundle gives no predictions")]
    ready: bool
    reasons: list[str]
    role: Role
    limits: TakenLimits
    drift: list[str]
    repeats: Annotated[int, Field(description="images since the start that equal the previous one of their sender")]
    noise_types: list[NoiseType]
    station: str
    measured: Figures | None


class Health(BaseModel):
    """Liveness or readiness of the station."""

    status: Literal["ok", "ready"]
