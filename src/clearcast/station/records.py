"""Records of the log: entries, feedback, filters, pages and counts.

Times (``at``) are UTC, in whole milliseconds since 1970-01-01: exact, sortable and the same in every database.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from clearcast.noise.registry import NoiseType
from clearcast.types import Verdict


class FeedbackLabel(StrEnum):
    """Label that a person gives an image. ``BAD_PICTURE``: nobody could decide from this image."""

    OK = "ok"
    DEFECT = "defect"
    BAD_PICTURE = "bad_picture"


class Disagreement(StrEnum):
    """Whether the latest feedback contradicts the verdict, and whether that is settled."""

    NONE = "none"
    OPEN = "open"
    SETTLED = "settled"


class InspectionOrder(StrEnum):
    """Sort order of the log: newest first, or least certain first."""

    NEWEST = "newest"
    LEAST_CERTAIN = "least_certain"


@dataclass(frozen=True, kw_only=True)
class ShadowResult:
    """Result of the shadow bundle for the same image; it does not affect the verdict.

    Attributes:
        model: the bundle's name and the first characters of its fingerprint.
        verdict, p_defect, threshold: see ``clearcast.types.Inspection``.
        error: why there is no result; "" if there is one.
    """

    model: str
    verdict: Verdict | None
    p_defect: float | None
    threshold: float | None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class InspectionEntry:
    """One inspection, before it is logged.

    Attributes:
        at: when it was requested.
        name: the sender's name of the image, at most 255 characters; never a path, never HTML.
        station: the station, camera or line that sent it; "" if unknown.
        sha256: hash of the bytes received, in hexadecimal; the key of the image in the store.
        size: number of bytes received.
        width, height: in pixels; None if the image could not be decoded.
        verdict, p_defect, threshold, noise_type, noise_level, p_noise, ms, model, error: see
            ``clearcast.types.Inspection``.
        brightness, sharpness, sigma, density: see ``clearcast.types.ImageStats``.
        shadow: result of the shadow bundle; None if there is none.
        pixels: see ``clearcast.types.Inspection``; not logged.
    """

    at: int
    name: str
    station: str
    sha256: str
    size: int
    width: int | None
    height: int | None
    verdict: Verdict | None
    p_defect: float | None
    threshold: float | None
    noise_type: NoiseType | None
    noise_level: str
    p_noise: float | None
    ms: float | None
    model: str
    error: str
    brightness: float | None = None
    sharpness: float | None = None
    sigma: float | None = None
    density: float | None = None
    shadow: ShadowResult | None = None
    pixels: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """Feedback of a person on an inspection; the latest counts, all are kept.

    Attributes:
        at: when it was given.
        says: the label given.
        note: free text, at most 2000 characters.
        operator: the person's name, at most 100 characters.
        settles: whether it settles an open disagreement.
    """

    at: int
    says: FeedbackLabel
    note: str
    operator: str
    settles: bool = False


@dataclass(frozen=True, kw_only=True)
class InspectionRecord:
    """One logged inspection with its feedback.

    Attributes:
        id: increases with every entry.
        entry: the inspection; never changes.
        feedback: all feedback, oldest first.
        disagreement: see ``Disagreement``.
    """

    id: int
    entry: InspectionEntry
    feedback: tuple[Feedback, ...] = ()
    disagreement: Disagreement = Disagreement.NONE


@dataclass(frozen=True, kw_only=True)
class InspectionFilter:
    """Filter for inspections; None, "" and empty sets match everything.

    Attributes:
        since, until: ``since <= at < until``.
        verdicts: any of these; ``None`` stands for inspections without a verdict.
        noise_types: any of these.
        model, station: exactly this one.
        disagreement: exactly this state.
        shadow_differs: only those with another verdict by the shadow bundle.
        feedback: whether there is any feedback.
        text: part of the name, or the beginning of the SHA-256 (at least 8 hexadecimal digits); not case-sensitive.
    """

    since: int | None = None
    until: int | None = None
    verdicts: frozenset[Verdict | None] = frozenset()
    noise_types: frozenset[NoiseType] = frozenset()
    model: str = ""
    station: str = ""
    disagreement: Disagreement | None = None
    shadow_differs: bool = False
    feedback: bool | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class InspectionPage:
    """One page of inspections.

    Attributes:
        records: the inspections, in the requested order, at most the requested number.
        next: cursor of the next page, opaque; None at the end.
    """

    records: tuple[InspectionRecord, ...]
    next: str | None


@dataclass(frozen=True, kw_only=True)
class InspectionCounts:
    """Counts and means of the inspections in a time span.

    Attributes:
        start: beginning of the span.
        inspections: number of inspections, including those without a verdict.
        verdicts: number per verdict; ``None`` counts those without.
        noise_types: number per noise type; ``None`` counts those without.
        disagreements: number with an open or settled disagreement.
        brightness, sharpness, p_defect: means over the inspections that have a value; None if none has.
    """

    start: int
    inspections: int
    verdicts: dict[Verdict | None, int]
    noise_types: dict[NoiseType | None, int]
    disagreements: int
    brightness: float | None
    sharpness: float | None
    p_defect: float | None
