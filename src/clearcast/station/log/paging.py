"""Pagination of the log by cursor, within an index."""

import re

from sqlalchemy import ColumnElement, Connection, func, select, true, tuple_

from clearcast.station.log.rows import records
from clearcast.station.log.tables import inspections, tallies
from clearcast.station.log.tallying import WIDTHS
from clearcast.station.log.wanting import gathered, in_time, kind_conditions, named, of_kind
from clearcast.station.records import Order, Page, Wanted

_NEWEST = re.compile(r"n(-?\d{1,18})_(\d{1,18})", re.ASCII)
_CERTAIN = re.compile(r"c(\d{1,4}\.\d{1,20}|\d\.?\d{0,20}e-\d{1,3})_(\d{1,18})", re.ASCII)
_FEW = 5000  # inspections up to which collecting and sorting is faster than scanning an index


def page(
    connection: Connection, filters: Wanted, order: Order, after: str | None, limit: int, *, last: int | None = None
) -> Page:
    """Return a page of at most ``limit`` inspections, none with an id above ``last``; see ``Log.page``."""
    newest = order is Order.NEWEST
    place = inspections.c.at if newest else inspections.c.margin
    rest = _older(after) if newest else _more_certain(after)
    few = _matches_few(connection, filters)
    kind = gathered(filters) if few else of_kind(inspections.c.kind_id, filters)
    by = place + 0 if few else place  # "+ 0" keeps databases from scanning the index in its order
    by_and_id = (by.desc(), inspections.c.id.desc()) if newest else (by, inspections.c.id)
    known = true() if last is None else inspections.c.id <= last
    found = select(inspections.c.id, place.label("place")).where(
        rest, kind, in_time(filters), named(filters.text), known
    )
    keys = connection.execute(found.order_by(*by_and_id).limit(limit + 1)).all()
    end = keys[limit - 1] if len(keys) > limit else None
    following = None if end is None else f"{'n' if newest else 'c'}{end.place!r}_{end.id}"
    return Page(records=tuple(records(connection, [key.id for key in keys[:limit]])), next=following)


def _matches_few(connection: Connection, filters: Wanted) -> bool:
    """Return whether only few inspections match the filter's dimensions, at any time."""
    if not kind_conditions(filters):
        return False
    days = tallies.c.width == WIDTHS[0]
    count = connection.scalar(select(func.sum(tallies.c.inspections)).where(days, of_kind(tallies.c.kind_id, filters)))
    return int(count or 0) <= _FEW


def _older(after: str | None) -> ColumnElement[bool]:
    if after is None:
        return true()
    at, number = (int(part) for part in _parse_cursor(_NEWEST, after))
    return tuple_(inspections.c.at, inspections.c.id) < tuple_(at, number)


def _more_certain(after: str | None) -> ColumnElement[bool]:
    if after is None:
        return inspections.c.margin.is_not(None)
    margin, number = _parse_cursor(_CERTAIN, after)
    return tuple_(inspections.c.margin, inspections.c.id) > tuple_(float(margin), int(number))


def _parse_cursor(pattern: re.Pattern[str], after: str) -> tuple[str, ...]:
    """Parse a cursor.

    Raises:
        ValueError: it is no cursor of this order.
    """
    match = pattern.fullmatch(after)
    if not match:
        raise ValueError(f"{after!r} is no cursor of this order; use 'next' of the previous page")
    return match.groups()
