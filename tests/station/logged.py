"""Log entries for tests, and a reference implementation of filters and feedback in plain Python."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from clearcast.noise.registry import NoiseType
from clearcast.station.log import InspectionLog
from clearcast.station.records import (
    Disagreement,
    Feedback,
    FeedbackLabel,
    InspectionEntry,
    InspectionFilter,
    InspectionOrder,
    InspectionRecord,
    ShadowResult,
)
from clearcast.types import Verdict

BEGIN = 1_790_000_000_000  # in 2026
MODELS = ("casting 1234abcd", "disk ffff0000")
STATIONS = ("", "line 1", "line 2")
NAMES = ("part {}.jpg", "PART_{}.PNG", "50%_{}.png", "Straße {}.bmp", "../{}", "a\\{}", "İ{}", "")

ENTRY = InspectionEntry(
    at=BEGIN,
    name="part.jpg",
    station="line 1",
    sha256="5e" * 32,
    size=23110,
    width=512,
    height=384,
    verdict=Verdict.DEFECT,
    p_defect=0.97,
    threshold=0.43,
    noise_type=NoiseType.GAUSSIAN,
    noise_level="standard deviation 25 grey levels",
    p_noise=0.998,
    ms=56.1,
    model=MODELS[0],
    error="",
    brightness=130.1,
    sharpness=210.5,
    sigma=0.098,
    density=0.0,
)
UNREADABLE = replace(
    ENTRY,
    width=None,
    height=None,
    verdict=None,
    p_defect=None,
    threshold=None,
    noise_type=None,
    noise_level="",
    p_noise=None,
    ms=None,
    error="a truncated JPEG",
    brightness=None,
    sharpness=None,
    sigma=None,
    density=None,
)


def make_feedback(label: FeedbackLabel = FeedbackLabel.OK, *, settles: bool = False) -> Feedback:
    """Create feedback."""
    return Feedback(at=BEGIN + 1, says=label, note="looked at it", operator="Ana", settles=settles)


def fill_log(log: InspectionLog, *, count: int, within: int, seed: int = 1) -> list[InspectionRecord]:
    """Log random inspections within ``within`` milliseconds and random feedback; return the expected records."""
    random = Random(seed)
    logged: dict[int, InspectionRecord] = {}
    remaining = [_random_entry(random, number, BEGIN + random.randrange(within)) for number in range(count)]
    while remaining:
        batch, remaining = remaining[:50], remaining[50:]
        logged |= {
            number: InspectionRecord(id=number, entry=one) for number, one in zip(log.write(batch), batch, strict=True)
        }
        for number in random.sample(sorted(logged), 10):
            feedback = make_feedback(random.choice([*FeedbackLabel]), settles=random.random() < 0.3)
            log.add_feedback(number, feedback)
            logged[number] = apply_feedback(logged[number], feedback)
    return list(logged.values())


def apply_feedback(record: InspectionRecord, feedback: Feedback) -> InspectionRecord:
    """Return a record with feedback added and its disagreement state updated."""
    verdict = record.entry.verdict
    contradictions = {
        (FeedbackLabel.OK, Verdict.DEFECT),
        (FeedbackLabel.DEFECT, Verdict.OK),
        *((FeedbackLabel.BAD_PICTURE, any_) for any_ in Verdict),
    }
    if feedback.settles and (
        (feedback.says, verdict) in contradictions or record.disagreement is not Disagreement.NONE
    ):
        state = Disagreement.SETTLED
    else:
        state = Disagreement.OPEN if (feedback.says, verdict) in contradictions else Disagreement.NONE
    return replace(record, feedback=(*record.feedback, feedback), disagreement=state)


def filter_records(
    records: Sequence[InspectionRecord], filters: InspectionFilter, order: InspectionOrder = InspectionOrder.NEWEST
) -> list[InspectionRecord]:
    """Return the records that match a filter, in order."""
    found = [record for record in records if all(matches(record, filters) for matches in _CONDITIONS)]
    if order is InspectionOrder.NEWEST:
        return sorted(found, key=lambda record: (record.entry.at, record.id), reverse=True)
    return sorted((record for record in found if record.entry.p_defect is not None), key=_margin_and_id)


_CONDITIONS: tuple[Callable[[InspectionRecord, InspectionFilter], bool], ...] = (
    lambda record, filters: filters.since is None or filters.since <= record.entry.at,
    lambda record, filters: filters.until is None or record.entry.at < filters.until,
    lambda record, filters: not filters.verdicts or record.entry.verdict in filters.verdicts,
    lambda record, filters: not filters.noise_types or record.entry.noise_type in filters.noise_types,
    lambda record, filters: filters.model in ("", record.entry.model),
    lambda record, filters: filters.station in ("", record.entry.station),
    lambda record, filters: filters.disagreement in (None, record.disagreement),
    lambda record, filters: not filters.shadow_differs or _shadow_differs(record.entry),
    lambda record, filters: filters.feedback in (None, bool(record.feedback)),
    lambda record, filters: _matches_text(record.entry, filters.text.casefold()),
)


def _matches_text(entry: InspectionEntry, text: str) -> bool:
    hexadecimal = len(text) >= 8 and set(text) <= set("0123456789abcdef")
    return text in entry.name.casefold() or (hexadecimal and entry.sha256.startswith(text))


def _shadow_differs(entry: InspectionEntry) -> bool:
    return entry.shadow is not None and entry.shadow.verdict not in (None, entry.verdict)


def _margin_and_id(record: InspectionRecord) -> tuple[float, int]:
    p, threshold = record.entry.p_defect, record.entry.threshold
    assert p is not None
    assert threshold is not None
    return abs(math.log(p / (1 - p)) - math.log(threshold / (1 - threshold))), record.id


def _random_entry(random: Random, number: int, at: int) -> InspectionEntry:
    known = replace(
        ENTRY,
        at=at,
        name=random.choice(NAMES).format(number),
        station=random.choice(STATIONS),
        sha256=random.randbytes(32).hex(),
        model=random.choice(MODELS),
        verdict=random.choice([*Verdict]),
        noise_type=random.choice([*NoiseType]),
        p_defect=random.choice([0.43, 0.9, random.uniform(0.01, 0.99)]),
        brightness=random.uniform(0, 255),
        sharpness=random.uniform(0, 1000),
    )
    if random.random() < 0.3:
        known = replace(known, shadow=_random_shadow_result(random))
    if random.random() < 0.1:
        blank = replace(UNREADABLE, at=at, name=known.name, station=known.station, sha256=known.sha256)
        return replace(blank, model=known.model)
    return known


def _random_shadow_result(random: Random) -> ShadowResult:
    if random.random() < 0.2:
        return ShadowResult(model="shadow", verdict=None, p_defect=None, threshold=None, error="it failed")
    return ShadowResult(model="shadow", verdict=random.choice([*Verdict]), p_defect=random.random(), threshold=0.5)
