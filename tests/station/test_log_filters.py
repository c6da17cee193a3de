"""Filters of the log, compared with a reference implementation in plain Python."""

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.noise.registry import NoiseType
from clearcast.station.log import InspectionLog, open_log
from clearcast.station.log.counts import split_time_range
from clearcast.station.records import (
    Disagreement,
    FeedbackLabel,
    InspectionCounts,
    InspectionFilter,
    InspectionOrder,
    InspectionRecord,
)
from clearcast.types import Verdict
from tests.servers import Postgres
from tests.station.logged import BEGIN, ENTRY, MODELS, NAMES, STATIONS, fill_log, filter_records, make_feedback

WITHIN = 3 * 86_400_000  # time range of the inspections in milliseconds: rollups of minutes, hours and days
TIMES = st.integers(BEGIN - 1000, BEGIN + WITHIN + 1000) | st.sampled_from([-(2**70), 0, 2**70])
TEXTS = st.sampled_from([name.format(number) for name in NAMES for number in ("", 1, 17)]) | st.text(max_size=3)

ALL_FILTERS = st.builds(
    InspectionFilter,
    since=st.none() | TIMES,
    until=st.none() | TIMES,
    verdicts=st.frozensets(st.sampled_from([*Verdict, None])),
    noise_types=st.frozensets(st.sampled_from([*NoiseType])),
    model=st.sampled_from(["", "", *MODELS, "another"]),
    station=st.sampled_from(["", "", *STATIONS]),
    disagreement=st.none() | st.sampled_from([*Disagreement]),
    shadow_differs=st.booleans(),
    feedback=st.none() | st.booleans(),
    text=st.just("") | TEXTS | TEXTS.map(str.upper),
)
FILTER_NAMES = st.sampled_from([field.name for field in fields(InspectionFilter)])
# Few filters at once, since most combinations match nothing.
FEW_FILTERS = st.builds(
    lambda filters, names: replace(InspectionFilter(), **{name: getattr(filters, name) for name in names}),
    ALL_FILTERS,
    st.frozensets(FILTER_NAMES, max_size=3),
)

