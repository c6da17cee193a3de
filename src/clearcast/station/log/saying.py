"""Feedback: adding it, and the disagreement state that follows."""

from dataclasses import replace

from sqlalchemy import Connection

from clearcast.domain import Verdict
from clearcast.station.log.kinds import kind_in, numbers, verdict_in
from clearcast.station.log.rows import feedback_row, rows
from clearcast.station.log.tables import feedback, inspections
from clearcast.station.log.tallying import count_as
from clearcast.station.records import Disagreement, Feedback, Says


def add(connection: Connection, inspection_id: int, given: Feedback) -> None:
    """Add feedback to an inspection, and update its dimensions and the rollups; ignore an unknown id."""
    query = rows().where(inspections.c.id == inspection_id).with_for_update(of=inspections)
    row = connection.execute(query).one_or_none()
    if row is None:
        return
    state = disagreement(verdict_in(row.verdict), Disagreement(row.disagreement), given)
    kind = replace(kind_in(row), disagreement=state.value, has_feedback=True)
    kind_id = numbers(connection, [kind])[kind]
    connection.execute(feedback.insert().values(feedback_row(inspection_id, given)))
    connection.execute(inspections.update().where(inspections.c.id == inspection_id).values(kind_id=kind_id))
    count_as(connection, row._asdict(), kind_id)


def disagreement(verdict: Verdict | None, before: Disagreement, given: Feedback) -> Disagreement:
    """Return the disagreement state after feedback.

    The latest feedback counts: it opens a disagreement if it contradicts the verdict, and ends one if not. Feedback
    that settles makes an earlier disagreement, or its own, settled.
    """
    contradicted = contradicts(given.says, verdict)
    if given.settles:
        return Disagreement.SETTLED if contradicted or before is not Disagreement.NONE else Disagreement.NONE
    return Disagreement.OPEN if contradicted else Disagreement.NONE


def contradicts(says: Says, verdict: Verdict | None) -> bool:
    """Return whether feedback contradicts a verdict; False if there is no verdict."""
    if verdict is None:
        return False
    contradicted = {Says.OK: {Verdict.DEFECT}, Says.DEFECT: {Verdict.OK}, Says.BAD_PICTURE: set(Verdict)}
    return verdict in contradicted[says]
