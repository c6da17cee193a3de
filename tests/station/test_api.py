"""The REST API: inspections, feedback, filters, CSV export, metrics, and temporary failures."""

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
from tests.station.services import grey_png
from tests.station.stations import (
    StationSetup,
    check_problem,
    form_files,
    send_images,
    serving,
    wait_until,
)


def test_inspections_are_returned_in_order_and_logged(client: httpx.Client) -> None:
    dark, bright = send_images(client, 40, 220)

    assert (dark["name"], dark["verdict"]) == ("part 40.png", "ok")
    assert (bright["name"], bright["verdict"]) == ("part 220.png", "defect")
    assert bright["p_defect"] == pytest.approx(220 / 255)
    assert bright["station"] == "line 1"
    assert client.get(f"/v1/inspections/{bright['id']}").json() == bright
    logged = client.get("/v1/inspections").json()["inspections"]
    assert sorted(one["id"] for one in logged) == sorted([dark["id"], bright["id"]])


def test_an_inspection_has_the_documented_fields(client: httpx.Client) -> None:
    (result,) = send_images(client, 200, station="line 7")

    assert list(result) == [
        *("id", "at", "name", "station", "sha256", "size", "width", "height", "verdict", "p_defect", "threshold"),
        *("noise_type", "noise_level", "p_noise", "ms", "model", "error", "brightness", "sharpness", "sigma"),
        *("density", "shadow", "feedback", "disagreement", "pictures"),
    ]
    assert result["at"].endswith("Z")
    assert (result["width"], result["height"], result["station"]) == (20, 16, "line 7")
    assert result["feedback"] == []


def test_images_can_be_downloaded(client: httpx.Client) -> None:
    (result,) = send_images(client, 200)
    assert all(result["pictures"].values()), result["pictures"]
    responses = {kind: client.get(path) for kind, path in result["pictures"].items()}

    assert responses["noisy"].content == grey_png(200)
    assert responses["noisy"].headers["content-type"] == "image/png"
    assert {kind: response.headers["content-type"] for kind, response in responses.items()} == {
        "noisy": "image/png",
        "restored": "image/jpeg",
        "heat": "image/png",
        "thumbnail": "image/jpeg",
    }
    assert imaging.decode_image(responses["restored"].content, Channels.GREY).mean() == pytest.approx(200, abs=2)
    for response in responses.values():
        assert "sandbox" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"


def test_an_invalid_image_among_valid_ones_is_an_inspection_with_an_error(client: httpx.Client) -> None:
    files = form_files(("a.png", grey_png(20)), ("b.txt", b"no image"), ("c.png", grey_png(230)[:-30]))
    response = client.post("/v1/inspect", files=files)
    good, text, cut = response.json()["inspections"]

    assert response.status_code == 200
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
    ("data", "status", "message"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not an image"),
        (b"", 422, "empty"),
        (grey_png(3)[:40], 422, "p.png"),
        (imaging.encode_image(np.zeros((300, 400), np.uint8), ".png"), 413, "pixels exceed the limit of 100,000"),
        (imaging.encode_image(np.zeros((200, 200, 3), np.uint8), ".bmp"), 413, "bytes exceed the limit of 100,000"),
        (bytes(cv2.imencode(".png", np.zeros((20, 20), np.uint16))[1]), 422, "16 bits"),
    ],
    ids=("no image", "empty", "cut", "pixels", "bytes", "16 bits"),
)
def test_if_nothing_can_be_inspected_the_problem_gives_the_reason(
    station_setup: StationSetup, data: bytes, status: int, message: str
) -> None:
    station_setup.limits = UploadLimits(bytes=100_000, pixels=100_000)
    with station_setup.start() as client:
        body = check_problem(client.post("/v1/inspect", files=form_files(("p.png", data))), status)
        (logged,) = client.get("/v1/inspections").json()["inspections"]

    assert message in body["detail"]
    assert body["inspections"] == [logged]


def test_feedback_is_stored_and_opens_a_disagreement(client: httpx.Client) -> None:
    (result,) = send_images(client, 220)
    path = f"/v1/inspections/{result['id']}/feedback"
    first = client.post(path, json={"says": "ok", "note": "a <b>reflection</b>\nnot a crack", "operator": "Ana"})
    open_ones = client.get("/v1/inspections?disagreement=open").json()["inspections"]
    second = client.post(path, json={"says": "ok", "operator": "Ben", "settles": True})

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["feedback"][0]["note"] == "a <b>reflection</b>\nnot a crack"
    assert [one["id"] for one in open_ones] == [result["id"]]
    assert second.json()["disagreement"] == "settled"
    assert client.get(f"/v1/inspections/{result['id']}").json() == second.json()
    check_problem(client.post("/v1/inspections/999/feedback", json={"says": "ok"}), 404)
    for wrong in ({"says": "maybe"}, {}, {"says": "ok", "note": "n" * 2001}, {"says": "ok", "who": "Ana"}):
        check_problem(client.post(path, json=wrong), 422)