Filled = tuple[InspectionLog, list[InspectionRecord]]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A log with inspections of three days, and its records. Not to be changed."""
    place: str | Path = tmp_path_factory.mktemp("log") / "log.sqlite"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        place = server.make("filters")
    log = open_log(place)
    yield log, fill_log(log, count=400, within=WITHIN)
    log.close()


@settings(deadline=None, max_examples=80, derandomize=True)
@given(filters=FEW_FILTERS, order=st.sampled_from(InspectionOrder), limit=st.integers(20, 150))
def test_pages_have_all_matches_once_and_in_order(
    filled: Filled, filters: InspectionFilter, order: InspectionOrder, limit: int
) -> None:
    log, logged = filled
    expected = filter_records(logged, filters, order)
    found: list[InspectionRecord] = []
    after: str | None = None
    for _ in range(len(expected) // limit + 1):
        page = log.page(filters, order=order, after=after, limit=limit)
        found += page.records
        after = page.next
        if after is None:
            break

    assert found == expected
    assert after is None


@settings(deadline=None, max_examples=80, derandomize=True)
@given(filters=FEW_FILTERS)
def test_counts_include_all_matches(filled: Filled, filters: InspectionFilter) -> None:
    log, logged = filled
    expected = filter_records(logged, filters)

    check_counts(log.count(filters), expected)
    assert sorted(record.id for record in log.export(filters)) == sorted(record.id for record in expected)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(filters=FEW_FILTERS, spans=st.integers(1, 60))
def test_a_trend_has_counts_of_equal_spans(filled: Filled, filters: InspectionFilter, spans: int) -> None:
    log, logged = filled
    expected = filter_records(logged, filters)
    trend = log.trend(filters, spans=spans)

    assert sum(one.inspections for one in trend) == len(expected)
    assert len(trend) <= spans
    assert len({after.start - before.start for before, after in pairwise(trend)}) <= 1
    ends = [*(one.start for one in trend[1:]), 2**70]
    for one, end in zip(trend, ends, strict=False):
        check_counts(one, [record for record in expected if one.start <= record.entry.at < end])
    if expected and filters.since is None and not filters.text:
        assert 0 <= min(record.entry.at for record in expected) - trend[0].start < 86_400_000


def check_counts(found: InspectionCounts, expected: list[InspectionRecord]) -> None:
    """Check that counts are those of these inspections."""
    entries = [record.entry for record in expected]
    assert found.inspections == len(entries)
    assert found.verdicts == {one: sum(entry.verdict is one for entry in entries) for one in (*Verdict, None)}
    assert found.noise_types == {one: sum(entry.noise_type is one for entry in entries) for one in (*NoiseType, None)}
    assert found.disagreements == sum(record.disagreement is not Disagreement.NONE for record in expected)
    assert found.brightness == mean([entry.brightness for entry in entries])
    assert found.sharpness == mean([entry.sharpness for entry in entries])
    assert found.p_defect == mean([entry.p_defect for entry in entries])


def mean(values: list[float | None]) -> object:
    known = [value for value in values if value is not None]
    return pytest.approx(sum(known) / len(known), rel=1e-9) if known else None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("PART", {"Part_1.jpg"}),
        ("_", {"Part_1.jpg"}),
        ("%", {"50%.png"}),
        ("strasse", {"Straße.bmp"}),
        ("STRASSE", {"Straße.bmp"}),
        ("/", {"a/b"}),
        ("\\", {"a\\b"}),
        ("abcdef01", {"a/b"}),
        ("ABCDEF01AB", {"a/b"}),
        ("abcdef0", set[str]()),
        ("abcdef02", set[str]()),
        (" ", set[str]()),
        ("x" * 100_000, set[str]()),
    ],
)
def test_text_matches_parts_of_names_and_prefixes_of_hashes(log: InspectionLog, text: str, found: set[str]) -> None:
    names = ["Part_1.jpg", "50%.png", "Straße.bmp", "a\\b"]
    log.write([*(replace(ENTRY, name=name) for name in names), replace(ENTRY, name="a/b", sha256="abcdef01" * 8)])

    assert {record.entry.name for record in log.page(InspectionFilter(text=text)).records} == found
    assert log.count(InspectionFilter(text=text)).inspections == len(found)


def test_pages_are_stable_while_inspections_are_logged(log: InspectionLog) -> None:
    log.write([replace(ENTRY, at=BEGIN + number) for number in range(10)])
    page = log.page(InspectionFilter(), limit=1)
    found = [*page.records]
    while page.next:
        log.write([replace(ENTRY, at=BEGIN + 100)])
        page = log.page(InspectionFilter(), after=page.next, limit=1)
        found += page.records

    assert [record.entry.at - BEGIN for record in found] == [*range(9, -1, -1)]


def test_the_least_certain_are_closest_to_the_threshold(log: InspectionLog) -> None:
    near = [(0.5, 0.5), (0.43, 0.4), (0.6, 0.5), (0.9, 0.5), (0.1, 0.95), (1.0, 0.5), (0.0, 0.6)]
    log.write([replace(ENTRY, p_defect=p, threshold=threshold) for p, threshold in reversed(near)])
    log.write([replace(ENTRY, p_defect=None, threshold=None, verdict=None)])

    records = log.page(InspectionFilter(), order=InspectionOrder.LEAST_CERTAIN).records

    assert [(record.entry.p_defect, record.entry.threshold) for record in records] == near


def test_feedback_changes_which_filters_match(log: InspectionLog) -> None:
    [number] = log.write([ENTRY])
    open_ones = InspectionFilter(disagreement=Disagreement.OPEN)
    assert log.count(open_ones).inspections == 0

    log.add_feedback(number, make_feedback(FeedbackLabel.OK))
    assert [record.id for record in log.page(open_ones).records] == [number]
    assert log.count(open_ones).inspections == 1

    log.add_feedback(number, make_feedback(FeedbackLabel.OK, settles=True))
    assert log.page(open_ones).records == ()
    assert log.count(open_ones).inspections == 0
    assert log.count(InspectionFilter()).disagreements == 1
    assert log.count(InspectionFilter()).inspections == 1


@given(since=st.integers(-(10**10), 10**10), length=st.integers(-5, 10**10))
def test_pieces_cover_a_time_range_without_gaps(since: int, length: int) -> None:
    pieces = split_time_range(since, since + length)

    assert sum(piece.until - piece.since for piece in pieces) == max(length, 0)
    assert all(before.until == after.since for before, after in pairwise(pieces))
    assert all(piece.since % piece.width == piece.until % piece.width == 0 for piece in pieces if piece.width)
    assert all(piece.until - piece.since < 120_000 for piece in pieces if not piece.width)
    assert not pieces or pieces[0].since == since
