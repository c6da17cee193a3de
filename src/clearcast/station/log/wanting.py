"""From what is wanted of the log to conditions on its tables."""

import re
from typing import Any

from sqlalchemy import ColumnElement, Select, false, or_, select, true

from clearcast.domain import Verdict
from clearcast.station.log.tables import inspections, kinds
from clearcast.station.log.tallying import FAR
from clearcast.station.log.values import fold, plain
from clearcast.station.records import Wanted

_HASH = re.compile("[0-9a-f]{8,64}")
_LONGEST = 1000  # letters of a text to look for; no name has as many


def of_kind(kind_id: ColumnElement[int], wanted: Wanted) -> ColumnElement[bool]:
    """Whether a row is of a wanted kind, by its column ``kind_id``; for rows that are gone through in an order.

    The sum keeps databases from gathering all rows of the kinds first, and sorting them then.
    """
    return (kind_id + 0).in_(_kinds(wanted)) if kind_conditions(wanted) else true()


def gathered(wanted: Wanted) -> ColumnElement[bool]:
    """Whether an inspection is of a wanted kind; for few, which are gathered and sorted then."""
    return inspections.c.kind_id.in_(_kinds(wanted))


def kind_conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    """What makes a row of ``kinds`` a wanted one; nothing where all are."""
    return [
        *([kinds.c.verdict.in_([_verdict(verdict) for verdict in wanted.verdicts])] if wanted.verdicts else []),
        *([kinds.c.noise_type.in_([noise.value for noise in wanted.noise_types])] if wanted.noise_types else []),
        *([kinds.c.model == plain(wanted.model)] if wanted.model else []),
        *([kinds.c.station == plain(wanted.station)] if wanted.station else []),
        *([kinds.c.disagreement == wanted.disagreement.value] if wanted.disagreement else []),
        *([kinds.c.shadow_differs.is_(True)] if wanted.shadow_differs else []),
        *([kinds.c.has_feedback.is_(wanted.feedback)] if wanted.feedback is not None else []),
    ]


def _kinds(wanted: Wanted) -> Select[Any]:
    return select(kinds.c.id).where(*kind_conditions(wanted))


def in_time(wanted: Wanted) -> ColumnElement[bool]:
    """Whether an inspection is of the wanted span of time."""
    at = inspections.c.at
    since = true() if wanted.since is None else at >= moment(wanted.since)
    return since if wanted.until is None else since & (at < moment(wanted.until))


def moment(at: int) -> int:
    """The time, or the first or last that a database may be asked for."""
    return min(max(at, -FAR), FAR)


def named(text: str) -> ColumnElement[bool]:
    """Whether the name of an inspection has ``text`` in it, or its SHA-256 begins with it."""
    piece = fold(text)
    if not piece:
        return true()
    if len(piece) > _LONGEST:
        return false()
    literally = piece.replace("/", "//").replace("%", "/%").replace("_", "/_")
    name = inspections.c.folded.like(f"%{literally}%", escape="/")
    return or_(name, inspections.c.id.in_(_of_hash(piece))) if _HASH.fullmatch(piece) else name


def _of_hash(beginning: str) -> Select[Any]:
    after = beginning + "g"  # follows all that go on in hexadecimal
    return select(inspections.c.id).where(inspections.c.sha256 >= beginning, inspections.c.sha256 < after)


def _verdict(verdict: Verdict | None) -> str:
    return verdict.value if verdict else ""
