"""Log writer: batching, and detection of frozen cameras."""

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest

from clearcast.station.log import LogUnavailable, open_log
from clearcast.station.records import InspectionEntry, InspectionFilter, ShadowResult
from clearcast.station.service import log_writer
from clearcast.station.service.log_writer import FinishedJob, FinishedQueue, InspectionJob, log_finished_jobs
from clearcast.station.service.monitors import RepeatedImageCounter
from clearcast.types import Verdict
from tests.station.logged import ENTRY
from tests.station.services import TIMEOUT, FakeLog, upload


@pytest.mark.parametrize("queued", [True, False])
def test_finished_jobs_are_logged_together_while_others_wait(queued: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "_BATCH_WAIT", TIMEOUT)
    fake_log, jobs = FakeLog(), [InspectionJob(upload=upload(), at=0) for _ in range(3)]
    finished: FinishedQueue = SimpleQueue()

    def finish() -> None:
        for job in jobs:
            finished.put(FinishedJob(job=job, entry=ENTRY))
            if not queued:
                job.future.result(TIMEOUT)  # nothing else is finished before it is logged
        finished.put(None)

    worker = threading.Thread(target=finish)
    worker.start()
    log_finished_jobs(
        finished,
        fake_log.as_log,
        RepeatedImageCounter(),
        queued=lambda: queued,
        log_failed=lambda error: pytest.fail(str(error)),
    )
    worker.join()
    assert [job.future.result(timeout=0).id for job in jobs] == [1, 2, 3]
    assert [len(names) for names in fake_log.writes] == ([3] if queued else [1, 1, 1])


def test_frozen_cameras_are_detected_by_station_from_logged_images_only() -> None:
    repeats = RepeatedImageCounter()
    frozen, moving = (replace(ENTRY, station=name, error="") for name in ("frozen", "moving"))

    def entries_of(step: int) -> list[InspectionEntry]:
        return [replace(frozen, pixels="same"), replace(moving, pixels=str(step))]

    def log(step: int, *, fails: bool = False) -> list[bool]:
        with repeats.mark_repeats(entries_of(step)) as entries:
            if fails:
                raise LogUnavailable("unavailable")
        return ["for the" in entry.error for entry in entries]

    assert log(0) == [False, False]
    for _ in range(3):
        with pytest.raises(LogUnavailable):
            log(1, fails=True)
    assert log(1) == [False, False]
    assert log(2) == log(3) == [True, False]
    assert repeats.total == 3
    with repeats.mark_repeats(entries_of(4)) as (last, _):
        assert last.error == f"{ENTRY.name}: the same image for the 5th time in a row; is the camera frozen?"
        assert (last.verdict, last.p_defect, last.noise_type, last.brightness) == (None, None, None, None)


def test_a_frozen_camera_gets_no_verdict_from_either_bundle(tmp_path: Path) -> None:
    shadow_result = ShadowResult(model="other", verdict=Verdict.OK, p_defect=0.1, threshold=0.5, error="")
    entry = replace(ENTRY, verdict=Verdict.OK, shadow=shadow_result, pixels="same", error="")
    with RepeatedImageCounter().mark_repeats(5 * [entry]) as entries, closing(open_log(tmp_path / "log.sqlite")) as log:
        log.write(entries)
        differing = log.page(InspectionFilter(shadow_differs=True)).records
    last = entries[-1]
    assert last.shadow
    assert (last.verdict, last.shadow.verdict, last.shadow.p_defect) == (None, None, None)
    assert last.shadow.error == last.error != ""
    assert last.shadow.model == "other"
    assert not differing


def test_the_most_recent_senders_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearcast.station.service.monitors._MAX_STATIONS", 2)
    repeats = RepeatedImageCounter()
    for station in ("a", "b", "c", "a"):
        with repeats.mark_repeats([replace(ENTRY, station=station, pixels="same", error="")]):
            pass
    assert repeats.total == 0
