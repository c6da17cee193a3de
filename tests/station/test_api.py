import asyncio
import csv
import gc
import io
import socket
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from fastapi import HTTPException
from starlette.types import Message

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.spreadsheets import restore_cell
from clearcast.inference.sinks.result_rows import VERDICT_COLUMNS
from clearcast.station.api import RetentionLimits, UploadLimits
from clearcast.station.api import app as app_module
from clearcast.station.api import log_export as export_module
from clearcast.station.api.log_export import CsvExportResponse, ExportLimit
from clearcast.station.api.middleware import RequestGuardMiddleware
from clearcast.station.api.workers import WorkerPool
from clearcast.station.log import LogUnavailable
from clearcast.station.records import InspectionFilter, InspectionRecord
from tests.station.logged import ENTRY
from tests.station.services import picture
from tests.station.stations import Scene, files_of, problem_of, scene_in, send, serving, until


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def client(scene: Scene) -> Iterator[httpx.Client]:
    with scene.open() as opened:
        yield opened


def test_inspections_are_returned_in_order_and_logged(client: httpx.Client) -> None:
    dark, bright = send(client, 40, 220)

    assert (dark["name"], dark["verdict"]) == ("part 40.png", "ok")
    assert (bright["name"], bright["verdict"]) == ("part 220.png", "defect")
    assert bright["p_defect"] == pytest.approx(220 / 255)
    assert bright["station"] == "line 1"
    assert client.get(f"/v1/inspections/{bright['id']}").json() == bright
    logged = client.get("/v1/inspections").json()["inspections"]
    assert sorted(one["id"] for one in logged) == sorted([dark["id"], bright["id"]])


def test_an_inspection_has_the_documented_fields(client: httpx.Client) -> None:
    (result,) = send(client, 200, station="line 7")

    assert list(result) == [
        *("id", "at", "name", "station", "sha256", "size", "width", "height", "verdict", "p_defect", "threshold"),
        *("noise_type", "noise_level", "p_noise", "ms", "model", "error", "brightness", "sharpness", "sigma"),
        *("density", "shadow", "feedback", "disagreement", "pictures"),
    ]
    assert result["at"].endswith("Z")
    assert (result["width"], result["height"], result["station"]) == (20, 16, "line 7")
    assert result["feedback"] == []


def test_images_can_be_downloaded(client: httpx.Client) -> None:
    (result,) = send(client, 200)
    assert all(result["pictures"].values()), result["pictures"]
    answers = {kind: client.get(path) for kind, path in result["pictures"].items()}

    assert answers["noisy"].content == picture(200)
    assert answers["noisy"].headers["content-type"] == "image/png"
    assert {kind: answer.headers["content-type"] for kind, answer in answers.items()} == {
        "noisy": "image/png",
        "restored": "image/jpeg",
        "heat": "image/png",
        "thumbnail": "image/jpeg",
    }
    assert imaging.decode_image(answers["restored"].content, Channels.GREY).mean() == pytest.approx(200, abs=2)
    for answer in answers.values():
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_invalid_image_among_valid_ones_is_an_inspection_with_an_error(client: httpx.Client) -> None:
    files = files_of(("a.png", picture(20)), ("b.txt", b"no picture"), ("c.png", picture(230)[:-30]))
    answer = client.post("/v1/inspect", files=files)
    good, text, cut = answer.json()["inspections"]

    assert answer.status_code == 200
    assert good["verdict"] == "ok"
    assert "not an image" in text["error"]
    assert text["verdict"] is None
    assert set(text["pictures"].values()) == {None}
    assert "c.png" in cut["error"]
    assert {one["id"] for one in client.get("/v1/inspections?verdict=none").json()["inspections"]} == {
        text["id"],
        cut["id"],
    }


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not an image"),
        (b"", 422, "empty"),
        (picture(3)[:40], 422, "p.png"),
        (imaging.encode_image(np.zeros((300, 400), np.uint8), ".png"), 413, "pixels exceed the limit of 100,000"),
        (imaging.encode_image(np.zeros((200, 200, 3), np.uint8), ".bmp"), 413, "bytes exceed the limit of 100,000"),
        (bytes(cv2.imencode(".png", np.zeros((20, 20), np.uint16))[1]), 422, "16 bits"),
    ],
    ids=("no picture", "empty", "cut", "pixels", "bytes", "16 bits"),
)
def test_if_nothing_can_be_inspected_the_problem_gives_the_reason(
    scene: Scene, data: bytes, status: int, words: str
) -> None:
    scene.limits = UploadLimits(bytes=100_000, pixels=100_000)
    with scene.open() as client:
        body = problem_of(client.post("/v1/inspect", files=files_of(("p.png", data))), status)
        (logged,) = client.get("/v1/inspections").json()["inspections"]

    assert words in body["detail"]
    assert body["inspections"] == [logged]


