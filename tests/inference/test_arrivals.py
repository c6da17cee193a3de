"""Detection of new images in a watched folder, also under known names."""

import csv
import hashlib
import os
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clearcast.core import imaging
from clearcast.inference import arrivals as arrivals_module
from clearcast.inference import watch as watch_module
from clearcast.inference.alerts import AlertDispatcher
from clearcast.inference.arrivals import ArrivalDetector, CompletionRule, trusted_file_time
from clearcast.inference.sinks import InspectedIndex, open_results_writer
from clearcast.inference.sinks.result_rows import VERDICT_COLUMNS
from clearcast.inference.sources import SourceItem
from clearcast.inference.watch import watch_folder
from clearcast.types import Inspection, Verdict
from tests.inference.test_watch import MODEL, Clock, inspection

LONG_AGO = 1_000_000_000_123_456_789  # in nanoseconds since 1970


def bmp(grey: int) -> bytes:
    """An image; all have the same number of bytes."""
    return imaging.encode_image(np.full((16, 20), grey, np.uint8), ".bmp")


class RecordingInspector:
    """Accepts any bytes as an image, and records what it read."""

    def __init__(self, on_inspection: Callable[[int], None] = lambda _: None) -> None:
        self.read: list[bytes] = []
        self._on_inspection = on_inspection

    def predict(self, source: Iterable[SourceItem], /) -> Generator[Inspection, None, None]:
        for item in source:
            state, data = item.state(), item.read()
            assert isinstance(data, bytes)
            assert state is not None
            self.read.append(data)
            result = replace(inspection(item.name, Verdict.OK), sha256=hashlib.sha256(data).hexdigest())
            self._on_inspection(len(self.read))
            yield replace(result, size=state.size, modified=state.modified)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "POLL_SECONDS", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def watch_once(folder: Path, out: Path, inspector: RecordingInspector) -> list[bytes]:
    """Watch until nothing is new, as a new process does; returns what was inspected."""
    start = len(inspector.read)
    trusted = trusted_file_time(out)
    writer, inspected = open_results_writer(out, model=MODEL, resume=True, live=True)
    arrivals = ArrivalDetector(folder, inspected, CompletionRule(settle=0.02, patience=0.1), trusted=trusted)
    with writer, AlertDispatcher([], print) as alerts:
        watch_folder(
            inspector, arrivals, writer, alerts, stop=threading.Event(), once=True, on_inspection=lambda _: None
        )
    return inspector.read[start:]


def rows(out: Path) -> list[dict[str, str]]:
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("data", "modified"), [(bmp(2), None), (bmp(2), LONG_AGO), (bmp(1) + b"\0", LONG_AGO), (bmp(1), LONG_AGO + 1)]
)
def test_other_bytes_size_or_time_are_a_new_image(
    folder: Path, tmp_path: Path, data: bytes, modified: int | None
) -> None:
    path, out = folder / "latest.bmp", tmp_path / "r.csv"
    path.write_bytes(bmp(1))
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    assert watch_once(folder, out, RecordingInspector()) == [bmp(1)]

    path.write_bytes(data)
    if modified is not None:
        os.utime(path, ns=(modified, modified))

    assert watch_once(folder, out, RecordingInspector()) == [data]
    assert [row["path"] for row in rows(out)] == [str(path)] * 2
    assert [row["sha256"] for row in rows(out)] == [hashlib.sha256(each).hexdigest() for each in (bmp(1), data)]
    assert rows(out)[0] | {"size": "1398", "modified": "2001-09-09T01:46:40.123456789Z"} == rows(out)[0]
    assert watch_once(folder, out, RecordingInspector()) == []


def test_a_deleted_name_can_be_reused(folder: Path) -> None:
    path, clock = folder / "0001.bmp", Clock()
    arrivals = ArrivalDetector(folder, InspectedIndex(), CompletionRule(settle=1.0), clock)
    inspector = RecordingInspector()
    for grey in range(3):
        path.write_bytes(bmp(grey))
        arrivals.poll()
        clock.now += 1
        (result,) = inspector.predict(arrivals.poll())
        assert arrivals.accept(result)
        assert arrivals.poll() == []
        path.unlink()
        clock.now += 1
        assert arrivals.poll() == []
    assert inspector.read == [bmp(0), bmp(1), bmp(2)]


