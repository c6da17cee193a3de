"""Alerts under adverse conditions: dead webhooks, hanging commands, closed terminals."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clearcast.cli import output
from clearcast.core import imaging
from clearcast.inference import alerts as alarms_module
from clearcast.inference import alerts as hooks_module
from clearcast.inference.alerts import AlertDispatcher, make_hook_alert, make_webhook_alert
from clearcast.inference.sinks import read_results
from tests.inference.handmade import flat, write_bundle
from tests.inference.test_watch import inspection

MAIN = "from clearcast.cli import main; main()"


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A URL of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.fixture(autouse=True)
def _short_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms_module, "_SHUTDOWN_SECONDS", 0.2)


def test_a_dead_webhook_delays_no_other_alert(black_hole: str) -> None:
    heard: list[str] = []
    reported: list[str] = []

    with AlertDispatcher(
        [make_webhook_alert(black_hole), lambda each: heard.append(each.path)], reported.append
    ) as alarms:
        for number in range(21):
            alarms.send(inspection(str(number)))
        wait_until(lambda: len(heard) == 21)

    assert heard == [str(number) for number in range(21)]
    assert reported == ["webhook: not delivered for 0, 1, 2 and 18 more; their rows are in the results"]


def test_alerts_never_block_and_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms_module, "_QUEUE_SIZE", 10)
    free, heard, reported = threading.Event(), list[str](), list[str]()

    def slow(each: object) -> None:
        free.wait()
        heard.append(each.path)  # type: ignore[attr-defined]

    with AlertDispatcher([slow], reported.append) as alarms:
        alarms.send(inspection("first"))
        wait_until(lambda: not alarms._targets[0]._waiting)
        for number in range(100):
            alarms.send(inspection(str(number)))
        free.set()
        wait_until(lambda: len(heard) == 11)

    assert heard == ["first", *map(str, range(90, 100))]
    assert reported == ["alert: too slow; the oldest 90 alerts were dropped"]


def test_alerts_continue_if_failures_cannot_be_reported() -> None:
    heard: list[str] = []

    def fail(each: object) -> None:
        heard.append(each.path)  # type: ignore[attr-defined]
        raise OSError("no")

    def refuse(_: str) -> None:
        raise BrokenPipeError

    with AlertDispatcher([fail], refuse) as alarms:
        for name in "abc":
            alarms.send(inspection(name))
        wait_until(lambda: len(heard) == 3)


STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for depth in range(2):
    if os.fork():
        break
open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
time.sleep(60)
"""


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("ended_by", ["time", "the end of the watch"])
def test_a_hook_that_times_out_ends_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended_by: str
) -> None:
    monkeypatch.setattr(hooks_module, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(hooks_module, "_HOOK_SECONDS", 1.5 if ended_by == "time" else 60.0)
    (tmp_path / "hook.py").write_text(STUBBORN)
    (tmp_path / "started").mkdir()
    reported: list[str] = []

    with AlertDispatcher(
        [make_hook_alert(f"'{sys.executable}' '{tmp_path}/hook.py' '{tmp_path}/started'")], reported.append
    ) as alarms:
        alarms.send(inspection("a"))
        wait_until(lambda: len(list((tmp_path / "started").iterdir())) == 3)
        if ended_by == "time":
            wait_until(lambda: bool(reported))

    processes = [int(path.name) for path in (tmp_path / "started").iterdir()]
    wait_until(lambda: not any(map(is_running, processes)))
    (message,) = reported
    assert ("timed out after 1.5 s" if ended_by == "time" else "not delivered for a;") in message


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("made") / "bundle")


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process also after a failure: the test would wait for it."""
    try:
        yield
    finally:
        process.kill()


def watching(bundle: Path, folder: Path, *options: str) -> list[str]:
    asked = ["watch", str(bundle), str(folder / "in"), "--out", str(folder / "r.csv"), "--threads", "1"]
    return [sys.executable, "-c", MAIN, *asked, *options]


def put(folder: Path, name: str, grey: int = 240) -> None:
    """A defect for the handmade bundle; each grey level is another image."""
    (folder / "in" / name).write_bytes(imaging.encode_image(flat(grey), ".png"))


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals and pipes there")
@pytest.mark.parametrize("terminal", ["broken", "full", "hung up"])
def test_inspections_and_alerts_continue_without_a_terminal(bundle: Path, tmp_path: Path, terminal: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "heard").mkdir()
    reader, writer = os.pipe()
    if terminal == "full":
        os.set_blocking(writer, False)
        while True:
            try:
                os.write(writer, b"x" * 4096)
            except BlockingIOError:
                break
        os.set_blocking(writer, True)
    (tmp_path / "hook.sh").write_text(f"#!/bin/sh\ntouch '{tmp_path}/heard/'$(basename $1)\n")
    (tmp_path / "hook.sh").chmod(0o755)
    hook = f"'{tmp_path}/hook.sh'"
    command = watching(bundle, tmp_path, "--hook", hook)
    with subprocess.Popen(command, stdout=writer, stderr=writer) as process, ended(process):
        os.close(writer)
        if terminal == "broken":
            os.close(reader)
        for number in range(3):
            put(tmp_path, f"{number}.png", 240 + number)
            wait_until(lambda number=number: (tmp_path / f"heard/{number}.png").exists())  # type: ignore[misc]
            if terminal == "hung up":
                process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    if terminal != "broken":
        os.close(reader)
    assert [Path(row["path"]).name for row in read_results(tmp_path / "r.csv")] == ["0.png", "1.png", "2.png"]


def test_lines_that_cannot_be_printed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    free = threading.Event()
    monkeypatch.setattr(output, "print_line", printed.append)
    monkeypatch.setattr(output, "_LINES", 5)
    monkeypatch.setattr(output, "_is_writable", lambda: free.wait(0.01))
    with output.LinePrinter() as printer:
        for number in range(12):
            printer.say(str(number))
        free.set()
    assert printed == ["... 7 lines were dropped: the terminal did not take them", *map(str, range(7, 12))]
