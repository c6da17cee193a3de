"""Conversion between records and rows of the log's tables, and the disagreement state after feedback."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from clearcast.core.numbers import log_odds
from clearcast.noise.registry import NoiseType
from clearcast.station.log.rollups import (
    DIMENSION_COLUMNS,
    dimension_ids,
    move_in_rollups,
    parse_dimensions,
)
from clearcast.station.log.schema import (
    dimensions_table,
    feedback_table,
    finite_or_none,
    fold_case,
    inspections_table,
    to_database_text,
)
from clearcast.station.records import (
    Disagreement,
    Feedback,
    FeedbackLabel,
    InspectionEntry,
    InspectionRecord,
    ShadowResult,
)
from clearcast.types import Verdict

_MIN_PROBABILITY = 1e-9  # smallest distance of a probability from 0 and 1 in log-odds
_BATCH_SIZE = 500  # ids per query
_UNCHANGED = ("at", "size", "width", "height")  # columns with the entry's own values
_TEXTS = ("name", "sha256", "noise_level", "error")
_NUMBERS = ("p_defect", "threshold", "p_noise", "ms", "brightness", "sharpness", "sigma", "density")


def inspection_values(entry: InspectionEntry, kind_id: int) -> dict[str, object]:
    """Return the values of an entry's row in ``inspections``."""
    shadow = entry.shadow
    return {
        "kind_id": kind_id,
        **{name: getattr(entry, name) for name in _UNCHANGED},
        **{name: to_database_text(getattr(entry, name)) for name in _TEXTS},
        **{name: finite_or_none(getattr(entry, name)) for name in _NUMBERS},
        "folded": fold_case(entry.name),
        "margin": threshold_margin(finite_or_none(entry.p_defect), finite_or_none(entry.threshold)),
        "shadow_model": to_database_text(shadow.model) if shadow else None,
        "shadow_verdict": shadow.verdict.value if shadow and shadow.verdict else None,
        "shadow_p_defect": finite_or_none(shadow.p_defect) if shadow else None,
        "shadow_threshold": finite_or_none(shadow.threshold) if shadow else None,
        "shadow_error": to_database_text(shadow.error) if shadow else None,
    }


def feedback_values(inspection_id: int, feedback: Feedback) -> dict[str, object]:
    """Return the values of a row in ``feedback``."""
    return {
        "inspection_id": inspection_id,
        "at": feedback.at,
        "says": feedback.says.value,
        "note": to_database_text(feedback.note),
        "operator": to_database_text(feedback.operator),
        "settles": feedback.settles,
    }


def threshold_margin(p_defect: float | None, threshold: float | None) -> float | None:
    """Return the distance of a probability from the threshold in log-odds; from 0.5 if there is no threshold.

    >>> threshold_margin(0.5, 0.5)
    0.0
    """
    if p_defect is None:
        return None
    return abs(
        log_odds(p_defect, _MIN_PROBABILITY) - log_odds(0.5 if threshold is None else threshold, _MIN_PROBABILITY)
    )


def fetch_records(connection: Connection, ids: Sequence[int]) -> list[InspectionRecord]:
    """Return the inspections with these ids, in order; missing ones are left out."""
    found: dict[int, InspectionRecord] = {}
    for begin in range(0, len(ids), _BATCH_SIZE):
        batch = ids[begin : begin + _BATCH_SIZE]
        by_id = _fetch_feedback(connection, batch)
        for row in connection.execute(select_inspections().where(inspections_table.c.id.in_(batch))):
            found[row.id] = parse_record(row, by_id.get(row.id, ()))
    return [found[id_] for id_ in ids if id_ in found]


def select_inspections() -> Select[Any]:
    """Select all inspections with their dimension columns."""
    return select(inspections_table, *DIMENSION_COLUMNS).join(
        dimensions_table, dimensions_table.c.id == inspections_table.c.kind_id
    )