def test_a_file_overwritten_during_its_inspection_is_inspected_again(folder: Path, tmp_path: Path) -> None:
    path, out = folder / "latest.bmp", tmp_path / "r.csv"
    path.write_bytes(bmp(0))

    def overwrite(count: int) -> None:
        if count < 4:
            path.write_bytes(bmp(count))

    assert watch_once(folder, out, RecordingInspector(overwrite)) == [bmp(0), bmp(1), bmp(2), bmp(3)]
    assert len(rows(out)) == 4


def test_other_permissions_are_not_a_new_image(folder: Path, tmp_path: Path) -> None:
    path, out = folder / "a.bmp", tmp_path / "r.csv"
    path.write_bytes(bmp(1))
    watch_once(folder, out, RecordingInspector())

    path.chmod(0o600)

    assert watch_once(folder, out, RecordingInspector()) == []
    assert len(rows(out)) == 1


def test_a_restart_reads_no_inspected_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "r.csv"
    for number in range(5):
        (folder / f"{number}.bmp").write_bytes(bmp(number))
    watch_once(folder, out, RecordingInspector())
    later = out.stat().st_mtime_ns + 2 * 3600 * 10**9
    os.utime(out, ns=(later, later))  # as if the last row were hours later than the images
    monkeypatch.setattr(ArrivalDetector, "_has_inspected_bytes", lambda *_: pytest.fail("an image was read"))

    assert watch_once(folder, out, RecordingInspector()) == []


def test_a_drive_with_coarse_times_gets_a_longer_settling_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two writes within one tick of two seconds, the second cannot be detected until the tick is over."""
    path, clock = folder / "a.bmp", Clock()
    tick = 10**18

    def stat(_: str) -> arrivals_module._Stat:
        return arrivals_module._Stat(path.stat().st_size, tick, tick)

    monkeypatch.setattr(arrivals_module, "_stat", stat)
    arrivals = ArrivalDetector(folder, InspectedIndex(), CompletionRule(settle=0.5), clock)
    path.write_bytes(bmp(1))
    arrivals.poll()
    for clock.now in (0.6, 2.0):
        assert arrivals.poll() == []
    clock.now = 2.6
    assert len(arrivals.poll()) == 1


def test_results_of_an_earlier_version_are_resumed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    for number in range(4):
        (folder / f"{number}.bmp").write_bytes(bmp(number))
    watch_once(folder, out, RecordingInspector())
    (folder / "3.bmp").write_bytes(bmp(4))
    before = rows(out)
    lines = [",".join(VERDICT_COLUMNS), *(",".join(row[name] for name in VERDICT_COLUMNS) for row in before)]
    out.write_text("\n".join(lines) + "\n")
    (folder / "new.bmp").write_bytes(bmp(9))

    assert watch_once(folder, out, RecordingInspector()) == [bmp(4), bmp(9)]

    after = rows(out)
    assert [{name: row[name] for name in VERDICT_COLUMNS} for row in after[:4]] == [
        {name: row[name] for name in VERDICT_COLUMNS} for row in before
    ]
    assert [row["size"] for row in after] == ["", "", "", "", "1398", "1398"]
    assert watch_once(folder, out, RecordingInspector()) == []


def test_a_file_that_never_settles_is_inspected_periodically_and_reported(folder: Path) -> None:
    path, clock, messages = folder / "latest.bmp", Clock(), list[str]()
    arrivals = ArrivalDetector(
        folder, InspectedIndex(), CompletionRule(settle=1.0, patience=10.0), clock, report=messages.append
    )
    inspector = RecordingInspector()
    for second in range(40):
        clock.now = second * 0.5
        path.write_bytes(bmp(second))
        for result in inspector.predict(arrivals.poll()):
            assert arrivals.accept(result)

    assert inspector.read == [bmp(20)]
    (sentence,) = messages
    assert "latest.bmp: is overwritten repeatedly" in sentence


def test_other_kinds_are_reported_once_when_they_appear(folder: Path) -> None:
    messages = list[str]()
    arrivals = ArrivalDetector(folder, InspectedIndex(), CompletionRule(), Clock(), report=messages.append)
    for name in ("a.heic", "b.heic", ".hidden.txt", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    for _ in range(3):
        arrivals.poll()
    (folder / "c.txt").write_bytes(b"x")
    for _ in range(3):
        arrivals.poll()
    assert messages == ["Files of other kinds are left out: .heic 2", "Files of other kinds are left out: .txt 1"]