def test_feedback_is_stored_and_opens_a_disagreement(client: httpx.Client) -> None:
    (result,) = send(client, 220)
    path = f"/v1/inspections/{result['id']}/feedback"
    first = client.post(path, json={"says": "ok", "note": "a <b>reflection</b>\nnot a crack", "operator": "Ana"})
    open_ones = client.get("/v1/inspections?disagreement=open").json()["inspections"]
    second = client.post(path, json={"says": "ok", "operator": "Ben", "settles": True})

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["feedback"][0]["note"] == "a <b>reflection</b>\nnot a crack"
    assert [one["id"] for one in open_ones] == [result["id"]]
    assert second.json()["disagreement"] == "settled"
    assert client.get(f"/v1/inspections/{result['id']}").json() == second.json()
    problem_of(client.post("/v1/inspections/999/feedback", json={"says": "ok"}), 404)
    for wrong in ({"says": "maybe"}, {}, {"says": "ok", "note": "n" * 2001}, {"says": "ok", "who": "Ana"}):
        problem_of(client.post(path, json=wrong), 422)


def test_the_log_is_paginated(client: httpx.Client) -> None:
    ids = [one["id"] for level in range(0, 250, 25) for one in send(client, level)]
    pages, path = [], "/v1/inspections?limit=3"
    while path:
        page = client.get(path).json()
        pages.append([one["id"] for one in page["inspections"]])
        path = page["next"] and f"/v1/inspections?limit=3&after={page['next']}"

    assert [one for page in pages for one in page] == ids[::-1]
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    least_certain = client.get("/v1/inspections?order=least_certain&limit=2").json()["inspections"]
    assert {one["name"] for one in least_certain} == {"part 125.png", "part 150.png"}


def test_filters_select_the_matching_inspections(client: httpx.Client) -> None:
    send(client, 10, 20, station="line 7")
    (late,) = send(client, 220)

    def names(**asked: str | list[str]) -> set[str]:
        answer = client.get("/v1/inspections", params=asked)
        assert answer.status_code == 200, answer.text
        return {one["name"] for one in answer.json()["inspections"]}

    assert names(verdict="defect") == {"part 220.png"}
    assert names(verdict=["defect", "ok"]) == {"part 10.png", "part 20.png", "part 220.png"}
    assert names(station="line 7") == {"part 10.png", "part 20.png"}
    assert names(q="T 2") == {"part 20.png", "part 220.png"}
    assert names(q=late["sha256"][:12]) == {"part 220.png"}
    assert names(since=late["at"]) == {"part 220.png"}
    assert names(until=late["at"].replace("Z", "+00:00")) == {"part 10.png", "part 20.png"}
    assert names(since="2999-01-01") == set()
    assert names(feedback="true") == set()
    assert client.get("/v1/counts?verdict=ok").json()["verdicts"] == {"ok": 2, "defect": 0, "retake": 0, "none": 0}
    assert sum(span["inspections"] for span in client.get("/v1/trend?spans=5").json()["spans"]) == 3
    assert client.get("/v1/choices").json() == {"models": ["bright 12345678"], "stations": ["line 1", "line 7"]}


@pytest.mark.parametrize(
    "query",
    [
        "since=now",
        "since=17",
        "verdict=fine",
        "limit=0",
        "limit=201",
        "limit=x",
        "after=nonsense",
        "vredict=ok",
        "q=%00",
    ],
)
def test_an_invalid_filter_is_rejected(client: httpx.Client, query: str) -> None:
    body = problem_of(client.get(f"/v1/inspections?{query}"), 422)
    assert query.partition("=")[0] in body["detail"]


