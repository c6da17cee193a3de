"""Pages of the log: found in an index alone, from where the page before ended."""

import re
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select, true, tuple_

from clearcast.station.log.rows import records
from clearcast.station.log.tables import inspections
from clearcast.station.log.wanting import in_time, named, of_kind
from clearcast.station.records import Order, Page, Wanted

_NEWEST = re.compile(r"n(-?\d{1,18})_(\d{1,18})", re.ASCII)
_CERTAIN = re.compile(r"c(\d{1,4}\.\d{1,20}|\d\.?\d{0,20}e-\d{1,3})_(\d{1,18})", re.ASCII)


def page(connection: Connection, wanted: Wanted, order: Order, after: str | None, limit: int) -> Page:
    """At most ``limit`` inspections; see ``Log.page``."""
    newest = order is Order.NEWEST
    where = (of_kind(inspections.c.kind_id, wanted), in_time(wanted), named(wanted.text))
    found = (_newest(after) if newest else _least_certain(after)).where(*where).limit(limit + 1)
    keys = connection.execute(found).all()
    ids = [key.id for key in keys[:limit]]
    last = keys[limit - 1] if len(keys) > limit else None
    following = None if last is None else f"n{last.at}_{last.id}" if newest else f"c{last.margin!r}_{last.id}"
    return Page(records=tuple(records(connection, ids)), next=following)


def _newest(after: str | None) -> Select[Any]:
    at, number = inspections.c.at, inspections.c.id
    begin: ColumnElement[bool] = true()
    if after is not None:
        begin = tuple_(at, number) < tuple_(*(int(part) for part in _parts(_NEWEST, after)))
    return select(number, at).where(begin).order_by(at.desc(), number.desc())


def _least_certain(after: str | None) -> Select[Any]:
    margin, number = inspections.c.margin, inspections.c.id
    begin: ColumnElement[bool] = margin.is_not(None)
    if after is not None:
        far, last = _parts(_CERTAIN, after)
        begin = tuple_(margin, number) > tuple_(float(far), int(last))
    return select(number, margin).where(begin).order_by(margin, number)


def _parts(pattern: re.Pattern[str], after: str) -> tuple[str, ...]:
    """What a cursor is made of.

    Raises:
        ValueError: if it is no cursor of this order.
    """
    match = pattern.fullmatch(after)
    if not match:
        raise ValueError(f"{after!r} is no place in this order; give back the one that came with the page before")
    return match.groups()
