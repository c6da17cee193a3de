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

from clearcast.noise.registry import NoiseType
from clearcast.station.log.filters import clamp_time, dimension_conditions, has_dimensions, matches_text
from clearcast.station.log.rollups import ROLLUP_WIDTHS, SUMMED_COLUMNS
from clearcast.station.log.row_mapping import parse_noise_type_column, parse_verdict_column
from clearcast.station.log.schema import dimensions_table, inspections_table, rollups_table
from clearcast.station.records import Disagreement, InspectionCounts, InspectionFilter
from clearcast.types import Verdict

_DIMENSION_NAMES = ("verdict", "noise_type", "disagreement", "has_brightness", "has_sharpness", "has_p_defect")
_MINUTE = ROLLUP_WIDTHS[-1]
_SUMS = ("inspections", *SUMMED_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class TimePiece:
    """A part of a time range, in whole rollups of ``width`` milliseconds, or single inspections if that is 0."""

    width: int
    since: int
    until: int


def split_time_range(since: int, until: int, widths: Sequence[int] = ROLLUP_WIDTHS) -> list[TimePiece]:
    """Split ``since <= at < until`` into pieces: the widest rollups that fit, narrower ones at both ends."""
    if since >= until:
        return []
    if not widths:
        return [TimePiece(width=0, since=since, until=until)]
    width, *narrower = widths
    first, last = -(-since // width) * width, until // width * width
    if first >= last:
        return split_time_range(since, until, narrower)
    whole = TimePiece(width=width, since=first, until=last)
    return [*split_time_range(since, first, narrower), whole, *split_time_range(last, until, narrower)]


def count_inspections(connection: Connection, filters: InspectionFilter, since: int, until: int) -> InspectionCounts:
    """Count the inspections in a time range."""
    pieces = split_time_range(since, until, () if filters.text else ROLLUP_WIDTHS)  # rollups do not contain names
    queries = [_count_rollups(piece, filters) if piece.width else _count_single(piece, filters) for piece in pieces]
    rows = [row for query in queries for row in connection.execute(_group_by_dimensions(query))]
    return _to_counts(since, rows)


def count_by_span(connection: Connection, filters: InspectionFilter, spans: int) -> list[InspectionCounts]:
    """Count inspections by equal time spans, at most ``spans``; see ``InspectionLog.trend``."""
    first = _extreme_minute(connection, filters, last=False) if filters.since is None else clamp_time(filters.since)
    last = _extreme_minute(connection, filters, last=True) if filters.until is None else clamp_time(filters.until)
    if first is None or last is None:
        return []
    until = last + _MINUTE if filters.until is None else last
    unit = next((width for width in ROLLUP_WIDTHS if (until - first) // spans >= width), 1)
    begin = first // unit * unit
    width = max(-(-(until - begin) // (spans * unit)), 1) * unit
    starts = range(begin, until, width)
    counts = [count_inspections(connection, filters, max(start, first), min(start + width, until)) for start in starts]
    return [replace(one, start=start) for one, start in zip(counts, starts, strict=True)]


def _extreme_minute(connection: Connection, filters: InspectionFilter, *, last: bool) -> int | None:
    """Return the first or last minute with matching inspections, whatever their time and name; None if none."""
    start = rollups_table.c.start
    counted = (
        select(start).where(rollups_table.c.inspections > 0, has_dimensions(rollups_table.c.kind_id, filters)).limit(1)
    )
    counted = counted.order_by(start.desc() if last else start)
    within: ColumnElement[bool] = true()
    minute: int | None = None
    for width in ROLLUP_WIDTHS:
        minute = connection.scalar(counted.where(rollups_table.c.width == width, within))
        if minute is None:
            return None
        within = (start >= minute) & (start < minute + width)
    return minute


def _group_by_dimensions(counted: Select[Any]) -> Select[Any]:
    """Group counts and sums per dimension row by the dimensions of ``InspectionCounts``."""
    rows = counted.subquery()
    groups = [dimensions_table.c[name] for name in _DIMENSION_NAMES]
    sums = (func.sum(rows.c[name]).label(name) for name in _SUMS)
    return select(*groups, *sums).join(dimensions_table, dimensions_table.c.id == rows.c.kind_id).group_by(*groups)


def _count_rollups(piece: TimePiece, filters: InspectionFilter) -> Select[Any]:
    """Count a piece from rollups."""
    within = (
        rollups_table.c.width == piece.width,
        rollups_table.c.start >= piece.since,
        rollups_table.c.start < piece.until,
    )
    sums = (func.sum(rollups_table.c[name]).label(name) for name in _SUMS)
    found = select(rollups_table.c.kind_id, *sums).where(*within, has_dimensions(rollups_table.c.kind_id, filters))
    return found.group_by(rollups_table.c.kind_id)


def _count_single(piece: TimePiece, filters: InspectionFilter) -> Select[Any]:
    """Count a piece from single inspections: one dimension row after another, with a covering index."""
    within = and_(
        inspections_table.c.kind_id == dimensions_table.c.id,
        inspections_table.c.at >= piece.since,
        inspections_table.c.at < piece.until,
    )
    sums = (
        func.count().label("inspections"),
        *(func.sum(inspections_table.c[name]).label(name) for name in SUMMED_COLUMNS),
    )
    found = select(dimensions_table.c.id.label("kind_id"), *sums).select_from(
        _LeftFirstJoin(dimensions_table, inspections_table, within)
    )
    return found.where(*dimension_conditions(filters), matches_text(filters.text)).group_by(dimensions_table.c.id)


class _LeftFirstJoin(Join):
    """A join that starts with its left side; otherwise SQLite scans by time and sorts by dimension row."""

    inherit_cache = True


@compiles(_LeftFirstJoin, "sqlite")
def _compile_left_first(join: _LeftFirstJoin, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - passed on
    return compiler.process(Join(join.left, join.right, join.onclause), **options).replace(" JOIN ", " CROSS JOIN ", 1)


def _to_counts(start: int, rows: Sequence[Row[Any]]) -> InspectionCounts:
    verdicts: Counter[Verdict | None] = Counter()
    noise_types: Counter[NoiseType | None] = Counter()
    for row in rows:
        verdicts[parse_verdict_column(row.verdict)] += int(row.inspections)
        noise_types[parse_noise_type_column(row.noise_type)] += int(row.inspections)
    return InspectionCounts(
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
