import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.cli.watch import watch as watch_command
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError, PictureError
from clearcast.core.files import find_image_files
from clearcast.inference import alerts as alerts_module
from clearcast.inference import watch as watch_module
from clearcast.inference.alerts import AlertDispatcher, HookAlert, WebhookAlert
from clearcast.inference.arrivals import ArrivalDetector, CompletionRule, resolve_watched_folder
from clearcast.inference.sinks import RESULTS_COLUMNS, InspectedIndex, open_results_writer
from clearcast.inference.sources import SourceError, SourceItem
from clearcast.inference.sources import folders as folders_module
from clearcast.inference.sources.item import read_file_state
from clearcast.inference.watch import watch_folder
from clearcast.types import Inspection, Verdict

IMAGE = np.random.default_rng(1).integers(0, 256, (16, 20), np.uint8)
PNG = imaging.encode_image(IMAGE, ".png")
MODEL = "castings 0123abcd"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class InspectorByName:
    """Inspector by name: images with "bad" in their name are defects, those with "unsure" are retakes."""

    def __init__(self) -> None:
        self.inspected: list[str] = []

    def predict(self, source: Iterable[SourceItem], /) -> Generator[Inspection, None, None]:
        for item in source:
            self.inspected.append(Path(item.name).name)
            state, sha256 = item.state(), None
            try:
                data = item.read()
                assert isinstance(data, bytes)
                sha256 = hashlib.sha256(data).hexdigest()
                imaging.decode_image(data, Channels.GREY, item.name)
                name = Path(item.name).name
                otherwise = Verdict.RETAKE if "unsure" in name else Verdict.OK
                result = inspection(item.name, Verdict.DEFECT if "bad" in name else otherwise)
            except PictureError as error:
                result = inspection(item.name, None, str(error))
            result = replace(result, sha256=sha256)
            yield replace(result, size=state.size, modified=state.modified) if state else result


def inspection(name: str, verdict: Verdict | None = Verdict.DEFECT, error: str = "") -> Inspection:
    values: dict[str, Any] = dict.fromkeys(RESULTS_COLUMNS) | {"noise_level": "", "model": MODEL}
    return Inspection(**values | {"path": name, "verdict": verdict, "p_defect": 0.75, "error": error})


def names(found: Sequence[SourceItem]) -> list[str]:
    return [Path(item.name).name for item in found]


# arrivals


