"""Isolation of clients: memory, threads, station names, and a hanging disk."""

import asyncio
import hashlib
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, Literal

import httpx
import pytest
from fastapi import HTTPException

from clearcast.station.api import UploadLimits, inspect_routes, upload_checks
from clearcast.station.api.memory_budget import ResponseMemoryBudget, UploadMemoryBudget
from clearcast.station.image_store import StoreUnavailable
from clearcast.station.log import LogUnavailable
from clearcast.station.records import InspectionEntry
from clearcast.station.service import state
from tests.station.services import grey_png
from tests.station.stations import (
    TOKENS,
    StationSetup,
    check_problem,
    form_files,
    send_images,
    wait_until,
)

KIND = "multipart/form-data; boundary=b"
HEAD = (
    b"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\nContent-Type: "
    + KIND.encode()
    + b"\r\n\r\n"
)


def part(data: bytes, field: str = "files", file_name: str | None = "a.png") -> bytes:
    named = "" if file_name is None else f'; filename="{file_name}"'
    return f'--b\r\nContent-Disposition: form-data; name="{field}"{named}\r\n\r\n'.encode() + data + b"\r\n"


def unfinished(client: httpx.Client, body: bytes) -> socket.socket:
    """An endless request body."""
    sock = socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60)
    with suppress(OSError):  # it was refused already
        sock.sendall(HEAD + body)
    return sock


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (33 * part(b"x"), 413),
        (part(b"x", "file"), 422),
        (part(b"x", "station"), 422),
        (part(b"x", "files", None), 422),
        (part(5000 * b"x", "station", None), 422),
        (part(b"x").replace(b'name="files"; ', b""), 400),
        (b"--b\r\n" + 30 * (b"X: " + 1000 * b"y" + b"\r\n"), 400),
        (b"--another\r\n\r\n", 400),
    ],
)
def test_an_invalid_form_is_rejected_before_the_rest_arrives(
    station_setup: StationSetup, body: bytes, status: int
) -> None:
    with station_setup.start() as client, unfinished(client, body) as sock:
        assert sock.recv(1000).startswith(b"HTTP/1.1 %d " % status)


def test_a_truncated_form_is_not_inspected(station_setup: StationSetup) -> None:
    with station_setup.start() as client:
        for body in (part(grey_png(3)), part(grey_png(3))[:-9], b"--b--\r\n", b"", part(grey_png(3)) + b"--b"):
            response = client.post("/v1/inspect", content=body, headers={"Content-Type": KIND})
            assert response.status_code in {400, 422}, body[-20:]
        assert client.get("/v1/counts").json()["inspections"] == 0


def test_an_oversized_file_is_not_stored_and_the_others_are_inspected(station_setup: StationSetup) -> None:
    station_setup.limits = UploadLimits(bytes=50_000, request_bytes=200_000)
    with station_setup.start() as client:
        files = form_files(("a.png", grey_png(20)), ("huge.png", bytes(150_000)), ("c.png", grey_png(230)))
        response = client.post("/v1/inspect", files=files, data={"station": "line 9"})
        first, huge, last = response.json()["inspections"]

    assert (first["verdict"], last["verdict"]) == ("ok", "defect")
    assert huge["error"] == "huge.png: 150,000 bytes exceed the limit of 50,000; send a smaller file"
    assert (huge["size"], huge["station"]) == (150_000, "line 9")
    assert huge["sha256"] == hashlib.sha256(bytes(150_000)).hexdigest()


def test_incomplete_uploads_stay_within_their_memory_budget_and_block_nobody(station_setup: StationSetup) -> None:
    station_setup.limits = UploadLimits(request_bytes=1_000_000)
    head = HEAD.replace(b"100000000", b"999999")
    with station_setup.start() as client, ExitStack() as sockets:
        for _ in range(20):
            sock = sockets.enter_context(unfinished(client, b""))
            with suppress(OSError):
                sock.sendall(head + 4 * part(bytes(50_000)))
        for level in (3, 200):
            assert send_images(client, level)[0]["error"] == ""


def test_the_largest_incomplete_upload_is_dropped() -> None:
    async def run() -> None:
        budget = UploadMemoryBudget(arriving=100, held=1000)

        async def upload(*chunks: int, done: asyncio.Event) -> str:
            try:
                async with asyncio.timeout(None) as timeout:
                    with budget.arrival(timeout) as arriving:
                        for chunk in chunks:
                            budget.grow(arriving, chunk)
                        await done.wait()
            except TimeoutError:
                return "dropped"
            except HTTPException as error:
                return str(error.status_code)
            return "whole"

        done = asyncio.Event()
        small = [asyncio.create_task(upload(10, done=done)) for _ in range(3)]
        large = asyncio.create_task(upload(30, 30, done=done))
        await asyncio.sleep(0)
        further = asyncio.create_task(upload(20, done=done))
        assert await large == "dropped"
        assert await upload(60, done=done) == "429", "the largest is the one that grows"
        done.set()
        assert await asyncio.gather(*small, further) == 4 * ["whole"]
        assert await upload(100, done=done) == "whole", "the whole budget is free again"

    asyncio.run(run())


