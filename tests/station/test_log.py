"""The log: entries, feedback, cursors, exports and concurrent use."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from clearcast.station.log import InspectionLog, open_log, sqlite_files
from clearcast.station.records import (
    Disagreement,
    Feedback,
    FeedbackLabel,
    InspectionFilter,
    InspectionOrder,
    ShadowResult,
)
from clearcast.types import Verdict
from tests.station.logged import BEGIN, ENTRY, MODELS, UNREADABLE, fill_log, make_feedback

NONE, OPEN, SETTLED = Disagreement.NONE, Disagreement.OPEN, Disagreement.SETTLED


def test_logged_entries_are_read_back_unchanged(log: InspectionLog) -> None:
    differs = ShadowResult(model="disk ffff0000", verdict=Verdict.OK, p_defect=0.1, threshold=0.5)
    failed = ShadowResult(model="disk ffff0000", verdict=None, p_defect=None, threshold=None, error="it is too small")
    entries = [ENTRY, UNREADABLE, replace(ENTRY, shadow=differs), replace(ENTRY, shadow=failed, p_defect=0.1 + 0.2)]

    numbers = log.write(entries)

    records = [log.record(number) for number in numbers]
    assert [record.entry for record in records if record] == entries
    assert [record.id for record in records if record] == numbers == sorted(set(numbers))


def test_many_entries_are_logged_in_order(log: InspectionLog) -> None:
    entries = [replace(ENTRY, name=f"{number}.png", at=BEGIN - number) for number in range(2500)]

    numbers = log.write(entries)

    assert numbers == sorted(set(numbers))
    assert [record.entry for record in log.export(InspectionFilter())] == entries


def test_no_entries_are_no_transaction(log: InspectionLog) -> None:
    assert log.write([]) == []
    assert log.page(InspectionFilter()).records == ()
    assert log.page(InspectionFilter()).next is None
    assert log.count(InspectionFilter()).inspections == 0
    assert log.trend(InspectionFilter()) == []
    assert list(log.export(InspectionFilter())) == []
    assert log.latest(MODELS[0], 10) == []


@pytest.mark.parametrize("number", [0, -1, 1, 2**63 - 1, 2**63, -(2**70)])
def test_an_unknown_id_gives_none(log: InspectionLog, number: int) -> None:
    assert log.record(number) is None
    assert log.add_feedback(number, make_feedback()) is None
    assert log.count(InspectionFilter(feedback=True)).inspections == 0


def test_names_and_notes_are_stored_unchanged(log: InspectionLog) -> None:
    names = ["'; DROP TABLE inspections; --", "<script>", "../../etc/passwd", "部品 😀.png", "%", "a\nb"]

    numbers = log.write([replace(ENTRY, name=name, station=name, noise_level=name) for name in names])
    log.add_feedback(numbers[0], replace(make_feedback(), note=names[0], operator=names[3]))

    assert [record.entry.name for record in log.page(InspectionFilter()).records] == names[::-1]
    assert log.stations() == sorted(names)
    first = log.record(numbers[0])
    assert first
    assert (first.feedback[0].note, first.feedback[0].operator) == (names[0], names[3])


def test_characters_that_databases_reject_are_replaced(log: InspectionLog) -> None:
    bad = "a\x00b\ud800c"

    [number] = log.write([replace(ENTRY, name=bad, station=bad, model=bad, brightness=float("nan"), sharpness=None)])
    record = log.add_feedback(number, replace(make_feedback(), note=bad, operator=bad))

    assert record
    assert (record.entry.name, record.feedback[0].note) == ("a�b�c", "a�b�c")
    assert record.entry.brightness is None
    assert log.count(InspectionFilter(text=bad, model=bad, station=bad)).inspections == 1
    assert log.count(InspectionFilter()).brightness is None


def test_models_and_stations_are_listed(log: InspectionLog) -> None:
    log.write([replace(ENTRY, model=model, station=station) for model in ("b", "a") for station in ("z", "", "y")])

    assert log.models() == ["a", "b"]
    assert log.stations() == ["y", "z"]


def test_latest_leaves_out_errors(log: InspectionLog) -> None:
    others = [replace(ENTRY, model=MODELS[1], at=BEGIN + 50), replace(UNREADABLE, at=BEGIN + 60)]
    mine = [replace(ENTRY, at=BEGIN + number) for number in range(5)]
    log.write([*mine, *others])

    assert log.latest(MODELS[0], 3) == [mine[4], mine[3], mine[2]]
    assert log.latest(MODELS[0], 30) == mine[::-1]
    assert log.latest("another", 30) == []


def test_hashes_with_feedback_are_found(log: InspectionLog) -> None:
    hashes = [f"{number:064x}" for number in range(1200)]
    numbers = log.write([replace(ENTRY, sha256=sha256) for sha256 in [*hashes, hashes[7]]])
    log.add_feedback(numbers[-1], make_feedback())
    log.add_feedback(numbers[1100], make_feedback(FeedbackLabel.BAD_PICTURE))

    assert log.hashes_with_feedback([*hashes, "ff"]) == {hashes[7], hashes[1100]}
    assert log.hashes_with_feedback([hashes[0]]) == set()
    assert log.hashes_with_feedback([]) == set()


def test_the_image_folder_is_recorded_in_the_log(log: InspectionLog, log_url: str, tmp_path: Path) -> None:
    assert log.image_folder is None

    log.set_image_folder(tmp_path / "before")
    log.set_image_folder(tmp_path / "pictures")

    again = open_log(log_url)
    assert again.image_folder == tmp_path / "pictures"
    again.close()


@pytest.mark.parametrize(
    "after",
    ["", "x", "n", "n1", "n1_x", "n_1", "c0.5_1", "n1_2_3", f"n{10**30}_1", f"n1_{10**30}", "n1_2\n", "n١_٢", "nNaN_1"],
)
def test_invalid_cursors_of_newest_are_refused(log: InspectionLog, after: str) -> None:
    with pytest.raises(ValueError, match="no cursor of this order"):
        log.page(InspectionFilter(), after=after)


@pytest.mark.parametrize("after", ["", "n1_2", "c1", "cnan_1", "cinf_1", "c0.5_-1", "c1e999_1", f"c0.5_{10**30}"])
def test_invalid_cursors_of_least_certain_are_refused(log: InspectionLog, after: str) -> None:
    with pytest.raises(ValueError, match="no cursor of this order"):
        log.page(InspectionFilter(), order=InspectionOrder.LEAST_CERTAIN, after=after)


def test_an_export_has_every_inspection_logged_before_it_once(log: InspectionLog) -> None:
    logged = fill_log(log, count=1100, within=10_000)
    filters = InspectionFilter(feedback=False)
    expected = {record.id for record in logged if not record.feedback}

    export = log.export(filters)
    first = next(export)
    log.write([replace(ENTRY, at=BEGIN + when) for when in (-1, 5_000, 20_000)])
    oldest = min(
        (record for record in logged if record.id in expected), key=lambda record: (record.entry.at, record.id)
    )
    log.add_feedback(oldest.id, make_feedback())
    found = [first.id, *(record.id for record in export)]

    assert len(found) == len(set(found))
    assert set(found) == expected - {oldest.id}, "each page shows the state of the log when it is read"


def test_a_paused_export_holds_no_transaction(tmp_path: Path) -> None:
    """SQLite cannot truncate its journal while a transaction reads from an earlier state."""
    log = open_log(tmp_path / "log.sqlite")
    fill_log(log, count=1100, within=10_000)
    exports = [log.export(InspectionFilter()) for _ in range(3)]
    for export in exports:
        next(export)
    for _ in range(40):
        log.write([ENTRY] * 500)

    assert (tmp_path / "log.sqlite").stat().st_size > 5_000_000
    assert (tmp_path / "log.sqlite-wal").stat().st_size < 12_000_000
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy
    assert (tmp_path / "log.sqlite-wal").stat().st_size == 0
    assert [len(list(export)) for export in exports] == 3 * [1099]
    log.close()


def test_overlapping_readers_do_not_let_the_journal_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "JOURNAL_LIMIT_BYTES", 1_000_000)
    path, over = tmp_path / "log.sqlite", Event()
    with closing(open_log(path)) as log:
        log.write([ENTRY] * 500)

        def read() -> None:
            while not over.is_set():
                log.count(InspectionFilter(text="part"))

        readers = [Thread(target=read) for _ in range(3)]
        for thread in readers:
            thread.start()
        sizes = []
        for _ in range(80):
            log.write([ENTRY] * 100)
            sizes.append(path.with_name("log.sqlite-wal").stat().st_size)
        over.set()
        for thread in readers:
            thread.join()
        assert log.count(InspectionFilter()).inspections == 8500
    assert max(sizes) < 4_000_000, sizes


def test_a_reader_of_the_journal_seldom_delays_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader in another program: the log waits for it seldom, not at each write."""
    monkeypatch.setattr(sqlite_files, "JOURNAL_LIMIT_BYTES", 1_000_000)
    monkeypatch.setattr(sqlite_files, "_CHECKPOINT_TIMEOUT", 10)
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as log, closing(sqlite3.connect(path)) as other:
        log.write([ENTRY])
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM inspections").fetchone()
        for _ in range(20):
            log.write([ENTRY] * 100)
        assert path.with_name("log.sqlite-wal").stat().st_size > 1_000_000
        other.rollback()
        for _ in range(40):
            log.write([ENTRY] * 100)
        assert path.with_name("log.sqlite-wal").stat().st_size < 4_000_000
        assert log.count(InspectionFilter()).inspections == 6001


