"""What a station keeps of every inspection, and how the log is asked for it.

Times are UTC, in whole milliseconds since 1970-01-01, as ``at``: exact, sortable and the same in every database.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from clearcast.domain import NoiseType, Verdict


class Says(StrEnum):
    """What a person says of a picture. ``BAD_PICTURE``: nobody could judge this one."""

    OK = "ok"
    DEFECT = "defect"
    BAD_PICTURE = "bad_picture"


class Disagreement(StrEnum):
    """Whether the last feedback contradicts the verdict, and whether somebody has settled that."""

    NONE = "none"
    OPEN = "open"
    SETTLED = "settled"


class Order(StrEnum):
    """How a page of the log is sorted: the newest first, or what the bundle was least certain of."""

    NEWEST = "newest"
    LEAST_CERTAIN = "least_certain"


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What a second bundle, in shadow, said of the same picture; it decides nothing.

    Attributes:
        model: the bundle's name and the first characters of its fingerprint.
        verdict, p_defect, threshold: see ``clearcast.domain.Inspection``.
        error: why it has none; "" where it has.
    """

    model: str
    verdict: Verdict | None
    p_defect: float | None
    threshold: float | None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One inspection, before it is logged.

    Attributes:
        at: when it was asked for.
        name: what the sender calls the picture, at most 255 characters; never a path, never HTML.
        station: which station, camera or line sent it; "" where nobody said.
        sha256: of the bytes that came, in hexadecimal; the picture is kept under it.
        size: bytes that came.
        width, height: of the picture in pixels; None where it could not be decoded.
        verdict, p_defect, threshold, noise_type, noise_level, p_noise, ms, model, error: see
            ``clearcast.domain.Inspection``.
        brightness, sharpness, sigma, density: see ``clearcast.domain.Looks``.
        shadow: what the bundle in shadow said; None where there is none.
        pixels: see ``clearcast.domain.Inspection``; not logged.
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
    shadow: Opinion | None = None
    pixels: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What a person said of an inspection; the last word counts, and all are kept.

    Attributes:
        at: when.
        says: what.
        note: in the person's own words, at most 2000 characters.
        operator: the person's name, at most 100 characters.
        settles: whether an open disagreement is done with by this.
    """

    at: int
    says: Says
    note: str
    operator: str
    settles: bool = False


@dataclass(frozen=True, kw_only=True)
class Record:
    """One inspection as it is logged.

    Attributes:
        id: counts up with the log.
        entry: what was logged, and never changes.
        feedback: all of it, oldest first.
        disagreement: see ``Disagreement``.
    """

    id: int
    entry: Entry
    feedback: tuple[Feedback, ...] = ()
    disagreement: Disagreement = Disagreement.NONE


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which inspections are asked for; None, "" and empty sets ask for all.

    Attributes:
        since, until: ``since <= at < until``.
        verdicts: any of these; ``None`` in it stands for pictures that could not be judged.
        noise_types: any of these.
        model, station: exactly this one.
        disagreement: exactly this.
        shadow_differs: only those of which the bundle in shadow gives another verdict.
        feedback: whether there is any.
        text: a piece of the name, or the beginning of the SHA-256 (at least 8 hexadecimal digits); letters' case does
            not matter.
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
class Page:
    """Some inspections, in the order that was asked for.

    Attributes:
        records: at most as many as were asked for.
        next: give it back to get those that follow; None at the end. Opaque.
    """

    records: tuple[Record, ...]
    next: str | None


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many inspections of a span of time, and what was said of them.

    Attributes:
        start: when the span begins.
        inspections: how many, with those that could not be judged.
        verdicts: how many of each; ``None`` counts those without.
        noise_types: how many of each; ``None`` counts those without.
        disagreements: how many are or were contradicted.
        brightness, sharpness, p_defect: means over those that have one; None where none has.
    """

    start: int
    inspections: int
    verdicts: dict[Verdict | None, int]
    noise_types: dict[NoiseType | None, int]
    disagreements: int
    brightness: float | None
    sharpness: float | None
    p_defect: float | None