def test_the_csv_export_has_exactly_the_filtered_inspections(client: httpx.Client) -> None:
    send(client, *range(0, 250, 10))
    formula = "=1+1, x.png"
    client.post("/v1/inspect", files=files_of((formula, picture(251))))
    wanted = {"verdict": "defect", "station": "line 1"}
    rows = list(csv.DictReader(io.StringIO(client.get("/v1/inspections.csv", params=wanted).text)))
    listed = client.get("/v1/inspections", params={**wanted, "limit": "200"}).json()["inspections"]

    assert [int(row["id"]) for row in rows] == [one["id"] for one in listed]
    assert [row["at"] for row in rows] == [one["at"] for one in listed]
    assert {row["verdict"] for row in rows} == {"defect"}
    assert float(rows[0]["p_defect"]) == pytest.approx(251 / 255, rel=1e-5)
    assert rows[0]["name"] == "'" + formula
    assert set(VERDICT_COLUMNS) - {"path"} <= set(rows[0])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_of_the_csv_export_is_a_formula_with_any_separator(client: httpx.Client, separator: str) -> None:
    for name in ("=1+1.png", "part;=1+1.png", 'a;"@SUM(1)".png', " -1.png"):
        client.post("/v1/inspect", files=files_of((name, picture(251))), data={"station": "line;+2"}).raise_for_status()
    note = "a scratch\n=1+1\t@x;-3\r\n+4"
    client.post(
        "/v1/inspections/1/feedback", json={"says": "ok", "note": note, "operator": "\t=Ana"}
    ).raise_for_status()
    text = client.get("/v1/inspections.csv").text

    for lines in (io.StringIO(text, newline=""), text.splitlines(keepends=True)):
        cells = [cell.strip() for row in csv.reader(lines, delimiter=separator) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    (first,) = [row for row in csv.DictReader(io.StringIO(text, newline="")) if row["id"] == "1"]
    assert (restore_cell(first["note"]), restore_cell(first["operator"])) == (note, "\t=Ana")


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool("tables", threads=1, queue_size=0)
    made.start()
    yield made
    made.stop()


def test_every_chunk_of_an_export_is_read_by_the_pool_even_if_it_was_full(
    scene: Scene, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "_FULL_PAUSE", 0.01)
    monkeypatch.setattr(export_module, "_CHUNK_ROWS", 2)
    readers = set()
    numbers = scene.log.write(5 * [ENTRY])
    go_on = threading.Event()

    def records() -> Generator[InspectionRecord]:
        for record in scene.log.export(InspectionFilter()):
            readers.add(threading.current_thread().name)
            yield record

    async def read() -> bytes:
        table = await pool.run(lambda: CsvExportResponse(records(), pool))
        busy = asyncio.create_task(pool.run(lambda: go_on.wait(60)))
        asyncio.get_running_loop().call_later(0.1, go_on.set)
        await asyncio.sleep(0)
        text = b"".join([bytes(piece) async for piece in table.body_iterator])  # type: ignore[arg-type]
        assert await busy
        return text

    rows = list(csv.DictReader(io.StringIO(asyncio.run(read()).decode(), newline="")))
    assert [int(row["id"]) for row in rows] == numbers[::-1]
    assert readers == {"tables"}


def test_an_export_closed_while_a_thread_reads_it_releases_the_log() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def records() -> Generator[InspectionRecord]:
        try:
            yield from 200 * [InspectionRecord(id=1, entry=ENTRY)]
            begun.set()
            go_on.wait(60)
            yield from 200 * [InspectionRecord(id=1, entry=ENTRY)]
        finally:
            ended.set()

    reader = export_module._CsvReader(records())
    with ThreadPoolExecutor(1) as threads:
        chunks = [threads.submit(reader._next) for _ in range(4)]
        assert begun.wait(60)
        reader.close()
        assert not ended.is_set()
        go_on.set()
        assert chunks[-1].result() is None
    assert ended.is_set()


def test_concurrent_exports_are_limited(client: httpx.Client, scene: Scene) -> None:
    send(client, 10, 20)
    exports = ExportLimit()
    first, second, third, fourth = (exports.limit(scene.log.export(InspectionFilter())) for _ in range(4))
    for records in (first, second, third):
        next(records)

    with pytest.raises(HTTPException) as error:
        next(fourth)
    assert error.value.status_code == 429
    assert error.value.headers
    assert int(error.value.headers["Retry-After"]) >= 1
    first.close()  # its reader went away
    assert len(list(second)) == 1
    assert [len(list(exports.limit(scene.log.export(InspectionFilter())))) for _ in range(5)] == 5 * [2]


def test_an_export_whose_client_disconnects_releases_the_log(
    client: httpx.Client, scene: Scene, pool: WorkerPool
) -> None:
    send(client, *range(10, 30))
    ended = []

    def records() -> Generator[InspectionRecord]:
        try:
            while True:
                yield from scene.log.export(InspectionFilter())
        finally:
            ended.append(True)

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def never_read(_: Message) -> None:
        await asyncio.Event().wait()

    gc.disable()
    try:
        asyncio.run(
            CsvExportResponse(records(), pool)({"type": "http", "asgi": {"spec_version": "2.3"}}, gone, never_read)
        )
        until(lambda: ended != [])  # the thread that reads may have a piece to finish
    finally:
        gc.enable()


def test_an_export_to_a_stalled_client_is_aborted_and_frees_its_slot(
    client: httpx.Client,
    scene: Scene,
    pool: WorkerPool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    send(client, *range(10, 30))
    monkeypatch.setattr(export_module, "_CHUNK_TIMEOUT", 0.05)
    exports = ExportLimit()

    async def connected() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def never_read(_: Message) -> None:
        await asyncio.Event().wait()

    for version in ("2.3", "2.4"):
        for _ in range(4):  # more than may be sent at a time
            table = CsvExportResponse(exports.limit(scene.log.export(InspectionFilter())), pool)
            asyncio.run(table({"type": "http", "asgi": {"spec_version": version}}, connected, never_read))
    assert len(list(exports.limit(scene.log.export(InspectionFilter())))) == 20
    assert "did not read it to the end" in caplog.text


def test_a_full_queue_returns_retry_after(scene: Scene) -> None:
    scene.waiting = 2
    with scene.open() as client, ThreadPoolExecutor(2) as others:
        scene.inspector.open.clear()
        held = [others.submit(send, client, level) for level in (10, 20)]
        until(lambda: "clearcast_waiting 2.0" in client.get("/metrics").text)
        answer = client.post("/v1/inspect", files=files_of(("c.png", picture(30)), ("d.txt", b"none")))
        scene.inspector.open.set()
        answered = [one.result()[0]["name"] for one in held]
        logged = client.get("/v1/inspections").json()["inspections"]

    assert "queue is full" in problem_of(answer, 429)["detail"]
    assert int(answer.headers["retry-after"]) >= 1
    assert sorted(answered) == sorted(one["name"] for one in logged) == ["part 10.png", "part 20.png"]


def test_uploads_beyond_the_memory_budget_are_rejected_temporarily(scene: Scene) -> None:
    scene.limits = UploadLimits(held_bytes=150)
    with scene.open() as client, ThreadPoolExecutor(1) as others:
        scene.inspector.open.clear()
        held = others.submit(send, client, 10)
        until(lambda: "clearcast_waiting 1.0" in client.get("/metrics").text)
        answer = client.post("/v1/inspect", files=files_of(("c.png", picture(30))))
        scene.inspector.open.set()
        assert held.result()[0]["verdict"] == "ok"
        assert send(client, 30)[0]["verdict"] == "ok"

    problem_of(answer, 429)
    assert answer.headers["retry-after"] == "1"


def test_a_station_without_its_bundle_reports_it_and_recovers(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearcast.station.service.queue._PAUSE", 0.01)
    there = dict(scene.shop.there)
    scene.shop.there.clear()
    with scene.open(ready=False) as client:
        for path in ("/readyz", "/v1/inspect"):
            answer = client.get(path) if path == "/readyz" else client.post(path, files=files_of(("a", picture(1))))
            assert "bundle" in problem_of(answer, 503)["detail"]
            assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/inspections").json()["inspections"] == []
        facts = client.get("/v1/station").json()
        scene.shop.there.update(there)
        until(lambda: client.get("/readyz").status_code == 200)
        assert send(client, 3)[0]["verdict"] == "ok"

    assert (facts["ready"], facts["model"]) == (False, None)
    assert facts["reasons"]


@pytest.mark.parametrize("away", [LogUnavailable("the log is away"), OSError(28, "No space left on device")])
def test_an_unavailable_log_is_a_temporary_problem(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, away: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise away

    with scene.open() as client:
        (result,) = send(client, 3)
        with monkeypatch.context() as patch:
            for name in ("page", "record", "count", "trend", "models", "export", "add_feedback"):
                patch.setattr(type(scene.log), name, fail)
            for path in ("inspections", f"inspections/{result['id']}", "counts", "trend", "choices", "inspections.csv"):
                answer = client.get(f"/v1/{path}")
                problem_of(answer, 503)
                assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/v1/inspections").json()["inspections"] == [result]


def test_an_unexpected_exception_is_a_problem(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    with scene.open() as client:
        monkeypatch.setattr(type(scene.log), "count", fail)
        answer = client.get("/v1/counts")

        counted = httpx.get(client.base_url.join("/metrics"), trust_env=False).text.splitlines()  # the line was closed

    assert "secret" not in problem_of(answer, 500)["detail"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert 'clearcast_refused_total{status="500"} 1.0' in counted


def test_metrics_count_verdicts_noise_types_and_errors(client: httpx.Client) -> None:
    send(client, 10, 20, 220)
    client.get("/v1/inspections?limit=0")
    client.get("/v1/counts", headers={"Host": "elsewhere.example"})
    lines = client.get("/metrics").text.splitlines()

    assert 'clearcast_inspections_total{noise_type="none",verdict="ok"} 2.0' in lines
    assert 'clearcast_inspections_total{noise_type="none",verdict="defect"} 1.0' in lines
    assert 'clearcast_refused_total{status="422"} 1.0' in lines
    assert 'clearcast_refused_total{status="403"} 1.0' in lines
    assert "clearcast_answer_seconds_count 1.0" in lines
    assert "clearcast_inference_seconds_count 3.0" in lines
    assert {"clearcast_waiting 0.0", "clearcast_ready 1.0", "clearcast_drift 0.0"} <= set(lines)


def test_unknown_addresses_and_methods_are_problems(client: httpx.Client) -> None:
    problem_of(client.get("/v2/inspect"), 404)
    problem_of(client.get("/v1/inspections/77"), 404)
    problem_of(client.get("/v1/inspections/77/pictures/noisy"), 404)
    assert problem_of(client.put("/v1/inspect"), 405)["detail"]
    assert client.put("/v1/session").headers["allow"] == "DELETE, POST"


@pytest.mark.parametrize("encoding", ["punycode", "undefined", "unicode_escape", "hex", "no such"])
def test_a_form_in_an_unknown_encoding_is_a_client_error(client: httpx.Client, encoding: str) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a-!"\r\n\r\nx\r\n--b--\r\n'
    kind = f"multipart/form-data; boundary=b; charset={encoding}"

    assert client.post("/v1/inspect", content=form, headers={"Content-Type": kind}).status_code in {400, 415, 422}


def test_a_hanging_retention_task_does_not_delay_the_shutdown(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    swept, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        swept.set()
        go_on.wait(60)
        ended.set()

    monkeypatch.setattr(type(scene.shelf), "apply_retention", hang)
    with serving(replace(scene.station(), retention=RetentionLimits(days=1))):
        assert swept.wait(60)
    assert not ended.is_set()
    assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    go_on.set()


def test_a_failing_retention_task_does_not_prevent_the_shutdown(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    swept = threading.Event()

    def fail(*_: object, **__: object) -> None:
        swept.set()
        raise ZeroDivisionError

    monkeypatch.setattr(type(scene.shelf), "apply_retention", fail)
    station = replace(scene.station(), retention=RetentionLimits(days=1))
    with serving(station):
        assert swept.wait(60)

    assert "the station is closing" in station.service.state().reasons


def test_deleted_images_return_gone(scene: Scene) -> None:
    with scene.open() as client:
        (result,) = send(client, 3)
        scene.shelf.apply_retention(keep_days=None, keep_bytes=0, needed=lambda _: set())
        later = client.get(f"/v1/inspections/{result['id']}").json()
        answer = client.get(result["pictures"]["noisy"])

    assert set(later["pictures"].values()) == {None}
    assert "no longer stored" in problem_of(answer, 410)["detail"]


def test_a_silent_sender_times_out(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "RequestGuardMiddleware", partial(RequestGuardMiddleware, idle_timeout=0.2))
    with scene.open() as client:
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60) as line:
            head = b"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n"
            line.sendall(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
            answer = line.recv(100)
        assert send(client, 3)[0]["verdict"] == "ok"

    assert answer.startswith(b"HTTP/1.1 408 ")