def test_an_abandoned_export_leaves_the_log_usable(log: InspectionLog) -> None:
    fill_log(log, count=20, within=1000)
    for _ in range(40):  # more than connections in the pool
        next(log.export(InspectionFilter()))

    assert log.count(InspectionFilter()).inspections == 20


def test_threads_write_and_read_concurrently(log: InspectionLog) -> None:
    def work(number: int) -> int:
        ids = log.write([replace(ENTRY, name=f"{number}", at=BEGIN + number)] * 3)
        log.add_feedback(ids[0], make_feedback())
        assert log.record(ids[2])
        return log.count(InspectionFilter(text=f"{number}")).inspections

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(work, range(100, 160)))

    assert counts == [3] * 60
    assert log.count(InspectionFilter()).inspections == 180
    assert log.count(InspectionFilter(feedback=True)).inspections == 60


def test_stations_share_a_log(log: InspectionLog, log_url: str) -> None:
    def work(station: InspectionLog) -> None:
        for number in range(30):
            entries = [replace(ENTRY, model=model, at=BEGIN - 60_000 * number) for model in MODELS]
            for one in station.write(entries if number % 2 else entries[::-1]):
                station.add_feedback(one, make_feedback())

    stations = [log, *(open_log(log_url) for _ in range(3))]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, stations))

    assert log.count(InspectionFilter()).inspections == log.count(InspectionFilter()).disagreements == 240
    assert sum(span.inspections for span in log.trend(InspectionFilter())) == 240
    for station in stations[1:]:
        station.close()


