"""Filters of the log as SQL conditions, and pages of matching inspections."""

import re
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, false, func, or_, select, true, tuple_

from clearcast.station.log.rollups import MAX_TIME, ROLLUP_WIDTHS
from clearcast.station.log.row_mapping import fetch_records
from clearcast.station.log.schema import dimensions_table, fold_case, inspections_table, rollups_table, to_database_text
from clearcast.station.records import InspectionFilter, InspectionOrder, InspectionPage
from clearcast.types import Verdict

_HASH_PREFIX = re.compile("[0-9a-f]{8,64}")
_MAX_TEXT = 1000  # characters of a search text; no name has as many
_NEWEST_CURSOR = re.compile(r"n(-?\d{1,18})_(\d{1,18})", re.ASCII)
_LEAST_CERTAIN_CURSOR = re.compile(r"c(\d{1,4}\.\d{1,20}|\d\.?\d{0,20}e-\d{1,3})_(\d{1,18})", re.ASCII)
_FEW = 5000  # inspections up to which collecting and sorting is faster than scanning an index


def has_dimensions(kind_id: ColumnElement[int], filters: InspectionFilter) -> ColumnElement[bool]:
    """Return the condition that a row's ``kind_id`` matches the filter's dimensions; for scans in an index's order.

    The "+ 0" keeps databases from collecting all matching rows first and sorting them.
    """
    return (kind_id + 0).in_(_matching_dimension_ids(filters)) if dimension_conditions(filters) else true()


def has_few_dimensions(filters: InspectionFilter) -> ColumnElement[bool]:
    """Return the condition that an inspection matches the filter's dimensions; for few matches, which are sorted."""
    return inspections_table.c.kind_id.in_(_matching_dimension_ids(filters))


def dimension_conditions(filters: InspectionFilter) -> list[ColumnElement[bool]]:
    """Return the conditions that a row of ``kinds`` matches the filter; empty if all match."""
    return [
        *(
            [dimensions_table.c.verdict.in_([_verdict_text(verdict) for verdict in filters.verdicts])]
            if filters.verdicts
            else []
        ),
        *(
            [dimensions_table.c.noise_type.in_([noise.value for noise in filters.noise_types])]
            if filters.noise_types
            else []
        ),
        *([dimensions_table.c.model == to_database_text(filters.model)] if filters.model else []),
        *([dimensions_table.c.station == to_database_text(filters.station)] if filters.station else []),
        *([dimensions_table.c.disagreement == filters.disagreement.value] if filters.disagreement else []),
        *([dimensions_table.c.shadow_differs.is_(True)] if filters.shadow_differs else []),
        *([dimensions_table.c.has_feedback.is_(filters.feedback)] if filters.feedback is not None else []),
    ]


def _matching_dimension_ids(filters: InspectionFilter) -> Select[Any]:
    return select(dimensions_table.c.id).where(*dimension_conditions(filters))


def in_time_range(filters: InspectionFilter) -> ColumnElement[bool]:
    """Return the condition that an inspection is within the filter's time range."""
    at = inspections_table.c.at
    since = true() if filters.since is None else at >= clamp_time(filters.since)
    return since if filters.until is None else since & (at < clamp_time(filters.until))


def clamp_time(at: int) -> int:
    """Limit a time to the range that databases support."""
    return min(max(at, -MAX_TIME), MAX_TIME)


def matches_text(text: str) -> ColumnElement[bool]:
    """Return the condition that an inspection's name contains ``text``, or its SHA-256 begins with it."""
    pattern = fold_case(text)
    if not pattern:
        return true()
    if len(pattern) > _MAX_TEXT:
        return false()
    escaped = pattern.replace("/", "//").replace("%", "/%").replace("_", "/_")
    name = inspections_table.c.folded.like(f"%{escaped}%", escape="/")
    return or_(name, inspections_table.c.id.in_(_ids_by_hash(pattern))) if _HASH_PREFIX.fullmatch(pattern) else name


def _ids_by_hash(prefix: str) -> Select[Any]:
    after = prefix + "g"  # follows all hashes with this prefix
    return select(inspections_table.c.id).where(
        inspections_table.c.sha256 >= prefix, inspections_table.c.sha256 < after
    )


def _verdict_text(verdict: Verdict | None) -> str:
    return verdict.value if verdict else ""


def fetch_page(
    connection: Connection,
    filters: InspectionFilter,
    order: InspectionOrder,
    after: str | None,
    limit: int,
    *,
    last: int | None = None,
) -> InspectionPage:
    """Return a page of at most ``limit`` inspections, none with an id above ``last``; see ``InspectionLog.page``."""
    newest = order is InspectionOrder.NEWEST
    place = inspections_table.c.at if newest else inspections_table.c.margin
    rest = _older(after) if newest else _more_certain(after)
    few = _matches_few(connection, filters)
    kind = has_few_dimensions(filters) if few else has_dimensions(inspections_table.c.kind_id, filters)
    by = place + 0 if few else place  # "+ 0" keeps databases from scanning the index in its order
    by_and_id = (by.desc(), inspections_table.c.id.desc()) if newest else (by, inspections_table.c.id)
    known = true() if last is None else inspections_table.c.id <= last
    found = select(inspections_table.c.id, place.label("place")).where(
        rest, kind, in_time_range(filters), matches_text(filters.text), known
    )
    keys = connection.execute(found.order_by(*by_and_id).limit(limit + 1)).all()
    end = keys[limit - 1] if len(keys) > limit else None
    following = None if end is None else f"{'n' if newest else 'c'}{end.place!r}_{end.id}"
    return InspectionPage(records=tuple(fetch_records(connection, [key.id for key in keys[:limit]])), next=following)


def _matches_few(connection: Connection, filters: InspectionFilter) -> bool:
    """Return whether only few inspections match the filter's dimensions, at any time."""
    if not dimension_conditions(filters):
        return False
    days = rollups_table.c.width == ROLLUP_WIDTHS[0]
    count = connection.scalar(
        select(func.sum(rollups_table.c.inspections)).where(days, has_dimensions(rollups_table.c.kind_id, filters))
    )
    return int(count or 0) <= _FEW


def _older(after: str | None) -> ColumnElement[bool]:
    if after is None:
        return true()
    at, number = (int(part) for part in _parse_cursor(_NEWEST_CURSOR, after))
    return tuple_(inspections_table.c.at, inspections_table.c.id) < tuple_(at, number)


def _more_certain(after: str | None) -> ColumnElement[bool]:
    if after is None:
        return inspections_table.c.margin.is_not(None)
    margin, number = _parse_cursor(_LEAST_CERTAIN_CURSOR, after)
    return tuple_(inspections_table.c.margin, inspections_table.c.id) > tuple_(float(margin), int(number))


def _parse_cursor(pattern: re.Pattern[str], after: str) -> tuple[str, ...]:
    """Parse a cursor.

    Raises:
        ValueError: it is no cursor of this order.
    """
    match = pattern.fullmatch(after)
    if not match:
        raise ValueError(f"{after!r} is no cursor of this order; use 'next' of the previous page")
    return match.groups()