def test_an_image_is_complete_when_it_has_not_changed_for_some_time(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "a.png"
    arrivals = ArrivalDetector(tmp_path, InspectedIndex(), CompletionRule(settle=1.0), clock)
    path.write_bytes(PNG[:50])
    assert arrivals.poll() == []
    clock.now = 0.75
    path.write_bytes(PNG[:80])
    assert arrivals.poll() == []
    clock.now = 1.5
    os.utime(path, ns=(1, 1))  # the same size, but written to
    assert arrivals.poll() == []
    clock.now = 2.25
    assert arrivals.poll() == []

    clock.now = 2.5

    assert names(arrivals.poll()) == ["a.png"]


def test_an_undecodable_file_is_an_error_after_a_timeout(tmp_path: Path) -> None:
    clock, path, inspector = Clock(), tmp_path / "a.png", InspectorByName()
    arrivals = ArrivalDetector(tmp_path, InspectedIndex(), CompletionRule(settle=1.0, patience=10.0), clock)
    path.write_bytes(PNG[:50])
    arrivals.poll()
    clock.now = 1.0
    (first,) = inspector.predict(arrivals.poll())
    assert not arrivals.accept(first)
    clock.now = 10.9
    assert arrivals.poll() == []
    assert arrivals.pending == 1

    clock.now = 11.0
    (last,) = inspector.predict(arrivals.poll())

    assert "truncated" in last.error or "cannot" in last.error
    assert arrivals.accept(last)
    assert arrivals.poll() == []
    assert arrivals.pending == 0


def test_an_incomplete_file_is_inspected_when_it_is_complete(tmp_path: Path) -> None:
    clock, path, inspector = Clock(), tmp_path / "a.png", InspectorByName()
    arrivals = ArrivalDetector(tmp_path, InspectedIndex(), CompletionRule(settle=1.0, patience=10.0), clock)
    path.write_bytes(PNG[:50])
    arrivals.poll()
    clock.now = 1.0
    (first,) = inspector.predict(arrivals.poll())
    assert not arrivals.accept(first)

    clock.now = 2.0
    path.write_bytes(PNG)
    assert arrivals.poll() == []
    clock.now = 3.0
    (last,) = inspector.predict(arrivals.poll())

    assert last.verdict is Verdict.OK
    assert arrivals.accept(last)


def test_the_error_of_a_complete_file_is_final_at_once(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "a.png"
    arrivals = ArrivalDetector(tmp_path, InspectedIndex(), CompletionRule(settle=1.0, patience=10.0), clock)
    path.write_bytes(PNG)
    arrivals.poll()
    clock.now = 1.0
    (item,) = arrivals.poll()

    assert arrivals.accept(replace(inspection(item.name, None, "no content"), pixels="12ab"))
    assert arrivals.pending == 0


@pytest.mark.parametrize("following", [PNG, PNG[:55] + b"other", PNG[:40], b"", PNG[:50], None])
def test_the_error_of_an_overwritten_or_removed_image_is_written(tmp_path: Path, following: bytes | None) -> None:
    clock, path, inspector = Clock(), tmp_path / "a.png", InspectorByName()
    arrivals = ArrivalDetector(tmp_path, InspectedIndex(), CompletionRule(settle=1.0, patience=10.0), clock)
    path.write_bytes(b"broken" + PNG[6:50])
    arrivals.poll()
    clock.now = 1.0
    (failed,) = inspector.predict(arrivals.poll())
    assert not arrivals.accept(failed)
    assert arrivals.pop_lost() == []

    clock.now = 2.0
    if following is None:
        path.unlink()
    else:
        path.write_bytes(following)

    arrivals.poll()
    assert arrivals.pop_lost() == [failed]
    assert arrivals.pop_lost() == []
    assert arrivals.pending == (following is not None)


@pytest.mark.parametrize("begun", [b"", PNG[:50]])
def test_a_file_that_only_grew_has_no_error(tmp_path: Path, begun: bytes) -> None:
    clock, path, inspector = Clock(), tmp_path / "a.png", InspectorByName()
    arrivals = ArrivalDetector(tmp_path, InspectedIndex(), CompletionRule(settle=1.0, patience=10.0), clock)
    path.write_bytes(begun)
    arrivals.poll()
    clock.now = 1.0
    (failed,) = inspector.predict(arrivals.poll())
    assert not arrivals.accept(failed)

    path.write_bytes(PNG)
    arrivals.poll()

    assert arrivals.pop_lost() == []
    assert arrivals.pending == 1


def test_a_renamed_or_removed_image_is_no_longer_pending(tmp_path: Path) -> None:
    clock = Clock()
    arrivals = ArrivalDetector(tmp_path, InspectedIndex(), CompletionRule(settle=1.0), clock)
    (tmp_path / "new.png").write_bytes(PNG)
    (tmp_path / "camera.tmp").write_bytes(PNG)
    arrivals.poll()
    clock.now = 1.0

    (tmp_path / "new.png").rename(tmp_path / "a.png")

    assert arrivals.poll() == []
    assert arrivals.pending == 1
    clock.now = 2.0
    assert names(arrivals.poll()) == ["a.png"]


def test_known_images_are_not_inspected_again(tmp_path: Path) -> None:
    known, clock = InspectedIndex(), Clock()
    for name in ("a.png", "sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    known.add((tmp_path / "a.png").as_posix(), read_file_state(tmp_path / "a.png"))
    arrivals = ArrivalDetector(tmp_path, known, CompletionRule(settle=0.0), clock, trusted=time.time_ns() + 10**10)

    assert names(arrivals.poll()) == ["b.png"]


def test_a_missing_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="no such folder; expected the folder in which images arrive"):
        resolve_watched_folder(tmp_path / "missing")
    monkeypatch.chdir(tmp_path)
    assert resolve_watched_folder(Path()) == tmp_path


# the watch


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(alerts_module, "_RETRY_DELAYS", (0.0, 0.0))


def watch_once(folder: Path, out: Path, inspector: InspectorByName, most: int | None = None) -> list[str]:
    """Watch until nothing is pending, or until ``most`` images were inspected; returns the alerts."""
    reported: list[str] = []
    stop, written = threading.Event(), []

    def on_inspection(each: Inspection) -> None:
        written.append(each)
        if len(written) == most:
            stop.set()

    writer, inspected = open_results_writer(out, model=MODEL, resume=True, live=True)
    arrivals = ArrivalDetector(folder, inspected, CompletionRule(settle=0.02, patience=0.05))
    with writer, AlertDispatcher([lambda each: reported.append(Path(each.path).name)], print) as alerts:
        watch_folder(inspector, arrivals, writer, alerts, stop=stop, once=True, on_inspection=on_inspection)
    return reported


def rows(out: Path) -> list[str]:
    return [Path(path).name for path in pd.read_csv(out)["path"]]


def test_images_get_rows_and_all_but_ok_ones_alerts(tmp_path: Path) -> None:
    folder, out, inspector = tmp_path / "in", tmp_path / "results.csv", InspectorByName()
    folder.mkdir()
    for name in ("a.png", "bad.png", "c.png", "unsure.png"):
        (folder / name).write_bytes(PNG)
    (folder / "bad half.png").write_bytes(PNG[:60])

    assert watch_once(folder, out, inspector) == ["bad.png", "unsure.png", "bad half.png"]  # no verdict on the last

    assert sorted(rows(out)) == ["a.png", "bad half.png", "bad.png", "c.png", "unsure.png"]
    assert pd.read_csv(out)["error"].notna().sum() == 1
    assert inspector.inspected.count("bad half.png") == 2
    assert inspector.inspected.count("a.png") == 1


def test_overwritten_damaged_images_get_rows_and_alerts(tmp_path: Path) -> None:
    folder, out, path = tmp_path / "in", tmp_path / "r.csv", tmp_path / "in/latest.png"
    folder.mkdir()

    class Camera(InspectorByName):
        """Write the next damaged image as soon as one was inspected, and finally a valid one."""

        def predict(self, source: Iterable[SourceItem], /) -> Generator[Inspection, None, None]:
            for result in super().predict(source):
                yield result
                if len(self.inspected) <= 3:
                    path.write_bytes(PNG if len(self.inspected) == 3 else b"broken %d" % len(self.inspected))

    path.write_bytes(b"broken 0")

    assert watch_once(folder, out, Camera()) == ["latest.png"] * 3
    assert pd.read_csv(out)["error"].notna().tolist() == [True, True, True, False]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 4), max_size=4), st.integers(0, 9))
