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
from clearcast.inference import alerts as alerts_module
from clearcast.inference.alerts import AlertDispatcher, HookAlert, WebhookAlert
from clearcast.inference.sinks import read_results
from tests.inference.handmade import uniform_image, write_bundle
from tests.inference.test_watch import inspection

MAIN = "from clearcast.cli import main; main()"


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.01)


@pytest.fixture
def unresponsive_url() -> Iterator[str]:
    """A URL of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.fixture(autouse=True)
def _short_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_module, "_SHUTDOWN_TIMEOUT", 0.2)


def test_a_dead_webhook_delays_no_other_alert(unresponsive_url: str) -> None:
    sent: list[str] = []
    reported: list[str] = []

    with AlertDispatcher(
        [WebhookAlert(unresponsive_url), lambda each: sent.append(each.path)], reported.append
    ) as alerts:
        for number in range(21):
            alerts.send(inspection(str(number)))
        wait_until(lambda: len(sent) == 21)

    assert sent == [str(number) for number in range(21)]
    assert reported == ["webhook: not delivered for 0, 1, 2 and 18 more; their rows are in the results"]


def test_alerts_never_block_and_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_module, "_QUEUE_SIZE", 10)
    free, sent, reported = threading.Event(), list[str](), list[str]()

    def slow(each: object) -> None:
        free.wait()
        sent.append(each.path)  # type: ignore[attr-defined]

    with AlertDispatcher([slow], reported.append) as alerts:
        alerts.send(inspection("first"))
        wait_until(lambda: not alerts._queues[0]._pending)
        for number in range(100):
            alerts.send(inspection(str(number)))
        free.set()
        wait_until(lambda: len(sent) == 11)

    assert sent == ["first", *map(str, range(90, 100))]
    assert reported == ["alert: too slow; the oldest 90 alerts were dropped"]


def test_alerts_continue_if_failures_cannot_be_reported() -> None:
    sent: list[str] = []

    def fail(each: object) -> None:
        sent.append(each.path)  # type: ignore[attr-defined]
        raise OSError("no")

    def refuse(_: str) -> None:
        raise BrokenPipeError

    with AlertDispatcher([fail], refuse) as alerts:
        for name in "abc":
            alerts.send(inspection(name))
        wait_until(lambda: len(sent) == 3)


UNTERMINATED_HOOK = """
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
@pytest.mark.parametrize("timeout_of", ["hook", "watch"])
def test_a_hook_that_times_out_ends_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout_of: str
) -> None:
    monkeypatch.setattr(alerts_module, "_TERMINATION_TIMEOUT", 0.2)
    monkeypatch.setattr(alerts_module, "_HOOK_TIMEOUT", 1.5 if timeout_of == "hook" else 60.0)
    (tmp_path / "hook.py").write_text(UNTERMINATED_HOOK)
    (tmp_path / "started").mkdir()
    reported: list[str] = []

    with AlertDispatcher(
        [HookAlert(f"'{sys.executable}' '{tmp_path}/hook.py' '{tmp_path}/started'")], reported.append
    ) as alerts:
        alerts.send(inspection("a"))
        wait_until(lambda: len(list((tmp_path / "started").iterdir())) == 3)
        if timeout_of == "hook":
            wait_until(lambda: bool(reported))

    processes = [int(path.name) for path in (tmp_path / "started").iterdir()]
    wait_until(lambda: not any(map(is_running, processes)))
    (message,) = reported
    assert ("timed out after 1.5 s" if timeout_of == "hook" else "not delivered for a;") in message


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("made") / "bundle")


@contextmanager
def killed_finally(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill the process also after a failure, since the test would wait for it."""
    try:
        yield
    finally:
        process.kill()


def watch_command(bundle: Path, folder: Path, *options: str) -> list[str]:
    arguments = ["watch", str(bundle), str(folder / "in"), "--out", str(folder / "r.csv"), "--threads", "1"]
    return [sys.executable, "-c", MAIN, *arguments, *options]


def add_defect(folder: Path, name: str, grey: int = 240) -> None:
    """Write an image that the handmade bundle takes for a defect; each grey level is another image."""
    (folder / "in" / name).write_bytes(imaging.encode_image(uniform_image(grey), ".png"))


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals and pipes there")
@pytest.mark.parametrize("terminal", ["broken", "full", "hung up"])
def test_inspections_and_alerts_continue_without_a_terminal(bundle: Path, tmp_path: Path, terminal: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "sent").mkdir()
    reader, writer = os.pipe()
    if terminal == "full":
        os.set_blocking(writer, False)
        while True:
            try:
                os.write(writer, b"x" * 4096)
            except BlockingIOError:
                break
        os.set_blocking(writer, True)
    (tmp_path / "hook.sh").write_text(f"#!/bin/sh\ntouch '{tmp_path}/sent/'$(basename $1)\n")
    (tmp_path / "hook.sh").chmod(0o755)
    hook = f"'{tmp_path}/hook.sh'"
    command = watch_command(bundle, tmp_path, "--hook", hook)
    with subprocess.Popen(command, stdout=writer, stderr=writer) as process, killed_finally(process):
        os.close(writer)
        if terminal == "broken":
            os.close(reader)
        for number in range(3):
            add_defect(tmp_path, f"{number}.png", 240 + number)
            wait_until(lambda number=number: (tmp_path / f"sent/{number}.png").exists())  # type: ignore[misc]
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
    monkeypatch.setattr(output, "_MAX_LINES", 5)
    monkeypatch.setattr(output, "_is_writable", lambda: free.wait(0.01))
    with output.LinePrinter() as printer:
        for number in range(12):
            printer.say(str(number))
        free.set()
    assert printed == ["... 7 lines were dropped: the terminal did not take them", *map(str, range(7, 12))]
