"""What the API says and is told, as JSON."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from clearcast.domain import NoiseType, Verdict
from clearcast.station.api import examples
from clearcast.station.records import Disagreement, Feedback, Opinion, Record, Says, Tally
from clearcast.station.shelf import Shelf, ShelfAway

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = ((datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1) for year in (1, 9999))
Moment = Annotated[str, Field(description="UTC, ISO 8601", json_schema_extra={"format": "date-time"})]
Text = Annotated[str, Field(pattern=r"^[^\u0000]*$")]  # PostgreSQL keeps no NUL in a text


def moment(at: int) -> str:
    """A time of the log, in milliseconds since 1970, as ISO 8601.

    >>> moment(1_000)
    '1970-01-01T00:00:01.000Z'
    """
    within = min(max(at, _FIRST), _LAST)  # a span that begins with all time
    return (EPOCH + timedelta(milliseconds=within)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class GivenFeedback(BaseModel):
    """What a person said of an inspection."""

    at: Moment
    says: Says
    note: str
    operator: str
    settles: bool

    @classmethod
    def of(cls, feedback: Feedback) -> Self:
        """From the log."""
        return cls(
            at=moment(feedback.at),
            says=feedback.says,
            note=feedback.note,
            operator=feedback.operator,
            settles=feedback.settles,
        )


class NewFeedback(BaseModel):
    """What a person says of an inspection; ``settles``: an open disagreement is done with by this."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [examples.NEW_FEEDBACK]})

    says: Says
    note: Annotated[Text, Field(max_length=2000)] = ""
    operator: Annotated[Text, Field(max_length=100)] = ""
    settles: StrictBool = False


class ShadowOpinion(BaseModel):
    """What a second bundle, in shadow, said of the same picture; it decides nothing."""

    model: str
    verdict: Verdict | None
    p_defect: float | None
    threshold: float | None
    error: str

    @classmethod
    def of(cls, opinion: Opinion) -> Self:
        """From the log."""
        return cls(
            model=opinion.model,
            verdict=opinion.verdict,
            p_defect=opinion.p_defect,
            threshold=opinion.threshold,
            error=opinion.error,
        )


class Pictures(BaseModel):
    """Where an inspection's pictures are; null where there is none."""

    noisy: str | None = None
    restored: str | None = None
    heat: str | None = None
    thumbnail: str | None = None

    @classmethod
    def of(cls, record: Record, shelf: Shelf | None, prefix: str = "") -> Self:
        """Those that the shelf still holds.

        What is logged stands, whatever becomes of its pictures: while the shelf is away, or if it is not to be asked
        (None), the address of the picture as it came is given, which shows it when the shelf is back.
        """
        entry = record.entry
        if entry.width is None:
            return cls()
        try:
            kept = shelf.available(entry.sha256, entry.model) if shelf else frozenset({"noisy"})
        except ShelfAway:
            kept = frozenset({"noisy"})
        base = f"{prefix}/v1/pictures/{entry.sha256}"
        by_model = f"?model={quote(entry.model, safe='', errors='replace')}"
        addresses = {kind: f"{base}/{kind}{'' if kind == 'noisy' else by_model}" for kind in kept}
        return cls(**addresses, thumbnail=f"{base}/thumbnail" if "noisy" in kept else None)


class LoggedInspection(BaseModel):
    """One inspection as it is logged."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.INSPECTION]})

    id: int
    at: Moment
    name: str
    station: str
    sha256: str
    size: Annotated[int, Field(description="bytes")]
    width: int | None
    height: int | None
    verdict: Verdict | None
    p_defect: Annotated[float | None, Field(description="calibrated probability of defect, 0..1")]
    threshold: Annotated[float | None, Field(description="the probability above which the verdict is defect")]
    noise_type: NoiseType | None
    noise_level: str
    p_noise: Annotated[float | None, Field(description="probability of the noise type, 0..1")]
    ms: Annotated[float | None, Field(description="milliseconds of inference")]
    model: str
    error: Annotated[str, Field(description="why the picture could not be inspected; empty where it was")]
    brightness: float | None
    sharpness: float | None
    sigma: float | None
    density: float | None
    shadow: ShadowOpinion | None
    feedback: list[GivenFeedback]
    disagreement: Disagreement
    pictures: Pictures

    @classmethod
    def of(cls, record: Record, shelf: Shelf | None, prefix: str = "") -> Self:
        """From the log, with addresses of the pictures that are still kept; see ``Pictures.of``.

        ``prefix`` is the path below which a proxy shows the station, such as ``/clearcast``.
        """
        entry = record.entry
        return cls(
            id=record.id,
            at=moment(entry.at),
            shadow=ShadowOpinion.of(entry.shadow) if entry.shadow else None,
            feedback=[GivenFeedback.of(feedback) for feedback in record.feedback],
            disagreement=record.disagreement,
            pictures=Pictures.of(record, shelf, prefix),
            **{name: getattr(entry, name) for name in _AS_LOGGED},
        )


_AS_LOGGED = (
    *("name", "station", "sha256", "size", "width", "height", "verdict", "p_defect", "threshold", "noise_type"),
    *("noise_level", "p_noise", "ms", "model", "error", "brightness", "sharpness", "sigma", "density"),
)


class Inspections(BaseModel):
    """In the order of the files that were sent."""

    inspections: list[LoggedInspection]


class InspectionsPage(Inspections):
    """Some of the log; ``next``: give it as ``after`` to get those that follow, null at the end."""

    next: str | None


class Count(BaseModel):
    """How many inspections of a span of time, and what was said of them; ``none``: could not be judged."""

    start: Moment
    inspections: int
    verdicts: dict[Literal["ok", "defect", "retake", "none"], int]
    noise_types: dict[NoiseType | Literal["unknown"], int]
    disagreements: int
    brightness: float | None
    sharpness: float | None
    p_defect: float | None

    @classmethod
    def of(cls, tally: Tally) -> Self:
        """From the log; every word is there, also with 0."""
        return cls(
            start=moment(tally.start),
            inspections=tally.inspections,
            verdicts={**{v.value: tally.verdicts.get(v, 0) for v in Verdict}, "none": tally.verdicts.get(None, 0)},
            noise_types={
                **{kind: tally.noise_types.get(kind, 0) for kind in NoiseType},
                "unknown": tally.noise_types.get(None, 0),
            },
            disagreements=tally.disagreements,
            brightness=tally.brightness,
            sharpness=tally.sharpness,
            p_defect=tally.p_defect,
        )


class Trend(BaseModel):
    """Spans of equal length, the oldest first."""

    spans: list[Count]


class Choices(BaseModel):
    """What there is to filter by."""

    models: list[str]
    stations: list[str]


class Login(BaseModel):
    """A token to sign in with on the page."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=1000)]


class Problem(BaseModel):
    """What is wrong (RFC 9457)."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.PROBLEM]})

    type: str
    title: str
    status: int
    detail: str