@pytest.mark.parametrize(
    ("verdict", "says", "state"),
    [
        (Verdict.OK, FeedbackLabel.OK, NONE),
        (Verdict.OK, FeedbackLabel.DEFECT, OPEN),
        (Verdict.OK, FeedbackLabel.BAD_PICTURE, OPEN),
        (Verdict.DEFECT, FeedbackLabel.OK, OPEN),
        (Verdict.DEFECT, FeedbackLabel.DEFECT, NONE),
        (Verdict.DEFECT, FeedbackLabel.BAD_PICTURE, OPEN),
        (Verdict.RETAKE, FeedbackLabel.OK, NONE),
        (Verdict.RETAKE, FeedbackLabel.DEFECT, NONE),
        (Verdict.RETAKE, FeedbackLabel.BAD_PICTURE, OPEN),
        (None, FeedbackLabel.OK, NONE),
        (None, FeedbackLabel.DEFECT, NONE),
        (None, FeedbackLabel.BAD_PICTURE, NONE),
    ],
)
def test_feedback_against_the_verdict_opens_a_disagreement(
    log: InspectionLog, verdict: Verdict | None, says: FeedbackLabel, state: Disagreement
) -> None:
    [number] = log.write([replace(ENTRY, verdict=verdict)])

    record = log.add_feedback(number, make_feedback(says))

    assert record
    assert record.disagreement is state


DEFECT, OK, BAD_IMAGE = (
    make_feedback(FeedbackLabel.DEFECT),
    make_feedback(FeedbackLabel.OK),
    make_feedback(FeedbackLabel.BAD_PICTURE),
)
FINAL_DEFECT, FINAL_OK = (
    make_feedback(FeedbackLabel.DEFECT, settles=True),
    make_feedback(FeedbackLabel.OK, settles=True),
)


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ([OK, DEFECT], NONE),  # the latest counts
        ([DEFECT, OK], OPEN),
        ([OK, BAD_IMAGE, OK], OPEN),
        ([OK, FINAL_OK], SETTLED),
        ([OK, FINAL_DEFECT], SETTLED),
        ([FINAL_OK], SETTLED),
        ([FINAL_DEFECT], NONE),  # there was nothing to settle
        ([DEFECT, FINAL_DEFECT], NONE),
        ([OK, FINAL_OK, FINAL_DEFECT], SETTLED),
        ([OK, FINAL_OK, OK], OPEN),  # it is opened again
        ([OK, FINAL_OK, DEFECT], NONE),
    ],
)
def test_the_latest_feedback_decides_the_disagreement_state(
    log: InspectionLog, given: list[Feedback], state: Disagreement
) -> None:
    [number] = log.write([ENTRY])

    for feedback in given:
        record = log.add_feedback(number, feedback)

    assert record
    assert record.feedback == tuple(given)
    assert record.disagreement is state
    assert record.entry == ENTRY
    assert log.record(number) == record
    assert log.count(InspectionFilter()).disagreements == (state is not NONE)


def test_inspections_without_a_verdict_accept_feedback(log: InspectionLog) -> None:
    [number] = log.write([UNREADABLE])

    record = log.add_feedback(number, BAD_IMAGE)

    assert record
    assert record.entry == UNREADABLE
    assert log.count(InspectionFilter(feedback=True, verdicts=frozenset({None}))).inspections == 1
