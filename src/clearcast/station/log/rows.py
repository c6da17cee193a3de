"""From records to rows of the log's tables, and back."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from clearcast.domain import Verdict
from clearcast.log_odds import log_odds
from clearcast.station.log.kinds import COLUMNS, noise_type_in, verdict_in
from clearcast.station.log.tables import feedback, inspections, kinds
from clearcast.station.log.values import finite, fold, plain
from clearcast.station.records import Disagreement, Entry, Feedback, Opinion, Record, Says

_SURE = 1e-9  # probabilities nearer to 0 or 1 are all as certain as this
_AT_ONCE = 500  # rows asked for by number in one query
_SAME = ("at", "size", "width", "height")  # columns that hold what the entry holds
_TEXTS = ("name", "sha256", "noise_level", "error")
_NUMBERS = ("p_defect", "threshold", "p_noise", "ms", "brightness", "sharpness", "sigma", "density")


def inspection_row(entry: Entry, kind_id: int) -> dict[str, object]:
    """The values of an entry's row in ``inspections``."""
    shadow = entry.shadow
    return {
        "kind_id": kind_id,
        **{name: getattr(entry, name) for name in _SAME},
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


def feedback_row(inspection_id: int, said: Feedback) -> dict[str, object]:
    """The values of a row in ``feedback``."""
    return {
        "inspection_id": inspection_id,
        "at": said.at,
        "says": said.says.value,
        "note": plain(said.note),
        "operator": plain(said.operator),
        "settles": said.settles,
    }


def margin(p_defect: float | None, threshold: float | None) -> float | None:
    """How far a probability is from the threshold, in log-odds; from even odds where there is no threshold.

    >>> margin(0.5, 0.5)
    0.0
    """
    if p_defect is None:
        return None
    return abs(log_odds(p_defect, _SURE) - log_odds(0.5 if threshold is None else threshold, _SURE))


def records(connection: Connection, ids: Sequence[int]) -> list[Record]:
    """The inspections of these numbers, in their order; those that are not there are left out."""
    found: dict[int, Record] = {}
    for begin in range(0, len(ids), _AT_ONCE):
        some = ids[begin : begin + _AT_ONCE]
        said = _feedback(connection, some)
        for row in connection.execute(rows().where(inspections.c.id.in_(some))):
            found[row.id] = record_in(row, said.get(row.id, ()))
    return [found[number] for number in ids if number in found]


def rows() -> Select[Any]:
    """All inspections with the columns of their kinds."""
    return select(inspections, *COLUMNS).join(kinds, kinds.c.id == inspections.c.kind_id)


def _feedback(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[Feedback, ...]]:
    wanted = select(feedback).where(feedback.c.inspection_id.in_(ids)).order_by(feedback.c.id)
    said: dict[int, tuple[Feedback, ...]] = {}
    for row in connection.execute(wanted):
        one = Feedback(at=row.at, says=Says(row.says), note=row.note, operator=row.operator, settles=row.settles)
        said[row.inspection_id] = (*said.get(row.inspection_id, ()), one)
    return said


def record_in(row: Row[Any], said: tuple[Feedback, ...]) -> Record:
    """The record of a row of ``rows`` and its feedback."""
    return Record(id=row.id, entry=entry_in(row), feedback=said, disagreement=Disagreement(row.disagreement))


def entry_in(row: Row[Any]) -> Entry:
    """The entry of a row of ``rows``."""
    return Entry(
        **{name: row._mapping[name] for name in (*_SAME, *_TEXTS, *_NUMBERS)},
        model=row.model,
        station=row.station,
        verdict=verdict_in(row.verdict),
        noise_type=noise_type_in(row.noise_type),
        shadow=_opinion(row),
    )


def _opinion(row: Row[Any]) -> Opinion | None:
    if row.shadow_model is None:
        return None
    return Opinion(
        model=row.shadow_model,
        verdict=Verdict(row.shadow_verdict) if row.shadow_verdict else None,
        p_defect=row.shadow_p_defect,
        threshold=row.shadow_threshold,
        error=row.shadow_error,
    )