def test_the_log_is_paginated(client: httpx.Client) -> None:
    ids = [one["id"] for level in range(0, 250, 25) for one in send_images(client, level)]
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
    send_images(client, 10, 20, station="line 7")
    (late,) = send_images(client, 220)

    def names(**params: str | list[str]) -> set[str]:
        response = client.get("/v1/inspections", params=params)
        assert response.status_code == 200, response.text
        return {one["name"] for one in response.json()["inspections"]}

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
    body = check_problem(client.get(f"/v1/inspections?{query}"), 422)
    assert query.partition("=")[0] in body["detail"]


def test_the_csv_export_has_exactly_the_filtered_inspections(client: httpx.Client) -> None:
    send_images(client, *range(0, 250, 10))
    formula = "=1+1, x.png"
    client.post("/v1/inspect", files=form_files((formula, grey_png(251))))
    filters = {"verdict": "defect", "station": "line 1"}
    rows = list(csv.DictReader(io.StringIO(client.get("/v1/inspections.csv", params=filters).text)))
    listed = client.get("/v1/inspections", params={**filters, "limit": "200"}).json()["inspections"]

    assert [int(row["id"]) for row in rows] == [one["id"] for one in listed]
    assert [row["at"] for row in rows] == [one["at"] for one in listed]
    assert {row["verdict"] for row in rows} == {"defect"}
    assert float(rows[0]["p_defect"]) == pytest.approx(251 / 255, rel=1e-5)
    assert rows[0]["name"] == "'" + formula
    assert set(VERDICT_COLUMNS) - {"path"} <= set(rows[0])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_of_the_csv_export_is_a_formula_with_any_separator(client: httpx.Client, separator: str) -> None:
    for name in ("=1+1.png", "part;=1+1.png", 'a;"@SUM(1)".png', " -1.png"):
        client.post(
            "/v1/inspect", files=form_files((name, grey_png(251))), data={"station": "line;+2"}
        ).raise_for_status()
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
    pool = WorkerPool("exports", threads=1, queue_size=0)
    pool.start()
    yield pool
    pool.stop()


def test_every_chunk_of_an_export_is_read_by_the_pool_even_if_it_was_full(
    station_setup: StationSetup, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "_FULL_PAUSE", 0.01)
    monkeypatch.setattr(export_module, "_CHUNK_ROWS", 2)
    readers = set()
    numbers = station_setup.log.write(5 * [ENTRY])
    resume = threading.Event()

    def records() -> Generator[InspectionRecord]:
        for record in station_setup.log.export(InspectionFilter()):
            readers.add(threading.current_thread().name)
            yield record

    async def read() -> bytes:
        export = await pool.run(lambda: CsvExportResponse(records(), pool))
        busy = asyncio.create_task(pool.run(lambda: resume.wait(60)))
        asyncio.get_running_loop().call_later(0.1, resume.set)
        await asyncio.sleep(0)
        text = b"".join([bytes(chunk) async for chunk in export.body_iterator])  # type: ignore[arg-type]
        assert await busy
        return text

    rows = list(csv.DictReader(io.StringIO(asyncio.run(read()).decode(), newline="")))
    assert [int(row["id"]) for row in rows] == numbers[::-1]
    assert readers == {"exports"}


def test_an_export_closed_while_a_thread_reads_it_releases_the_log() -> None:
    started, resume, ended = threading.Event(), threading.Event(), threading.Event()

    def records() -> Generator[InspectionRecord]:
        try:
            yield from 200 * [InspectionRecord(id=1, entry=ENTRY)]
            started.set()
            resume.wait(60)
            yield from 200 * [InspectionRecord(id=1, entry=ENTRY)]
        finally:
            ended.set()

    reader = export_module._CsvReader(records())
    with ThreadPoolExecutor(1) as threads:
        chunks = [threads.submit(reader._next) for _ in range(4)]
        assert started.wait(60)
        reader.close()
        assert not ended.is_set()
        resume.set()
        assert chunks[-1].result() is None
    assert ended.is_set()


