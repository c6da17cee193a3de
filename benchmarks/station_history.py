"""Response times of the station's history with many inspections, in SQLite and in PostgreSQL.

Run with nothing else on the machine::

    .venv/bin/python benchmarks/station_history.py
    .venv/bin/python benchmarks/station_history.py --db postgresql://USER@HOST/EMPTY_DATABASE

The inspections of one year are synthetic and inserted in bulk; their rollups are computed afterwards, in SQL.
Then all queries of the history page are timed: the first run, and the median of the following ones.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, literal, select, text

from clearcast.noise.registry import NoiseType
from clearcast.station.log import InspectionLog, open_log
from clearcast.station.log.database import create_log_engine, log_url, writing_engine
from clearcast.station.log.rollups import ROLLUP_WIDTHS, SUMMED_COLUMNS, Dimensions, dimension_ids, dimensions_of
from clearcast.station.log.row_mapping import inspection_values
from clearcast.station.log.schema import inspections_table, rollups_table
from clearcast.station.records import (
    Disagreement,
    Feedback,
    FeedbackLabel,
    InspectionEntry,
    InspectionFilter,
    InspectionOrder,
    ShadowResult,
)
from clearcast.types import Verdict

YEAR = 365 * 86_400_000  # milliseconds
BEGIN = 1_760_000_000_000
BATCH_SIZE = 5000  # inspections inserted at once
FEEDBACK_COUNT = 2000  # inspections with feedback
REPEATS = 7  # runs of each query

FILTERS = {
    "nothing filtered": InspectionFilter(),
    "a month": InspectionFilter(since=BEGIN + YEAR // 2, until=BEGIN + YEAR // 2 + 30 * 86_400_000 + 12_345),
    "an hour": InspectionFilter(since=BEGIN + YEAR // 2 + 12_345, until=BEGIN + YEAR // 2 + 3_600_000),
    "verdict: defect": InspectionFilter(verdicts=frozenset({Verdict.DEFECT})),
    "no verdict": InspectionFilter(verdicts=frozenset({None})),
    "noise type: periodic": InspectionFilter(noise_types=frozenset({NoiseType.PERIODIC})),
    "one model": InspectionFilter(model="casting 1"),
    "an unknown model": InspectionFilter(model="casting 9"),
    "one station": InspectionFilter(station="line 3"),
    "open disagreements": InspectionFilter(disagreement=Disagreement.OPEN),
    "shadow differs": InspectionFilter(shadow_differs=True),
    "with feedback": InspectionFilter(feedback=True),
    "retake, periodic, line 3, shadow differs": InspectionFilter(
        verdicts=frozenset({Verdict.RETAKE}),
        noise_types=frozenset({NoiseType.PERIODIC}),
        station="line 3",
        shadow_differs=True,
    ),
    "name: one part": InspectionFilter(text="_0654321_"),
    "name: in a thousandth": InspectionFilter(text="123_"),
    "name: in all": InspectionFilter(text="img"),
    "name: in none": InspectionFilter(text="zzz"),
    "name in all, defect, one station": InspectionFilter(
        text="img", verdicts=frozenset({Verdict.DEFECT}), station="line 3"
    ),
    "name in none, a month": InspectionFilter(
        text="zzz", since=BEGIN + YEAR // 2, until=BEGIN + YEAR // 2 + 30 * 86_400_000
    ),
    "beginning of a SHA-256": InspectionFilter(text="00000000000f"),
}


def main() -> None:
    """Create the history if it does not exist, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", help="an empty database of PostgreSQL, or a file; by default a temporary SQLite file")
    parser.add_argument("--inspections", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = args.db or str(Path(folder) / "log.sqlite")
        log = open_log(place)
        if not log.count(InspectionFilter()).inspections:
            _fill(log, place, args.inspections)
        _print_table(log)
        log.close()


def _fill(log: InspectionLog, place: str, count: int) -> None:
    started = time.perf_counter()
    engine = create_log_engine(log_url(place))
    with writing_engine(engine).begin() as connection:
        entries = _entries(count)
        known: dict[Dimensions, int] = {}
        while batch := list(islice(entries, BATCH_SIZE)):
            known |= dimension_ids(connection, {dimensions_of(entry) for entry in batch} - known.keys())
            connection.execute(
                inspections_table.insert(), [inspection_values(entry, known[dimensions_of(entry)]) for entry in batch]
            )
        for width in ROLLUP_WIDTHS:
            _roll_up(connection, width)
    _analyse(engine)
    for number in Random(1).sample(range(1, count + 1), min(FEEDBACK_COUNT, count)):
        says = FeedbackLabel.OK if number % 2 else FeedbackLabel.DEFECT
        log.add_feedback(number, Feedback(at=BEGIN + YEAR, says=says, note="", operator="Ana", settles=number % 5 == 0))
    print(f"{count} inspections inserted in {time.perf_counter() - started:.0f} s\n")


def _entries(count: int) -> Iterator[InspectionEntry]:
    random = Random(1)
    for number in range(count):
        entry = _random_entry(random, number, count)
        if number > 0.9 * count:
            other = Verdict.OK if random.random() < 0.03 else entry.verdict
            shadow = ShadowResult(model="casting 5", verdict=other, p_defect=entry.p_defect, threshold=entry.threshold)
            entry = replace(entry, shadow=shadow)
        if random.random() < 0.002:
            entry = replace(entry, verdict=None, p_defect=None, noise_type=None, brightness=None, error="damaged")
        yield entry


def _random_entry(random: Random, number: int, count: int) -> InspectionEntry:
    p, threshold = random.random(), 0.43
    return InspectionEntry(
        at=BEGIN + number * YEAR // count + random.randrange(20_000),
        name=f"IMG_{number:07d}_{random.getrandbits(24):06x}.JPG",
        station=f"line {random.randrange(6)}",
        sha256=f"{number:012x}{random.getrandbits(208):052x}",
        size=23110,
        width=512,
        height=512,
        verdict=Verdict.RETAKE if abs(p - threshold) < 0.02 else Verdict.DEFECT if p > threshold else Verdict.OK,
        p_defect=p,
        threshold=threshold,
        noise_type=random.choice([*NoiseType]),
        noise_level="standard deviation 25 grey levels",
        p_noise=0.99,
        ms=56.1,
        model=f"casting {number * 4 // count}",
        error="",
        brightness=random.uniform(100, 150),
        sharpness=random.uniform(50, 500),
        sigma=0.098,
        density=0.0,
    )


def _roll_up(connection: Connection, width: int) -> None:
    start = (inspections_table.c.at - inspections_table.c.at % width).label("start")
    sums: dict[str, ColumnElement[Any]] = {"inspections": func.count()}
    sums |= {name: func.coalesce(func.sum(inspections_table.c[name]), 0.0) for name in SUMMED_COLUMNS}
    counted = select(literal(width), start, inspections_table.c.kind_id, *sums.values()).group_by(start, "kind_id")
    connection.execute(rollups_table.insert().from_select(["width", "start", "kind_id", *sums], counted))


def _analyse(engine: Engine) -> None:
    """Run what PostgreSQL does by itself within minutes."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _print_table(log: InspectionLog) -> None:
    queries: dict[str, Callable[[InspectionFilter], object]] = {
        "page": log.page,
        "later page": lambda filters: log.page(filters, after=f"n{BEGIN + YEAR // 3}_1"),
        "least certain": lambda filters: log.page(filters, order=InspectionOrder.LEAST_CERTAIN),
        "count": log.count,
        "trend": log.trend,
    }
    print(f"{'milliseconds: first / median of the next':42}" + "".join(f"{name:>16}" for name in queries) + "   found")
    slowest = 0.0
    for name, filters in FILTERS.items():
        cells = []
        for query in queries.values():
            first, *others = [_milliseconds(query, filters) for _ in range(REPEATS)]
            cells.append(f"{first:>9.0f} /{statistics.median(others):>5.0f}")
            slowest = max(slowest, statistics.median(others))
        print(f"{name:42}" + "".join(cells) + f"{log.count(filters).inspections:>8}", flush=True)
    print(f"\nthe slowest: {slowest:.0f} ms")


def _milliseconds(query: Callable[[InspectionFilter], object], filters: InspectionFilter) -> float:
    started = time.perf_counter()
    query(filters)
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
