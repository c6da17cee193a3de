"""Rollups: counts per dimension row of whole minutes, hours and days, updated in the transactions that log."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection

from clearcast.station.log.kinds import inserting
from clearcast.station.log.tables import tallies

WIDTHS = (86_400_000, 3_600_000, 60_000)  # milliseconds of a day, an hour, a minute
FAR = WIDTHS[0] * 10**9  # all times are between -FAR and FAR
MEANS = ("brightness", "sharpness", "p_defect")  # columns whose sums are kept

_KEY = ("width", "start", "kind_id")


def count_in(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Add new rows of ``inspections`` to the rollups."""
    _add(connection, ((row, 1) for row in rows))


def count_as(connection: Connection, row: Mapping[str, object], kind_id: int) -> None:
    """Move a row of ``inspections`` to another dimension row in the rollups."""
    _add(connection, ((row, -1), ({**row, "kind_id": kind_id}, 1)))


def _add(connection: Connection, rows: Iterable[tuple[Mapping[str, object], int]]) -> None:
    sums: dict[tuple[int, int, int], dict[str, float]] = {}
    for row, times in rows:
        at, kind_id = row["at"], row["kind_id"]
        assert isinstance(at, int)
        assert isinstance(kind_id, int)
        for width in WIDTHS:
            key = (width, at // width * width, kind_id)
            before = sums.get(key, {})
            sums[key] = {name: before.get(name, 0) + increment for name, increment in _increments(row, times).items()}
    statement = inserting(connection, tallies)
    total = {name: tallies.c[name] + statement.excluded[name] for name in ("inspections", *MEANS)}
    # Sorted by key, to avoid deadlocks.
    values = [dict(zip(_KEY, key, strict=True)) | sums[key] for key in sorted(sums)]
    connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=total), values)


def _increments(row: Mapping[str, object], times: int) -> dict[str, float]:
    counts: dict[str, float] = {"inspections": times}
    for name in MEANS:
        value = row[name]
        assert value is None or isinstance(value, float | int)
        counts[name] = 0.0 if value is None else times * value
    return counts