def test_concurrent_exports_are_limited(client: httpx.Client, station_setup: StationSetup) -> None:
    send_images(client, 10, 20)
    exports = ExportLimit()
    first, second, third, fourth = (exports.limit(station_setup.log.export(InspectionFilter())) for _ in range(4))
    for records in (first, second, third):
        next(records)

    with pytest.raises(HTTPException) as error:
        next(fourth)
    assert error.value.status_code == 429
    assert error.value.headers
    assert int(error.value.headers["Retry-After"]) >= 1
    first.close()  # its client disconnected
    assert len(list(second)) == 1
    assert [len(list(exports.limit(station_setup.log.export(InspectionFilter())))) for _ in range(5)] == 5 * [2]


def test_an_export_whose_client_disconnects_releases_the_log(
    client: httpx.Client, station_setup: StationSetup, pool: WorkerPool
) -> None:
    send_images(client, *range(10, 30))
    ended = []

    def records() -> Generator[InspectionRecord]:
        try:
            while True:
                yield from station_setup.log.export(InspectionFilter())
        finally:
            ended.append(True)

    async def disconnected() -> Message:
        return {"type": "http.disconnect"}

    async def never_read(_: Message) -> None:
        await asyncio.Event().wait()

    gc.disable()
    try:
        asyncio.run(
            CsvExportResponse(records(), pool)(
                {"type": "http", "asgi": {"spec_version": "2.3"}}, disconnected, never_read
            )
        )
        wait_until(lambda: ended != [])  # the thread that reads may have a chunk to finish
    finally:
        gc.enable()


