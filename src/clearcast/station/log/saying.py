"""What people say of inspections, and where it leaves the verdict."""

from dataclasses import replace

from sqlalchemy import Connection

from clearcast.domain import Verdict
from clearcast.station.log.kinds import kind_in, numbers, verdict_in
from clearcast.station.log.rows import feedback_row, rows
from clearcast.station.log.tables import feedback, inspections
from clearcast.station.log.tallying import count_as
from clearcast.station.records import Disagreement, Feedback, Says


def add(connection: Connection, inspection_id: int, said: Feedback) -> None:
    """Add feedback to an inspection, and count it as of the kind that it is now; nothing where there is none."""
    asked = rows().where(inspections.c.id == inspection_id).with_for_update(of=inspections)
    row = connection.execute(asked).one_or_none()
    if row is None:
        return
    state = disagreement(verdict_in(row.verdict), Disagreement(row.disagreement), said)
    kind = replace(kind_in(row), disagreement=state.value, has_feedback=True)
    kind_id = numbers(connection, [kind])[kind]
    connection.execute(feedback.insert().values(feedback_row(inspection_id, said)))
    connection.execute(inspections.update().where(inspections.c.id == inspection_id).values(kind_id=kind_id))
    count_as(connection, row._asdict(), kind_id)


def disagreement(verdict: Verdict | None, before: Disagreement, said: Feedback) -> Disagreement:
    """Where a disagreement stands after some feedback.

    The last word counts: it opens a disagreement if it contradicts the verdict, and ends one if it does not. One that
    settles leaves what was contradicted, before or by itself, settled.
    """
    contradicted = contradicts(said.says, verdict)
    if said.settles:
        return Disagreement.SETTLED if contradicted or before is not Disagreement.NONE else Disagreement.NONE
    return Disagreement.OPEN if contradicted else Disagreement.NONE


def contradicts(says: Says, verdict: Verdict | None) -> bool:
    """Whether a person's word is against a verdict; nothing is against none."""
    if verdict is None:
        return False
    against = {Says.OK: {Verdict.DEFECT}, Says.DEFECT: {Verdict.OK}, Says.BAD_PICTURE: set(Verdict)}
    return verdict in against[says]
