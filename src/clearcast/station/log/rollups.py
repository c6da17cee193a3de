"""Dimension rows (combinations of the values that inspections are filtered and counted by), and rollups by them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from sqlalchemy import Connection, Row, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from clearcast.station.log.schema import dimensions_table, finite_or_none, rollups_table, to_database_text
from clearcast.station.records import Disagreement, InspectionEntry

ROLLUP_WIDTHS = (86_400_000, 3_600_000, 60_000)  # milliseconds of a day, an hour, a minute
MAX_TIME = ROLLUP_WIDTHS[0] * 10**9  # all times are between -MAX_TIME and MAX_TIME
SUMMED_COLUMNS = ("brightness", "sharpness", "p_defect")  # columns whose sums are kept

_KEY = ("width", "start", "kind_id")

UpsertStatement = postgresql.Insert | sqlite.Insert


@dataclass(frozen=True, kw_only=True, order=True)
class Dimensions:
    """A row of the table ``kinds`` without its id; "" if there is no verdict or noise type."""

    verdict: str
    noise_type: str
    model: str
    station: str
    disagreement: str = Disagreement.NONE.value
    shadow_differs: bool = False
    has_feedback: bool = False
    has_brightness: bool
    has_sharpness: bool
    has_p_defect: bool


DIMENSION_COLUMNS = tuple(dimensions_table.c[field.name] for field in fields(Dimensions))


def insert_into(connection: Connection, table: Table) -> UpsertStatement:
    """Create an insert statement that supports ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def dimensions_of(entry: InspectionEntry) -> Dimensions:
    """Return the dimensions of an inspection without feedback."""
    shadow = entry.shadow
    return Dimensions(
        verdict=entry.verdict.value if entry.verdict else "",
        noise_type=entry.noise_type.value if entry.noise_type else "",
        model=to_database_text(entry.model),
        station=to_database_text(entry.station),
        shadow_differs=bool(shadow and shadow.verdict and shadow.verdict is not entry.verdict),
        has_brightness=finite_or_none(entry.brightness) is not None,
        has_sharpness=finite_or_none(entry.sharpness) is not None,
        has_p_defect=finite_or_none(entry.p_defect) is not None,
    )


def parse_dimensions(row: Row[Any]) -> Dimensions:
    """Return the dimensions in a row that has their columns."""
    return Dimensions(**{field.name: row._mapping[field.name] for field in fields(Dimensions)})


def dimension_ids(connection: Connection, rows: Iterable[Dimensions]) -> dict[Dimensions, int]:
    """Return the ids of dimension rows; insert rows that are missing."""
    return {row: _get_or_insert(connection, row) for row in sorted(set(rows))}  # sorted, to avoid deadlocks


def _get_or_insert(connection: Connection, dimensions: Dimensions) -> int:
    find = select(dimensions_table.c.id).where(
        *(column == value for column, value in zip(DIMENSION_COLUMNS, astuple(dimensions), strict=True))
    )
    number: int | None = connection.scalar(find)
    if number is None:
        values = dict(zip((column.name for column in DIMENSION_COLUMNS), astuple(dimensions), strict=True))
        connection.execute(insert_into(connection, dimensions_table).values(values).on_conflict_do_nothing())
        number = connection.scalar(find)
    assert number is not None
    return number


def add_to_rollups(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Add new rows of ``inspections`` to the rollups."""
    _add(connection, ((row, 1) for row in rows))


def move_in_rollups(connection: Connection, row: Mapping[str, object], kind_id: int) -> None:
    """Move a row of ``inspections`` to another dimension row in the rollups."""
    _add(connection, ((row, -1), ({**row, "kind_id": kind_id}, 1)))


def _add(connection: Connection, rows: Iterable[tuple[Mapping[str, object], int]]) -> None:
    sums: dict[tuple[int, int, int], dict[str, float]] = {}
    for row, times in rows:
        at, kind_id = row["at"], row["kind_id"]
        assert isinstance(at, int)
        assert isinstance(kind_id, int)
        for width in ROLLUP_WIDTHS:
            key = (width, at // width * width, kind_id)
            before = sums.get(key, {})
            sums[key] = {name: before.get(name, 0) + increment for name, increment in _increments(row, times).items()}
    statement = insert_into(connection, rollups_table)
    total = {name: rollups_table.c[name] + statement.excluded[name] for name in ("inspections", *SUMMED_COLUMNS)}
    # Sorted by key, to avoid deadlocks.
    values = [dict(zip(_KEY, key, strict=True)) | sums[key] for key in sorted(sums)]
    connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=total), values)


def _increments(row: Mapping[str, object], times: int) -> dict[str, float]:
    counts: dict[str, float] = {"inspections": times}
    for name in SUMMED_COLUMNS:
        value = row[name]
        assert value is None or isinstance(value, float | int)
        counts[name] = 0.0 if value is None else times * value
    return counts