def test_an_export_to_a_stalled_client_is_aborted_and_frees_its_slot(
    client: httpx.Client,
    station_setup: StationSetup,
    pool: WorkerPool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    send_images(client, *range(10, 30))
    monkeypatch.setattr(export_module, "_CHUNK_TIMEOUT", 0.05)
    exports = ExportLimit()

    async def connected() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def never_read(_: Message) -> None:
        await asyncio.Event().wait()

    for version in ("2.3", "2.4"):
        for _ in range(4):  # more than the limit
            export = CsvExportResponse(exports.limit(station_setup.log.export(InspectionFilter())), pool)
            asyncio.run(export({"type": "http", "asgi": {"spec_version": version}}, connected, never_read))
    assert len(list(exports.limit(station_setup.log.export(InspectionFilter())))) == 20
    assert "did not read it to the end" in caplog.text


def test_a_full_queue_returns_retry_after(station_setup: StationSetup) -> None:
    station_setup.waiting = 2
    with station_setup.start() as client, ThreadPoolExecutor(2) as others:
        station_setup.inspector.unblocked.clear()
        held = [others.submit(send_images, client, level) for level in (10, 20)]
        wait_until(lambda: "clearcast_waiting 2.0" in client.get("/metrics").text)
        response = client.post("/v1/inspect", files=form_files(("c.png", grey_png(30)), ("d.txt", b"none")))
        station_setup.inspector.unblocked.set()
        answered = [one.result()[0]["name"] for one in held]
        logged = client.get("/v1/inspections").json()["inspections"]

    assert "queue is full" in check_problem(response, 429)["detail"]
    assert int(response.headers["retry-after"]) >= 1
    assert sorted(answered) == sorted(one["name"] for one in logged) == ["part 10.png", "part 20.png"]


def test_uploads_beyond_the_memory_budget_are_rejected_temporarily(station_setup: StationSetup) -> None:
    station_setup.limits = UploadLimits(held_bytes=150)
    with station_setup.start() as client, ThreadPoolExecutor(1) as others:
        station_setup.inspector.unblocked.clear()
        held = others.submit(send_images, client, 10)
        wait_until(lambda: "clearcast_waiting 1.0" in client.get("/metrics").text)
        response = client.post("/v1/inspect", files=form_files(("c.png", grey_png(30))))
        station_setup.inspector.unblocked.set()
        assert held.result()[0]["verdict"] == "ok"
        assert send_images(client, 30)[0]["verdict"] == "ok"

    check_problem(response, 429)
    assert response.headers["retry-after"] == "1"


def test_a_station_without_its_bundle_reports_it_and_recovers(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearcast.station.service.queue._RETRY_INTERVAL", 0.01)
    bundles = dict(station_setup.bundle_loader.bundles)
    station_setup.bundle_loader.bundles.clear()
    with station_setup.start(ready=False) as client:
        for path in ("/readyz", "/v1/inspect"):
            response = (
                client.get(path) if path == "/readyz" else client.post(path, files=form_files(("a", grey_png(1))))
            )
            assert "bundle" in check_problem(response, 503)["detail"]
            assert int(response.headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/inspections").json()["inspections"] == []
        facts = client.get("/v1/station").json()
        station_setup.bundle_loader.bundles.update(bundles)
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert send_images(client, 3)[0]["verdict"] == "ok"

    assert (facts["ready"], facts["model"]) == (False, None)
    assert facts["reasons"]


@pytest.mark.parametrize("error", [LogUnavailable("the log is unavailable"), OSError(28, "No space left on device")])
def test_an_unavailable_log_is_a_temporary_problem(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with station_setup.start() as client:
        (result,) = send_images(client, 3)
        with monkeypatch.context() as patch:
            for name in ("page", "record", "count", "trend", "models", "export", "add_feedback"):
                patch.setattr(type(station_setup.log), name, fail)
            for path in ("inspections", f"inspections/{result['id']}", "counts", "trend", "choices", "inspections.csv"):
                response = client.get(f"/v1/{path}")
                check_problem(response, 503)
                assert int(response.headers["retry-after"]) >= 1
        assert client.get("/v1/inspections").json()["inspections"] == [result]


def test_an_unexpected_exception_is_a_problem(station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    with station_setup.start() as client:
        monkeypatch.setattr(type(station_setup.log), "count", fail)
        response = client.get("/v1/counts")

        # Not with the client: its connection was closed.
        counted = httpx.get(client.base_url.join("/metrics"), trust_env=False).text.splitlines()

    assert "secret" not in check_problem(response, 500)["detail"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert 'clearcast_refused_total{status="500"} 1.0' in counted


def test_metrics_count_verdicts_noise_types_and_errors(client: httpx.Client) -> None:
    send_images(client, 10, 20, 220)
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
    check_problem(client.get("/v2/inspect"), 404)
    check_problem(client.get("/v1/inspections/77"), 404)
    check_problem(client.get("/v1/inspections/77/pictures/noisy"), 404)
    assert check_problem(client.put("/v1/inspect"), 405)["detail"]
    assert client.put("/v1/session").headers["allow"] == "DELETE, POST"


@pytest.mark.parametrize("encoding", ["punycode", "undefined", "unicode_escape", "hex", "no such"])
def test_a_form_in_an_unknown_encoding_is_a_client_error(client: httpx.Client, encoding: str) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a-!"\r\n\r\nx\r\n--b--\r\n'
    kind = f"multipart/form-data; boundary=b; charset={encoding}"

    assert client.post("/v1/inspect", content=form, headers={"Content-Type": kind}).status_code in {400, 415, 422}


def test_a_hanging_retention_task_does_not_delay_the_shutdown(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, resume, ended = threading.Event(), threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        called.set()
        resume.wait(60)
        ended.set()

    monkeypatch.setattr(type(station_setup.image_store), "apply_retention", hang)
    with serving(replace(station_setup.station(), retention=RetentionLimits(days=1))):
        assert called.wait(60)
    assert not ended.is_set()
    assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    resume.set()


def test_a_failing_retention_task_does_not_prevent_the_shutdown(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = threading.Event()

    def fail(*_: object, **__: object) -> None:
        called.set()
        raise ZeroDivisionError

    monkeypatch.setattr(type(station_setup.image_store), "apply_retention", fail)
    station = replace(station_setup.station(), retention=RetentionLimits(days=1))
    with serving(station):
        assert called.wait(60)

    assert "the station is closing" in station.service.state().reasons


def test_deleted_images_return_gone(station_setup: StationSetup) -> None:
    with station_setup.start() as client:
        (result,) = send_images(client, 3)
        station_setup.image_store.apply_retention(keep_days=None, keep_bytes=0, needed=lambda _: set())
        later = client.get(f"/v1/inspections/{result['id']}").json()
        response = client.get(result["pictures"]["noisy"])

    assert set(later["pictures"].values()) == {None}
    assert "no longer stored" in check_problem(response, 410)["detail"]


def test_a_silent_sender_times_out(station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "RequestGuardMiddleware", partial(RequestGuardMiddleware, idle_timeout=0.2))
    with station_setup.start() as client:
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60) as sock:
            head = b"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n"
            sock.sendall(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
            response = sock.recv(100)
        assert send_images(client, 3)[0]["verdict"] == "ok"

    assert response.startswith(b"HTTP/1.1 408 ")
