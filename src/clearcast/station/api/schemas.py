"""Schemas of requests and responses, converted from the records of the log, with examples for the OpenAPI document."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool

from clearcast.noise.registry import NoiseType
from clearcast.station.image_store import ImageStore, StoreUnavailable
from clearcast.station.records import (
    Disagreement,
    Feedback,
    FeedbackLabel,
    InspectionCounts,
    InspectionRecord,
    ShadowResult,
)
from clearcast.types import Verdict

UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = ((datetime(year, 1, 1, tzinfo=UTC) - UNIX_EPOCH) // timedelta(milliseconds=1) for year in (1, 9999))
Timestamp = Annotated[str, Field(description="UTC, ISO 8601", json_schema_extra={"format": "date-time"})]
StorableText = Annotated[str, Field(pattern=r"^[^\u0000]*$")]  # PostgreSQL cannot store NUL

_ENTRY_FIELDS = (
    *("name", "station", "sha256", "size", "width", "height", "verdict", "p_defect", "threshold", "noise_type"),
    *("noise_level", "p_noise", "ms", "model", "error", "brightness", "sharpness", "sigma", "density"),
)
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_INSPECTION_EXAMPLE: dict[str, JsonValue] = {
    "id": 17,
    "at": "2026-11-24T23:10:00.123Z",
    "name": "part.jpg",
    "station": "line 1",
    "sha256": _SHA256,
    "size": 23110,
    "width": 512,
    "height": 512,
    "verdict": "defect",
    "p_defect": 0.97,
    "threshold": 0.43,
    "noise_type": "gaussian",
    "noise_level": "standard deviation 25 grey levels",
    "p_noise": 0.99,
    "ms": 56.1,
    "model": "casting 1234abcd",
    "error": "",
    "brightness": 130.1,
    "sharpness": 210.5,
    "sigma": 0.098,
    "density": 0.0,
    "shadow": None,
    "feedback": [
        {"at": "2026-11-24T23:12:00.000Z", "says": "ok", "note": "a reflection", "operator": "Ana", "settles": False}
    ],
    "disagreement": "open",
    "pictures": {
        "noisy": f"/v1/pictures/{_SHA256}/noisy",
        "restored": f"/v1/pictures/{_SHA256}/restored?model=casting%201234abcd",
        "heat": f"/v1/pictures/{_SHA256}/heat?model=casting%201234abcd",
        "thumbnail": f"/v1/pictures/{_SHA256}/thumbnail",
    },
}
_NEW_FEEDBACK_EXAMPLE: dict[str, JsonValue] = {
    "says": "ok",
    "note": "a reflection, not a crack",
    "operator": "Ana",
    "settles": False,
}
_PROBLEM_EXAMPLE: dict[str, JsonValue] = {
    "type": "about:blank",
    "title": "Unsupported Media Type",
    "status": 415,
    "detail": "notes.txt: not an image; expected a JPEG, PNG, BMP, TIFF or WebP file",
}


def format_timestamp(at: int) -> str:
    """Format a time of the log, in milliseconds since 1970, as ISO 8601.

    >>> format_timestamp(1_000)
    '1970-01-01T00:00:01.000Z'
    """
    clamped = min(max(at, _FIRST), _LAST)  # the first span of a trend may have no lower bound
    return (UNIX_EPOCH + timedelta(milliseconds=clamped)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class GivenFeedback(BaseModel):
    """Feedback that a person gave on an inspection."""

    at: Timestamp
    says: FeedbackLabel
    note: str
    operator: str
    settles: bool

    @classmethod
    def of(cls, feedback: Feedback) -> Self:
        """Convert from the log."""
        return cls(
            at=format_timestamp(feedback.at),
            says=feedback.says,
            note=feedback.note,
            operator=feedback.operator,
            settles=feedback.settles,
        )


class NewFeedback(BaseModel):
    """New feedback on an inspection; ``settles``: whether it resolves an open disagreement."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_NEW_FEEDBACK_EXAMPLE]})

    says: FeedbackLabel
    note: Annotated[StorableText, Field(max_length=2000)] = ""
    operator: Annotated[StorableText, Field(max_length=100)] = ""
    settles: StrictBool = False


