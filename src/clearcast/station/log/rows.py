"""Conversion between records and rows of the log's tables."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from clearcast.domain import Verdict
from clearcast.log_odds import log_odds
from clearcast.station.log.kinds import COLUMNS, noise_type_in, verdict_in
from clearcast.station.log.tables import feedback, inspections, kinds
from clearcast.station.log.values import finite, fold, plain
from clearcast.station.records import Disagreement, Entry, Feedback, Opinion, Record, Says

_CLAMP = 1e-9  # smallest distance of a probability from 0 and 1 in log-odds
_BATCH_SIZE = 500  # ids per query
_UNCHANGED = ("at", "size", "width", "height")  # columns with the entry's own values
_TEXTS = ("name", "sha256", "noise_level", "error")
_NUMBERS = ("p_defect", "threshold", "p_noise", "ms", "brightness", "sharpness", "sigma", "density")


def inspection_row(entry: Entry, kind_id: int) -> dict[str, object]:
    """Return the values of an entry's row in ``inspections``."""
    shadow = entry.shadow
    return {
        "kind_id": kind_id,
        **{name: getattr(entry, name) for name in _UNCHANGED},
        **{name: plain(getattr(entry, name)) for name in _TEXTS},
        **{name: finite(getattr(entry, name)) for name in _NUMBERS},
        "folded": fold(entry.name),
        "margin": margin(finite(entry.p_defect), finite(entry.threshold)),
        "shadow_model": plain(shadow.model) if shadow else None,
        "shadow_verdict": shadow.verdict.value if shadow and shadow.verdict else None,
        "shadow_p_defect": finite(shadow.p_defect) if shadow else None,
        "shadow_threshold": finite(shadow.threshold) if shadow else None,
        "shadow_error": plain(shadow.error) if shadow else None,
    }


def feedback_row(inspection_id: int, given: Feedback) -> dict[str, object]:
    """Return the values of a row in ``feedback``."""
    return {
        "inspection_id": inspection_id,
        "at": given.at,
        "says": given.says.value,
        "note": plain(given.note),
        "operator": plain(given.operator),
        "settles": given.settles,
    }


def margin(p_defect: float | None, threshold: float | None) -> float | None:
    """Return the distance of a probability from the threshold in log-odds; from 0.5 if there is no threshold.

    >>> margin(0.5, 0.5)
    0.0
    """
    if p_defect is None:
        return None
    return abs(log_odds(p_defect, _CLAMP) - log_odds(0.5 if threshold is None else threshold, _CLAMP))


def records(connection: Connection, ids: Sequence[int]) -> list[Record]:
    """Return the inspections with these ids, in order; missing ones are left out."""
    found: dict[int, Record] = {}
    for begin in range(0, len(ids), _BATCH_SIZE):
        batch = ids[begin : begin + _BATCH_SIZE]
        by_id = _feedback(connection, batch)
        for row in connection.execute(rows().where(inspections.c.id.in_(batch))):
            found[row.id] = record_in(row, by_id.get(row.id, ()))
    return [found[id_] for id_ in ids if id_ in found]


def rows() -> Select[Any]:
    """Select all inspections with their dimension columns."""
    return select(inspections, *COLUMNS).join(kinds, kinds.c.id == inspections.c.kind_id)


def _feedback(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[Feedback, ...]]:
    query = select(feedback).where(feedback.c.inspection_id.in_(ids)).order_by(feedback.c.id)
    by_id: dict[int, tuple[Feedback, ...]] = {}
    for row in connection.execute(query):
        one = Feedback(at=row.at, says=Says(row.says), note=row.note, operator=row.operator, settles=row.settles)
        by_id[row.inspection_id] = (*by_id.get(row.inspection_id, ()), one)
    return by_id


def record_in(row: Row[Any], given: tuple[Feedback, ...]) -> Record:
    """Return the record of a row of ``rows`` with its feedback."""
    return Record(id=row.id, entry=entry_in(row), feedback=given, disagreement=Disagreement(row.disagreement))


def entry_in(row: Row[Any]) -> Entry:
    """Return the entry of a row of ``rows``."""
    return Entry(
        **{name: row._mapping[name] for name in (*_UNCHANGED, *_TEXTS, *_NUMBERS)},
        model=row.model,
        station=row.station,
        verdict=verdict_in(row.verdict),
        noise_type=noise_type_in(row.noise_type),
        shadow=_shadow_result(row),
    )


def _shadow_result(row: Row[Any]) -> Opinion | None:
    if row.shadow_model is None:
        return None
    return Opinion(
        model=row.shadow_model,
        verdict=Verdict(row.shadow_verdict) if row.shadow_verdict else None,
        p_defect=row.shadow_p_defect,
        threshold=row.shadow_threshold,
        error=row.shadow_error,
    )
