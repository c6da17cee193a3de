"""Counts and trends from rollups: counts per dimension row of whole minutes, hours and days.

The counts of any filter need only rollups, and single inspections at the two ends of the requested time range.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Join, Row, Select, and_, func, select, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from clearcast.domain import NoiseType, Verdict
from clearcast.station.log.kinds import noise_type_in, verdict_in
from clearcast.station.log.tables import inspections, kinds, tallies
from clearcast.station.log.tallying import MEANS, WIDTHS
from clearcast.station.log.wanting import kind_conditions, moment, named, of_kind
from clearcast.station.records import Disagreement, Tally, Wanted

_DIMENSION_NAMES = ("verdict", "noise_type", "disagreement", "has_brightness", "has_sharpness", "has_p_defect")
_MINUTE = WIDTHS[-1]
_SUMS = ("inspections", *MEANS)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a time range, in whole rollups of ``width`` milliseconds, or single inspections if that is 0."""

    width: int
    since: int
    until: int


def cover(since: int, until: int, widths: Sequence[int] = WIDTHS) -> list[Piece]:
    """Split ``since <= at < until`` into pieces: the widest rollups that fit, narrower ones at both ends."""
    if since >= until:
        return []
    if not widths:
        return [Piece(width=0, since=since, until=until)]
    width, *narrower = widths
    first, last = -(-since // width) * width, until // width * width
    if first >= last:
        return cover(since, until, narrower)
    whole = Piece(width=width, since=first, until=last)
    return [*cover(since, first, narrower), whole, *cover(last, until, narrower)]


def tally(connection: Connection, filters: Wanted, since: int, until: int) -> Tally:
    """Count the inspections in a time range."""
    pieces = cover(since, until, () if filters.text else WIDTHS)  # rollups do not contain names
    counted = (_count_rollups(piece, filters) if piece.width else _count_single(piece, filters) for piece in pieces)
    return _to_tally(since, [row for by_kind in counted for row in connection.execute(_group_by_dimensions(by_kind))])


def trend(connection: Connection, filters: Wanted, spans: int) -> list[Tally]:
    """Count inspections by equal time spans, at most ``spans``; see ``Log.trend``."""
    first = _extreme_minute(connection, filters, last=False) if filters.since is None else moment(filters.since)
    last = _extreme_minute(connection, filters, last=True) if filters.until is None else moment(filters.until)
    if first is None or last is None:
        return []
    until = last + _MINUTE if filters.until is None else last
    unit = next((width for width in WIDTHS if (until - first) // spans >= width), 1)
    begin = first // unit * unit
    width = max(-(-(until - begin) // (spans * unit)), 1) * unit
    starts = range(begin, until, width)
    counts = [tally(connection, filters, max(start, first), min(start + width, until)) for start in starts]
    return [replace(one, start=start) for one, start in zip(counts, starts, strict=True)]


def _extreme_minute(connection: Connection, filters: Wanted, *, last: bool) -> int | None:
    """Return the first or last minute with matching inspections, whatever their time and name; None if none."""
    start = tallies.c.start
    counted = select(start).where(tallies.c.inspections > 0, of_kind(tallies.c.kind_id, filters)).limit(1)
    counted = counted.order_by(start.desc() if last else start)
    within: ColumnElement[bool] = true()
    minute: int | None = None
    for width in WIDTHS:
        minute = connection.scalar(counted.where(tallies.c.width == width, within))
        if minute is None:
            return None
        within = (start >= minute) & (start < minute + width)
    return minute


def _group_by_dimensions(counted: Select[Any]) -> Select[Any]:
    """Group counts and sums per dimension row by the dimensions of a ``Tally``."""
    by_kind = counted.subquery()
    groups = [kinds.c[name] for name in _DIMENSION_NAMES]
    sums = (func.sum(by_kind.c[name]).label(name) for name in _SUMS)
    return select(*groups, *sums).join(kinds, kinds.c.id == by_kind.c.kind_id).group_by(*groups)


def _count_rollups(piece: Piece, filters: Wanted) -> Select[Any]:
    """Count a piece from rollups."""
    within = (tallies.c.width == piece.width, tallies.c.start >= piece.since, tallies.c.start < piece.until)
    sums = (func.sum(tallies.c[name]).label(name) for name in _SUMS)
    found = select(tallies.c.kind_id, *sums).where(*within, of_kind(tallies.c.kind_id, filters))
    return found.group_by(tallies.c.kind_id)


def _count_single(piece: Piece, filters: Wanted) -> Select[Any]:
    """Count a piece from single inspections: one dimension row after another, with a covering index."""
    within = and_(inspections.c.kind_id == kinds.c.id, inspections.c.at >= piece.since, inspections.c.at < piece.until)
    sums = (func.count().label("inspections"), *(func.sum(inspections.c[name]).label(name) for name in MEANS))
    found = select(kinds.c.id.label("kind_id"), *sums).select_from(_LeftFirstJoin(kinds, inspections, within))
    return found.where(*kind_conditions(filters), named(filters.text)).group_by(kinds.c.id)


class _LeftFirstJoin(Join):
    """A join that starts with its left side; otherwise SQLite scans by time and sorts by dimension row."""

    inherit_cache = True


@compiles(_LeftFirstJoin, "sqlite")
def _compile_left_first(join: _LeftFirstJoin, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - passed on
    return compiler.process(Join(join.left, join.right, join.onclause), **options).replace(" JOIN ", " CROSS JOIN ", 1)


def _to_tally(start: int, rows: Sequence[Row[Any]]) -> Tally:
    verdicts: Counter[Verdict | None] = Counter()
    noise_types: Counter[NoiseType | None] = Counter()
    for row in rows:
        verdicts[verdict_in(row.verdict)] += int(row.inspections)
        noise_types[noise_type_in(row.noise_type)] += int(row.inspections)
    return Tally(
        start=start,
        inspections=verdicts.total(),
        verdicts={verdict: verdicts[verdict] for verdict in (*Verdict, None)},
        noise_types={noise: noise_types[noise] for noise in (*NoiseType, None)},
        disagreements=sum(int(row.inspections) for row in rows if row.disagreement != Disagreement.NONE.value),
        brightness=_mean([row for row in rows if row.has_brightness], "brightness"),
        sharpness=_mean([row for row in rows if row.has_sharpness], "sharpness"),
        p_defect=_mean([row for row in rows if row.has_p_defect], "p_defect"),
    )


def _mean(rows: Sequence[Row[Any]], name: str) -> float | None:
    count = sum(int(row.inspections) for row in rows)
    return float(sum(row._mapping[name] for row in rows)) / count if count else None