class ShadowOpinion(BaseModel):
    """Prediction of the shadow bundle for the same image; it does not affect the verdict."""

    model: str
    verdict: Verdict | None
    p_defect: float | None
    threshold: float | None
    error: str

    @classmethod
    def of(cls, result: ShadowResult) -> Self:
        """Convert from the log."""
        return cls(
            model=result.model,
            verdict=result.verdict,
            p_defect=result.p_defect,
            threshold=result.threshold,
            error=result.error,
        )


class Pictures(BaseModel):
    """URLs of an inspection's images; null if there is none."""

    noisy: str | None = None
    restored: str | None = None
    heat: str | None = None
    thumbnail: str | None = None

    @classmethod
    def of(cls, record: InspectionRecord, store: ImageStore | None, prefix: str = "") -> Self:
        """Return the URLs of the images that the store still holds.

        While the store is unavailable, or if it is not to be asked (None), only the URL of the uploaded image is given;
        it works again with the store.
        """
        entry = record.entry
        if entry.width is None:
            return cls()
        try:
            available = store.available(entry.sha256, entry.model) if store else frozenset({"noisy"})
        except StoreUnavailable:
            available = frozenset({"noisy"})
        base = f"{prefix}/v1/pictures/{entry.sha256}"
        by_model = f"?model={quote(entry.model, safe='', errors='replace')}"
        urls = {kind: f"{base}/{kind}{'' if kind == 'noisy' else by_model}" for kind in available}
        return cls(**urls, thumbnail=f"{base}/thumbnail" if "noisy" in available else None)


class LoggedInspection(BaseModel):
    """One logged inspection."""

    model_config = ConfigDict(json_schema_extra={"examples": [_INSPECTION_EXAMPLE]})

    id: int
    at: Timestamp
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
    error: Annotated[str, Field(description="why the image could not be inspected; empty if it was")]
    brightness: float | None
    sharpness: float | None
    sigma: float | None
    density: float | None
    shadow: ShadowOpinion | None
    feedback: list[GivenFeedback]
    disagreement: Disagreement
    pictures: Pictures

    @classmethod
    def of(cls, record: InspectionRecord, store: ImageStore | None, prefix: str = "") -> Self:
        """Convert from the log, with the URLs of the images that are still stored; see ``Pictures.of``.

        ``prefix`` is the path under which a proxy serves the station, such as ``/clearcast``.
        """
        entry = record.entry
        return cls(
            id=record.id,
            at=format_timestamp(entry.at),
            shadow=ShadowOpinion.of(entry.shadow) if entry.shadow else None,
            feedback=[GivenFeedback.of(feedback) for feedback in record.feedback],
            disagreement=record.disagreement,
            pictures=Pictures.of(record, store, prefix),
            **{name: getattr(entry, name) for name in _ENTRY_FIELDS},
        )


class Inspections(BaseModel):
    """Inspections in the order of the uploaded files."""

    inspections: list[LoggedInspection]


class InspectionsPage(Inspections):
    """Page of the log; pass ``next`` as ``after`` to get the following page. It is null on the last."""

    next: str | None


class Count(BaseModel):
    """Counts of inspections in a time span, by verdict and noise type; ``none``: not inspected."""

    start: Timestamp
    inspections: int
    verdicts: dict[Literal["ok", "defect", "retake", "none"], int]
    noise_types: dict[NoiseType | Literal["unknown"], int]
    disagreements: int
    brightness: float | None
    sharpness: float | None
    p_defect: float | None

    @classmethod
    def of(cls, counts: InspectionCounts) -> Self:
        """Convert from the log; all verdicts and noise types are present, also with 0."""
        return cls(
            start=format_timestamp(counts.start),
            inspections=counts.inspections,
            verdicts={**{v.value: counts.verdicts.get(v, 0) for v in Verdict}, "none": counts.verdicts.get(None, 0)},
            noise_types={
                **{kind: counts.noise_types.get(kind, 0) for kind in NoiseType},
                "unknown": counts.noise_types.get(None, 0),
            },
            disagreements=counts.disagreements,
            brightness=counts.brightness,
            sharpness=counts.sharpness,
            p_defect=counts.p_defect,
        )


class Trend(BaseModel):
    """Counts in time spans of equal length, oldest first."""

    spans: list[Count]


class Choices(BaseModel):
    """Values to filter by."""

    models: list[str]
    stations: list[str]


class Login(BaseModel):
    """Token to sign in with on the page."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=1000)]


class Problem(BaseModel):
    """Error response (RFC 9457)."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_PROBLEM_EXAMPLE]})

    type: str
    title: str
    status: int
    detail: str