def _fetch_feedback(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[Feedback, ...]]:
    query = select(feedback_table).where(feedback_table.c.inspection_id.in_(ids)).order_by(feedback_table.c.id)
    by_id: dict[int, tuple[Feedback, ...]] = {}
    for row in connection.execute(query):
        one = Feedback(
            at=row.at, says=FeedbackLabel(row.says), note=row.note, operator=row.operator, settles=row.settles
        )
        by_id[row.inspection_id] = (*by_id.get(row.inspection_id, ()), one)
    return by_id


def parse_record(row: Row[Any], feedback: tuple[Feedback, ...]) -> InspectionRecord:
    """Return the record of a row of ``select_inspections`` with its feedback."""
    return InspectionRecord(
        id=row.id, entry=parse_entry(row), feedback=feedback, disagreement=Disagreement(row.disagreement)
    )


def parse_entry(row: Row[Any]) -> InspectionEntry:
    """Return the entry of a row of ``select_inspections``."""
    return InspectionEntry(
        **{name: row._mapping[name] for name in (*_UNCHANGED, *_TEXTS, *_NUMBERS)},
        model=row.model,
        station=row.station,
        verdict=parse_verdict_column(row.verdict),
        noise_type=parse_noise_type_column(row.noise_type),
        shadow=_shadow_result(row),
    )


def parse_verdict_column(text: str) -> Verdict | None:
    """Parse the verdict in a column."""
    return Verdict(text) if text else None


def parse_noise_type_column(text: str) -> NoiseType | None:
    """Parse the noise type in a column."""
    return NoiseType(text) if text else None


def _shadow_result(row: Row[Any]) -> ShadowResult | None:
    if row.shadow_model is None:
        return None
    return ShadowResult(
        model=row.shadow_model,
        verdict=Verdict(row.shadow_verdict) if row.shadow_verdict else None,
        p_defect=row.shadow_p_defect,
        threshold=row.shadow_threshold,
        error=row.shadow_error,
    )


def insert_feedback(connection: Connection, inspection_id: int, feedback: Feedback) -> None:
    """Add feedback to an inspection, and update its dimensions and the rollups; ignore an unknown id."""
    query = select_inspections().where(inspections_table.c.id == inspection_id).with_for_update(of=inspections_table)
    row = connection.execute(query).one_or_none()
    if row is None:
        return
    state = next_disagreement(parse_verdict_column(row.verdict), Disagreement(row.disagreement), feedback)
    dimensions = replace(parse_dimensions(row), disagreement=state.value, has_feedback=True)
    kind_id = dimension_ids(connection, [dimensions])[dimensions]
    connection.execute(feedback_table.insert().values(feedback_values(inspection_id, feedback)))
    connection.execute(
        inspections_table.update().where(inspections_table.c.id == inspection_id).values(kind_id=kind_id)
    )
    move_in_rollups(connection, row._asdict(), kind_id)


def next_disagreement(verdict: Verdict | None, before: Disagreement, feedback: Feedback) -> Disagreement:
    """Return the disagreement state after feedback.

    The latest feedback counts: it opens a disagreement if it contradicts the verdict, and ends one if not. Feedback
    that settles makes an earlier disagreement, or its own, settled.
    """
    contradicted = contradicts_verdict(feedback.says, verdict)
    if feedback.settles:
        return Disagreement.SETTLED if contradicted or before is not Disagreement.NONE else Disagreement.NONE
    return Disagreement.OPEN if contradicted else Disagreement.NONE


def contradicts_verdict(says: FeedbackLabel, verdict: Verdict | None) -> bool:
    """Return whether feedback contradicts a verdict; False if there is no verdict."""
    if verdict is None:
        return False
    contradicted = {
        FeedbackLabel.OK: {Verdict.DEFECT},
        FeedbackLabel.DEFECT: {Verdict.OK},
        FeedbackLabel.BAD_PICTURE: set(Verdict),
    }
    return verdict in contradicted[says]
