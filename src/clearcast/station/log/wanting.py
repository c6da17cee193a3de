"""Filters of the log as SQL conditions."""

import re
from typing import Any

from sqlalchemy import ColumnElement, Select, false, or_, select, true

from clearcast.domain import Verdict
from clearcast.station.log.tables import inspections, kinds
from clearcast.station.log.tallying import FAR
from clearcast.station.log.values import fold, plain
from clearcast.station.records import Wanted

_HASH = re.compile("[0-9a-f]{8,64}")
_MAX_TEXT = 1000  # characters of a search text; no name has as many


def of_kind(kind_id: ColumnElement[int], filters: Wanted) -> ColumnElement[bool]:
    """Condition that a row's ``kind_id`` matches the filter's dimensions; for scans in an index's order.

    The "+ 0" keeps databases from collecting all matching rows first and sorting them.
    """
    return (kind_id + 0).in_(_matching_kinds(filters)) if kind_conditions(filters) else true()


def gathered(filters: Wanted) -> ColumnElement[bool]:
    """Condition that an inspection matches the filter's dimensions; for few matches, which are collected and sorted."""
    return inspections.c.kind_id.in_(_matching_kinds(filters))


def kind_conditions(filters: Wanted) -> list[ColumnElement[bool]]:
    """Conditions that a row of ``kinds`` matches the filter; empty if all match."""
    return [
        *([kinds.c.verdict.in_([_verdict_text(verdict) for verdict in filters.verdicts])] if filters.verdicts else []),
        *([kinds.c.noise_type.in_([noise.value for noise in filters.noise_types])] if filters.noise_types else []),
        *([kinds.c.model == plain(filters.model)] if filters.model else []),
        *([kinds.c.station == plain(filters.station)] if filters.station else []),
        *([kinds.c.disagreement == filters.disagreement.value] if filters.disagreement else []),
        *([kinds.c.shadow_differs.is_(True)] if filters.shadow_differs else []),
        *([kinds.c.has_feedback.is_(filters.feedback)] if filters.feedback is not None else []),
    ]


def _matching_kinds(filters: Wanted) -> Select[Any]:
    return select(kinds.c.id).where(*kind_conditions(filters))


def in_time(filters: Wanted) -> ColumnElement[bool]:
    """Condition that an inspection is within the filter's time range."""
    at = inspections.c.at
    since = true() if filters.since is None else at >= moment(filters.since)
    return since if filters.until is None else since & (at < moment(filters.until))


def moment(at: int) -> int:
    """Limit a time to the range that databases support."""
    return min(max(at, -FAR), FAR)


def named(text: str) -> ColumnElement[bool]:
    """Condition that an inspection's name contains ``text``, or its SHA-256 begins with it."""
    pattern = fold(text)
    if not pattern:
        return true()
    if len(pattern) > _MAX_TEXT:
        return false()
    escaped = pattern.replace("/", "//").replace("%", "/%").replace("_", "/_")
    name = inspections.c.folded.like(f"%{escaped}%", escape="/")
    return or_(name, inspections.c.id.in_(_ids_by_hash(pattern))) if _HASH.fullmatch(pattern) else name


def _ids_by_hash(prefix: str) -> Select[Any]:
    after = prefix + "g"  # follows all hashes with this prefix
    return select(inspections.c.id).where(inspections.c.sha256 >= prefix, inspections.c.sha256 < after)


def _verdict_text(verdict: Verdict | None) -> str:
    return verdict.value if verdict else ""
