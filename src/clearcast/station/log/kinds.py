"""Dimension rows: each combination of the values that inspections are filtered and counted by."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from typing import Any

from sqlalchemy import Connection, Row, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from clearcast.domain import NoiseType, Verdict
from clearcast.station.log.tables import kinds
from clearcast.station.log.values import finite, plain
from clearcast.station.records import Disagreement, Entry

Inserting = postgresql.Insert | sqlite.Insert


@dataclass(frozen=True, kw_only=True, order=True)
class Kind:
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


COLUMNS = tuple(kinds.c[field.name] for field in fields(Kind))


def inserting(connection: Connection, table: Table) -> Inserting:
    """Create an insert statement that supports ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def kind_of(entry: Entry) -> Kind:
    """Return the dimensions of an inspection without feedback."""
    shadow = entry.shadow
    return Kind(
        verdict=entry.verdict.value if entry.verdict else "",
        noise_type=entry.noise_type.value if entry.noise_type else "",
        model=plain(entry.model),
        station=plain(entry.station),
        shadow_differs=bool(shadow and shadow.verdict and shadow.verdict is not entry.verdict),
        has_brightness=finite(entry.brightness) is not None,
        has_sharpness=finite(entry.sharpness) is not None,
        has_p_defect=finite(entry.p_defect) is not None,
    )


def kind_in(row: Row[Any]) -> Kind:
    """Return the dimensions in a row that has their columns."""
    return Kind(**{field.name: row._mapping[field.name] for field in fields(Kind)})


def numbers(connection: Connection, rows: Iterable[Kind]) -> dict[Kind, int]:
    """Return the ids of dimension rows; insert rows that are missing."""
    return {kind: _get_or_insert(connection, kind) for kind in sorted(set(rows))}  # sorted, to avoid deadlocks


def _get_or_insert(connection: Connection, kind: Kind) -> int:
    find = select(kinds.c.id).where(*(column == value for column, value in zip(COLUMNS, astuple(kind), strict=True)))
    number: int | None = connection.scalar(find)
    if number is None:
        values = dict(zip((column.name for column in COLUMNS), astuple(kind), strict=True))
        connection.execute(inserting(connection, kinds).values(values).on_conflict_do_nothing())
        number = connection.scalar(find)
    assert number is not None
    return number


def verdict_in(text: str) -> Verdict | None:
    """Parse the verdict in a column."""
    return Verdict(text) if text else None


def noise_type_in(text: str) -> NoiseType | None:
    """Parse the noise type in a column."""
    return NoiseType(text) if text else None
