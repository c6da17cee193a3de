"""Counting inspections: whole minutes, hours and days are counted beforehand, by kind, as they are logged.

So the counts of any filter need only these, and single inspections at the two ends of the time that is asked for.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CTE, BigInteger, Connection, Row, Select, column, func, literal, select, union_all, values

from clearcast.domain import NoiseType, Verdict
from clearcast.station.log.kinds import noise_type_in, verdict_in
from clearcast.station.log.tables import inspections, kinds, tallies
from clearcast.station.log.tallying import MEANS, WIDTHS
from clearcast.station.log.wanting import named, of_kind
from clearcast.station.records import Disagreement, Tally, Wanted


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of span ``number``, in whole spans of ``width``, or inspection by inspection where that is 0."""

    number: int
    width: int
    since: int
    until: int


def cover(number: int, since: int, until: int, widths: Sequence[int] = WIDTHS) -> list[Piece]:
    """The pieces that make up ``since <= at < until``: the widest spans that fit, narrower ones at both ends."""
    if since >= until:
        return []
    if not widths:
        return [Piece(number=number, width=0, since=since, until=until)]
    width, *narrower = widths
    first, last = -(-since // width) * width, until // width * width
    if first >= last:
        return cover(number, since, until, narrower)
    whole = Piece(number=number, width=width, since=first, until=last)
    return [*cover(number, since, first, narrower), whole, *cover(number, last, until, narrower)]


def tally(connection: Connection, wanted: Wanted, starts: Sequence[int], until: int) -> list[Tally]:
    """The counts of spans of time; each begins where the one before it ends, the last ends at ``until``."""
    widths = () if wanted.text else WIDTHS  # names are not counted beforehand
    spans = enumerate(zip(starts, (*starts[1:], until), strict=True))
    pieces = [piece for number, (since, end) in spans for piece in cover(number, since, end, widths)]
    rows = connection.execute(_counted(pieces, wanted)).all() if pieces else []
    return [_tally(start, [row for row in rows if row.number == number]) for number, start in enumerate(starts)]


def _counted(pieces: Sequence[Piece], wanted: Wanted) -> Select[Any]:
    """Counts and sums by span, verdict, noise type and disagreement."""
    asked = _table(pieces)
    both = union_all(_whole(asked, wanted), _single(asked, wanted)).subquery()
    groups = (both.c.number, kinds.c.verdict, kinds.c.noise_type, kinds.c.disagreement)
    sums = (func.sum(both.c[name]).label(name) for name in ("inspections", *MEANS, *MEANS.values()))
    return select(*groups, *sums).join(kinds, kinds.c.id == both.c.kind_id).group_by(*groups)


def _table(pieces: Sequence[Piece]) -> CTE:
    names = ("number", "width", "since", "until")
    rows = [tuple(getattr(piece, name) for name in names) for piece in pieces]
    columns = (column(name, BigInteger) for name in names)
    return values(*columns, name="pieces", literal_binds=True).data(rows).cte("pieces")


def _whole(asked: CTE, wanted: Wanted) -> Select[Any]:
    """Of the pieces that are counted beforehand."""
    sums = (func.sum(tallies.c[name]).label(name) for name in ("inspections", *MEANS, *MEANS.values()))
    within = (tallies.c.width == asked.c.width) & (tallies.c.start >= asked.c.since) & (tallies.c.start < asked.c.until)
    groups = (asked.c.number, tallies.c.kind_id)
    return select(*groups, *sums).join(tallies, within).where(of_kind(tallies.c.kind_id, wanted)).group_by(*groups)


def _single(asked: CTE, wanted: Wanted) -> Select[Any]:
    """Of the pieces that are counted inspection by inspection."""
    sums = (
        func.count().label("inspections"),
        *(func.sum(inspections.c[name]).label(name) for name in MEANS),
        *(func.count(inspections.c[name]).label(count) for name, count in MEANS.items()),
    )
    within = (asked.c.width == literal(0)) & (inspections.c.at >= asked.c.since) & (inspections.c.at < asked.c.until)
    groups = (asked.c.number, inspections.c.kind_id)
    found = select(*groups, *sums).join(inspections, within)
    return found.where(of_kind(inspections.c.kind_id, wanted), named(wanted.text)).group_by(*groups)


def _tally(start: int, rows: Sequence[Row[Any]]) -> Tally:
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
        brightness=_mean(rows, "brightness"),
        sharpness=_mean(rows, "sharpness"),
        p_defect=_mean(rows, "p_defect"),
    )


def _mean(rows: Sequence[Row[Any]], name: str) -> float | None:
    count = sum(int(row._mapping[MEANS[name]]) for row in rows)
    return sum(row._mapping[name] or 0.0 for row in rows) / count if count else None