def test_no_image_is_missed_or_duplicated_by_restarts(
    tmp_path_factory: pytest.TempPathFactory, ends: list[int], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("in")
    out = tmp_path_factory.mktemp("out") / "results.csv"
    for number in range(5):
        (folder / f"{number}.png").write_bytes(PNG)
    for most in ends:
        watch_once(folder, out, InspectorByName(), most=most)
        out.write_bytes(out.read_bytes()[: out.stat().st_size - cut])  # as if killed while it wrote

    watch_once(folder, out, InspectorByName())

    assert sorted(rows(out)) == [f"{number}.png" for number in range(5)]


def test_a_folder_that_cannot_be_listed_gets_one_row_and_the_watch_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out, inspector = tmp_path / "in", tmp_path / "r.csv", InspectorByName()
    (folder / "locked").mkdir(parents=True)
    (folder / "a.png").write_bytes(PNG)
    list_folder = folders_module._list_folder

    def refuse_locked(each: Path) -> tuple[list[str], set[str]]:
        if each.name == "locked":
            raise PermissionError(13, "Permission denied")
        return list_folder(each)

    monkeypatch.setattr(folders_module, "_list_folder", refuse_locked)

    assert watch_once(folder, out, inspector) == ["locked"]

    assert sorted(rows(out)) == ["a.png", "locked"]
    assert sorted(inspector.inspected) == ["a.png", "locked", "locked"]


def test_the_watch_pauses_after_a_batch_without_a_final_inspection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that keeps growing is due at every poll."""
    path, inspector, stop = tmp_path / "a.png", InspectorByName(), threading.Event()
    path.write_bytes(PNG[:50])
    pauses: list[int] = []

    def pause(_: float) -> bool:
        pauses.append(len(inspector.inspected))
        path.write_bytes(path.read_bytes() + b"more")
        if len(inspector.inspected) == 3:
            stop.set()
        return stop.is_set()

    monkeypatch.setattr(stop, "wait", pause)
    arrivals = ArrivalDetector(tmp_path, InspectedIndex(), CompletionRule(settle=0.0, patience=0.0))
    writer, _ = open_results_writer(tmp_path / "r.csv", model=MODEL, resume=True, live=True)
    with writer, AlertDispatcher([], print) as alerts:
        watch_folder(inspector, arrivals, writer, alerts, stop=stop, once=False, on_inspection=lambda _: None)

    assert pauses == [1, 2, 3]


def test_images_that_arrive_during_the_watch_are_inspected(tmp_path: Path) -> None:
    stop, inspector, out = threading.Event(), InspectorByName(), tmp_path / "results.csv"
    folder = tmp_path / "in"
    folder.mkdir()
    writer, inspected = open_results_writer(out, model=MODEL, resume=True, live=True)
    arrivals = ArrivalDetector(folder, inspected, CompletionRule(settle=0.02))

    def on_inspection(each: Inspection) -> None:
        following = {"a.png": "b.png", "b.png": "c.png"}.get(Path(each.path).name)
        if following:
            (folder / following).write_bytes(PNG)
        else:
            stop.set()

    (folder / "a.png").write_bytes(PNG)
    with writer, AlertDispatcher([], print) as alerts:
        watch_folder(inspector, arrivals, writer, alerts, stop=stop, once=False, on_inspection=on_inspection)

    assert rows(out) == ["a.png", "b.png", "c.png"]


# alerts


def send_alert(alert: alerts_module.AlertFunction, each: Inspection) -> list[str]:
    """Send an alert; returns the reported failures."""
    reported: list[str] = []
    with AlertDispatcher([alert], reported.append) as alerts:
        alerts.send(each)
    return reported


def test_a_hook_gets_path_and_verdict_without_a_shell(tmp_path: Path) -> None:
    code = "import json,os,sys; json.dump([sys.argv, dict(os.environ)], open(sys.argv[1], 'w'))"
    (tmp_path / "hook.py").write_text(code)
    name = "a b; touch x $(y) 'ü\".png"

    reported = send_alert(
        HookAlert(f"'{sys.executable}' '{tmp_path}/hook.py' '{tmp_path}/received.json'"), inspection(name)
    )

    arguments, environment = json.loads((tmp_path / "received.json").read_text())
    assert reported == []
    assert arguments[-2:] == [name, "defect"]
    assert {key: value for key, value in environment.items() if key.startswith("CLEARCAST_")}.items() >= {
        "CLEARCAST_PATH": name,
        "CLEARCAST_VERDICT": "defect",
        "CLEARCAST_P_DEFECT": "0.75",
        "CLEARCAST_SHA256": "",
        "CLEARCAST_MODEL": MODEL,
    }.items()


def test_a_failed_alert_is_reported_and_the_next_is_sent() -> None:
    reported: list[str] = []
    sent: list[str] = []
    hook = HookAlert(f"'{sys.executable}' -c 'import sys; sys.exit(3)'")

    with AlertDispatcher([hook, lambda each: sent.append(each.path)], reported.append) as alerts:
        alerts.send(inspection("a"))
        alerts.send(inspection("b"))

    assert sent == ["a", "b"]
    assert [line[:2] for line in reported] == ["a:", "b:"]
    assert "exit status 3" in reported[0]


def test_a_hanging_hook_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_module, "_HOOK_TIMEOUT", 0.2)

    (reported,) = send_alert(HookAlert(f"'{sys.executable}' -c 'import time; time.sleep(60)'"), inspection("a"))

    assert "timed out" in reported


@pytest.mark.parametrize("command", ["", " ", "no-such-program-here", "'unclosed"])
def test_a_missing_hook_is_rejected(command: str) -> None:
    with pytest.raises(OutputError, match=r"hook .* expected a program and its arguments"):
        HookAlert(command)


@pytest.mark.parametrize("url", ["", "host/path", "file:///etc/passwd", "ftp://host/", "http://"])
def test_an_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(OutputError, match="expected a URL such as https://host/path"):
        WebhookAlert(url)


class Listener:
    """A local server that responds with the given status codes, the last one for all further requests."""

    def __init__(self, *codes: int) -> None:
        self.sent: list[tuple[str, str, bytes]] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                listener.sent.append((self.command, self.headers["Content-Type"], data))
                code = codes[min(len(listener.sent), len(codes)) - 1]
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        for method in ("do_POST", "do_GET"):
            setattr(Handler, method, Handler.respond)
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alert"

    def __enter__(self) -> "Listener":
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.mark.parametrize("codes", [(200,), (500, 204), (503, 503, 200)])
def test_a_webhook_posts_the_row_until_it_succeeds(codes: tuple[int, ...]) -> None:
    with Listener(*codes) as listener:
        reported = send_alert(WebhookAlert(listener.url), inspection("ü.png"))

    assert reported == []
    assert len(listener.sent) == len(codes)
    method, kind, data = listener.sent[-1]
    assert (method, kind) == ("POST", "application/json")
    assert tuple(json.loads(data)) == RESULTS_COLUMNS
    assert json.loads(data)["path"] == "ü.png"


@pytest.mark.parametrize("code", [404, 500, 302])
def test_a_failed_webhook_is_reported(code: int) -> None:
    with Listener(code) as listener:
        (reported,) = send_alert(WebhookAlert(listener.url), inspection("a"))

    assert reported.startswith("a: webhook: HTTP Error")
    assert [method for method, *_ in listener.sent] == ["POST"] * 3


def test_a_webhook_without_a_server_is_reported() -> None:
    with Listener(200) as listener:
        pass

    (reported,) = send_alert(WebhookAlert(listener.url), inspection("a"))

    assert "refused" in reported


# the command


def test_the_command_inspects_existing_images_and_resumes_after_a_restart(
    bundle: Path, noisy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "results.csv"
    folder.mkdir()
    images = find_image_files(noisy_folder / "With-Noise")[:3]
    for image in images[:2]:
        (folder / image.name).write_bytes(image.read_bytes())
    watch_command(bundle, folder, out, once=True, threads=1)
    first = out.read_bytes()
    (folder / images[2].name).write_bytes(images[2].read_bytes())

    watch_command(bundle, folder, out, once=True, threads=1)

    assert out.read_bytes().startswith(first)
    assert rows(out) == [image.name for image in images]
    assert "inspected before: 2 images" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_command_cleanly(bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(imaging.encode_image(np.tile(IMAGE, (4, 4)), ".png"))
    command = ["watch", str(bundle), str(tmp_path / "in"), "--out", str(tmp_path / "results.csv"), "--threads", "1"]
    code = "import clearcast.cli; clearcast.cli.main()"

    with subprocess.Popen([sys.executable, "-c", code, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = lines_until(process.stdout, "a.png")
        process.send_signal(number)
        lines += list(process.stdout)

    assert process.returncode == 0
    assert lines[-1].startswith("Results: ")
    assert rows(tmp_path / "results.csv") == ["a.png"]


def lines_until(stream: Iterator[str], word: str) -> list[str]:
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        if word in line:
            break
    return lines