def test_each_response_body_counts_once() -> None:
    budget, first, second = ResponseMemoryBudget(100), bytes(80), bytearray(30)
    with budget.sending(first), budget.sending(first):
        with pytest.raises(HTTPException) as error, budget.sending(bytes(second)):
            pass
        assert error.value.status_code == 429
        with budget.sending(bytes(20)):
            pass
    with budget.sending(bytes(1000)):
        pass


class BlockedMethod:
    """A method of a class that blocks; ``calls`` counts its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.calls, self.resume = 0, threading.Event()
        original: Callable[..., Any] = getattr(owner, name)

        def blocking(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            self.calls += 1
            assert self.resume.wait(60)
            return original(*given, **named)

        monkeypatch.setattr(owner, name, blocking)


def get_statuses(
    client: httpx.Client, paths: list[str], blocked: BlockedMethod, use_station: Callable[[], None]
) -> list[int]:
    """Status codes of requests that all run while ``use_station`` runs."""
    with ThreadPoolExecutor(len(paths)) as others:
        futures = [others.submit(lambda path=path: client.get(path).status_code) for path in paths]  # type: ignore[misc]
        try:
            wait_until(lambda: blocked.calls > 0)
            use_station()
        finally:
            blocked.resume.set()
        return [future.result() for future in futures]


@pytest.mark.parametrize("kind", ["heat", "restored"])
def test_rendering_does_not_delay_inspections(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch, kind: Literal["heat", "restored"]
) -> None:
    with station_setup.start() as client:
        numbers = [result["id"] for result in send_images(client, *range(32))]
        blocked = BlockedMethod(
            monkeypatch, type(station_setup.image_store), "denoised" if kind == "restored" else kind
        )
        different = [f"/v1/inspections/{number}/pictures/{kind}" for number in numbers]
        same = 20 * different[:1]

        def use_station() -> None:
            assert send_images(client, 200)[0]["verdict"] == "defect"
            assert client.get("/v1/inspections/1/pictures/thumbnail").status_code == 200
            assert client.get("/v1/counts").json()["inspections"] == 33

        statuses = get_statuses(client, same + different, blocked, use_station)
    assert set(statuses[:20]) == {200}
    assert set(statuses) == {200, 429}
    assert blocked.calls < 25


def test_log_queries_do_not_delay_inspections(station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    with station_setup.start() as client:
        send_images(client, 3)
        blocked = BlockedMethod(monkeypatch, type(station_setup.log), "trend")

        def use_station() -> None:
            assert send_images(client, 200)[0]["verdict"] == "defect"
            assert client.get("/v1/counts").json()["inspections"] == 2

        statuses = get_statuses(client, 20 * ["/v1/trend"], blocked, use_station)
    assert set(statuses) == {200, 429}


def test_log_readers_leave_a_connection_for_writing(station_setup: StationSetup) -> None:
    with station_setup.start() as client, ExitStack() as readers:
        send_images(client, 3)
        for _ in range(15):  # as many as a pool gives
            readers.enter_context(station_setup.log._reading())
        assert send_images(client, 200)[0]["verdict"] == "defect"


def test_station_names_are_limited(station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_checks, "MAX_STATION_NAMES", 3)
    with station_setup.start() as client:
        for name in ("a", "b", "c", "a", ""):
            send_images(client, 3, station=name)
        refused = client.post("/v1/inspect", files=form_files(("p.png", grey_png(3))), data={"station": "d"})
        send_images(client, 3, station="b")
        counted = client.get("/v1/counts").json()["inspections"]

    assert "'d' is new" in check_problem(refused, 422)["detail"]
    assert counted == 6
    with station_setup.start() as client:  # as the log remembers
        refused = client.post("/v1/inspect", files=form_files(("p.png", grey_png(3))), data={"station": "d"})
        check_problem(refused, 422)
        send_images(client, 3, station="c")


def test_a_hanging_drive_is_reported_and_blocks_nobody(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_INTERVAL", 0.01)
    monkeypatch.setattr(state, "_TIMEOUT", 0.1)
    with station_setup.start() as client:
        (result,) = send_images(client, 3)
        blocked_methods = [
            BlockedMethod(monkeypatch, type(station_setup.image_store), name)
            for name in ("check_writable", "available", "put")
        ]
        wait_until(lambda: blocked_methods[0].calls > 0)
        with ThreadPoolExecutor(8) as others:
            waiting = [others.submit(client.get, f"/v1/inspections/{result['id']}") for _ in range(3)]
            wait_until(lambda: client.get("/readyz").status_code == 503)
            body = check_problem(client.get("/readyz"), 503)
            refused = client.post("/v1/inspect", files=form_files(("p.png", grey_png(3))))
            assert client.get("/healthz").json() == {"status": "ok"}
            assert client.get("/v1/counts").status_code == 200
            for each in blocked_methods:
                each.resume.set()
            assert all(response.result().status_code == 200 for response in waiting)
        assert body["reasons"] == ["the image store does not respond"]
        check_problem(refused, 503)
        wait_until(lambda: client.get("/readyz").status_code == 200)


def test_readiness_checks_write_nothing(station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    with station_setup.start() as client:
        wait_until(lambda: not list((station_setup.folder / "pictures" / "incoming").iterdir()))
        written: list[object] = []
        for owner, name in (
            (station_setup.image_store, "check_writable"),
            (station_setup.log, "check_writable"),
            (station_setup.log, "ping"),
        ):
            monkeypatch.setattr(type(owner), name, written.append)
        assert {client.get("/readyz").status_code for _ in range(20)} == {200}
    assert len(written) <= 2


def test_inspections_logged_before_the_image_store_failed_are_returned(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, second = station_setup.image_store.put, grey_png(4)

    def put_first(data: bytes) -> str:
        if data == second:
            raise StoreUnavailable("the folder is gone")
        return put(data)

    with station_setup.start() as client:
        monkeypatch.setattr(station_setup.image_store, "put", put_first)
        response = client.post("/v1/inspect", files=form_files(("a.png", grey_png(3)), ("b.png", second)))
        logged = client.get("/v1/inspections").json()["inspections"]
    assert response.status_code == 503
    assert [each["name"] for each in response.json()["inspections"]] == [each["name"] for each in logged] == ["a.png"]


def test_inspections_logged_before_the_log_failed_are_returned(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = station_setup.log.write

    def write_inspected(entries: Sequence[InspectionEntry]) -> list[int]:
        if any(entry.width is None for entry in entries):
            raise LogUnavailable("postgresql://ana@10.0.0.3 is gone")
        return write(entries)

    with station_setup.start() as client:
        monkeypatch.setattr(station_setup.log, "write", write_inspected)
        response = client.post("/v1/inspect", files=form_files(("a.png", grey_png(3)), ("b.png", b"no image")))
        only_refused = client.post("/v1/inspect", files=form_files(("b.png", b"no image")))
        logged = client.get("/v1/inspections").json()["inspections"]
    body = check_problem(response, 503)
    assert [each["name"] for each in body["inspections"]] == [each["name"] for each in logged] == ["a.png"]
    assert "10.0.0.3" not in response.text
    assert "inspections" not in check_problem(only_refused, 503)


def test_logged_inspections_are_returned_while_the_drive_hangs(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_routes, "_STORE_SECONDS", 0.05)
    with station_setup.start() as client:
        blocked = BlockedMethod(monkeypatch, type(station_setup.image_store), "available")
        results = [send_images(client, level)[0] for level in range(200, 210)]  # more than there are threads
        blocked.resume.set()
    assert {each["verdict"] for each in results} == {"defect"}
    expected = {"noisy": "noisy", "restored": None, "heat": None, "thumbnail": "thumbnail"}
    for each in results:
        base = f"/v1/pictures/{each['sha256']}/"
        assert each["pictures"] == {kind: last and base + last for kind, last in expected.items()}


def test_an_unavailable_log_is_reported_without_its_url(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    station_setup.tokens = TOKENS
    secret = "The log /home/ana/log.sqlite cannot be reached: host 10.0.0.3, user clearcast"

    def raise_unavailable(*_: object, **__: object) -> None:
        raise LogUnavailable(secret)

    with station_setup.start() as client:
        client.headers["Authorization"] = f"Bearer {TOKENS.operator}"
        for name in ("page", "write", "count"):
            monkeypatch.setattr(type(station_setup.log), name, raise_unavailable)
        responses = [client.get("/v1/inspections"), client.get("/v1/counts")]
        responses.append(client.post("/v1/inspect", files=form_files(("p.png", grey_png(3)))))
        responses.append(client.get("/readyz"))
        responses.append(client.get("/v1/station"))
    for response in responses:
        assert "the log cannot be reached" in response.text
        assert not {"/home", "10.0.0.3", "sqlite"} & {
            word for word in ("/home", "10.0.0.3", "sqlite") if word in response.text
        }
