"""Isolation of clients: memory, threads, station names, and a hanging disk."""

import asyncio
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from fastapi import HTTPException

from clearcast.station.api import UploadLimits, inspect_routes
from clearcast.station.api import upload_checks as names_module
from clearcast.station.api.memory_budget import ResponseMemoryBudget, UploadMemoryBudget
from clearcast.station.image_store import StoreUnavailable
from clearcast.station.log import LogUnavailable
from clearcast.station.records import InspectionEntry
from clearcast.station.service import state
from tests.station.services import picture
from tests.station.stations import TOKENS, Scene, files_of, problem_of, scene_in, send, until

KIND = "multipart/form-data; boundary=b"
HEAD = (
    b"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\nContent-Type: "
    + KIND.encode()
    + b"\r\n\r\n"
)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as made:
        yield made


def part(data: bytes, field: str = "files", file_name: str | None = "a.png") -> bytes:
    named = "" if file_name is None else f'; filename="{file_name}"'
    return f'--b\r\nContent-Disposition: form-data; name="{field}"{named}\r\n\r\n'.encode() + data + b"\r\n"


def unfinished(client: httpx.Client, body: bytes) -> socket.socket:
    """An endless request body."""
    line = socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60)
    with suppress(OSError):  # it was refused already
        line.sendall(HEAD + body)
    return line


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
def test_an_invalid_form_is_rejected_before_the_rest_arrives(scene: Scene, body: bytes, status: int) -> None:
    with scene.open() as client, unfinished(client, body) as line:
        assert line.recv(1000).startswith(b"HTTP/1.1 %d " % status)


def test_a_truncated_form_is_not_inspected(scene: Scene) -> None:
    with scene.open() as client:
        for body in (part(picture(3)), part(picture(3))[:-9], b"--b--\r\n", b"", part(picture(3)) + b"--b"):
            answer = client.post("/v1/inspect", content=body, headers={"Content-Type": KIND})
            assert answer.status_code in {400, 422}, body[-20:]
        assert client.get("/v1/counts").json()["inspections"] == 0


def test_an_oversized_file_is_not_stored_and_the_others_are_inspected(scene: Scene) -> None:
    scene.limits = UploadLimits(bytes=50_000, request_bytes=200_000)
    with scene.open() as client:
        files = files_of(("a.png", picture(20)), ("huge.png", bytes(150_000)), ("c.png", picture(230)))
        answer = client.post("/v1/inspect", files=files, data={"station": "line 9"})
        first, huge, last = answer.json()["inspections"]

    assert (first["verdict"], last["verdict"]) == ("ok", "defect")
    assert huge["error"] == "huge.png: 150,000 bytes exceed the limit of 50,000; send a smaller file"
    assert (huge["size"], huge["station"]) == (150_000, "line 9")
    assert huge["sha256"] == hashlib.sha256(bytes(150_000)).hexdigest()


def test_incomplete_uploads_stay_within_their_memory_budget_and_block_nobody(scene: Scene) -> None:
    scene.limits = UploadLimits(request_bytes=1_000_000)
    head = HEAD.replace(b"100000000", b"999999")
    with scene.open() as client, ExitStack() as lines:
        for _ in range(20):
            line = lines.enter_context(unfinished(client, b""))
            with suppress(OSError):
                line.sendall(head + 4 * part(bytes(50_000)))
        for level in (3, 200):
            assert send(client, level)[0]["error"] == ""


def test_the_largest_incomplete_upload_is_dropped() -> None:
    async def run() -> None:
        budget = UploadMemoryBudget(arriving=100, held=1000)

        async def upload(*pieces: int, done: asyncio.Event) -> str:
            try:
                async with asyncio.timeout(None) as timeout:
                    with budget.arrival(timeout) as arriving:
                        for piece in pieces:
                            budget.grow(arriving, piece)
                        await done.wait()
            except TimeoutError:
                return "gave way"
            except HTTPException as error:
                return str(error.status_code)
            return "whole"

        done = asyncio.Event()
        small = [asyncio.create_task(upload(10, done=done)) for _ in range(3)]
        large = asyncio.create_task(upload(30, 30, done=done))
        await asyncio.sleep(0)
        further = asyncio.create_task(upload(20, done=done))
        assert await large == "gave way"
        assert await upload(60, done=done) == "429", "the largest is the one that grows"
        done.set()
        assert await asyncio.gather(*small, further) == 4 * ["whole"]
        assert await upload(100, done=done) == "whole", "all of it is free again"

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


class Held:
    """A method of a class that blocks; ``begun`` counts its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.begun, self.go_on = 0, threading.Event()
        really: Callable[..., Any] = getattr(owner, name)

        def waits(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            self.begun += 1
            assert self.go_on.wait(60)
            return really(*given, **named)

        monkeypatch.setattr(owner, name, waits)


def statuses(client: httpx.Client, paths: list[str], held: Held, meanwhile: Callable[[], None]) -> list[int]:
    """Status codes of requests that all run while something else is done."""
    with ThreadPoolExecutor(len(paths)) as others:
        answers = [others.submit(lambda path=path: client.get(path).status_code) for path in paths]  # type: ignore[misc]
        try:
            until(lambda: held.begun > 0)
            meanwhile()
        finally:
            held.go_on.set()
        return [answer.result() for answer in answers]


@pytest.mark.parametrize("kind", ["heat", "restored"])
def test_rendering_does_not_delay_inspections(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: Literal["heat", "restored"]
) -> None:
    with scene.open() as client:
        numbers = [said["id"] for said in send(client, *range(32))]
        held = Held(monkeypatch, type(scene.shelf), "denoised" if kind == "restored" else kind)
        different = [f"/v1/inspections/{number}/pictures/{kind}" for number in numbers]
        same = 20 * different[:1]

        def meanwhile() -> None:
            assert send(client, 200)[0]["verdict"] == "defect"
            assert client.get("/v1/inspections/1/pictures/thumbnail").status_code == 200
            assert client.get("/v1/counts").json()["inspections"] == 33

        answers = statuses(client, same + different, held, meanwhile)
    assert set(answers[:20]) == {200}
    assert set(answers) == {200, 429}
    assert held.begun < 25


def test_log_queries_do_not_delay_inspections(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene.open() as client:
        send(client, 3)
        held = Held(monkeypatch, type(scene.log), "trend")

        def meanwhile() -> None:
            assert send(client, 200)[0]["verdict"] == "defect"
            assert client.get("/v1/counts").json()["inspections"] == 2

        answers = statuses(client, 20 * ["/v1/trend"], held, meanwhile)
    assert set(answers) == {200, 429}


def test_log_readers_leave_a_connection_for_writing(scene: Scene) -> None:
    with scene.open() as client, ExitStack() as readers:
        send(client, 3)
        for _ in range(15):  # as many as a pool gives
            readers.enter_context(scene.log._reading())
        assert send(client, 200)[0]["verdict"] == "defect"


def test_station_names_are_limited(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "MAX_STATION_NAMES", 3)
    with scene.open() as client:
        for name in ("a", "b", "c", "a", ""):
            send(client, 3, station=name)
        refused = client.post("/v1/inspect", files=files_of(("p.png", picture(3))), data={"station": "d"})
        send(client, 3, station="b")
        counted = client.get("/v1/counts").json()["inspections"]

    assert "'d' is new" in problem_of(refused, 422)["detail"]
    assert counted == 6
    with scene.open() as client:  # as the log remembers
        refused = client.post("/v1/inspect", files=files_of(("p.png", picture(3))), data={"station": "d"})
        problem_of(refused, 422)
        send(client, 3, station="c")


def test_a_hanging_drive_is_reported_and_blocks_nobody(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_INTERVAL", 0.01)
    monkeypatch.setattr(state, "_SILENCE", 0.1)
    with scene.open() as client:
        (result,) = send(client, 3)
        hung = [Held(monkeypatch, type(scene.shelf), name) for name in ("check_writable", "available", "put")]
        until(lambda: hung[0].begun > 0)
        with ThreadPoolExecutor(8) as others:
            waiting = [others.submit(client.get, f"/v1/inspections/{result['id']}") for _ in range(3)]
            until(lambda: client.get("/readyz").status_code == 503)
            body = problem_of(client.get("/readyz"), 503)
            refused = client.post("/v1/inspect", files=files_of(("p.png", picture(3))))
            assert client.get("/healthz").json() == {"status": "ok"}
            assert client.get("/v1/counts").status_code == 200
            for each in hung:
                each.go_on.set()
            assert all(answer.result().status_code == 200 for answer in waiting)
        assert body["reasons"] == ["the folder of the pictures does not answer"]
        problem_of(refused, 503)
        until(lambda: client.get("/readyz").status_code == 200)


def test_readiness_checks_write_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene.open() as client:
        until(lambda: not list((scene.folder / "pictures" / "incoming").iterdir()))
        written: list[object] = []
        for owner, name in ((scene.shelf, "check_writable"), (scene.log, "check_writable"), (scene.log, "ping")):
            monkeypatch.setattr(type(owner), name, written.append)
        assert {client.get("/readyz").status_code for _ in range(20)} == {200}
    assert len(written) <= 2


def test_inspections_logged_before_the_image_store_failed_are_returned(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, second = scene.shelf.put, picture(4)

    def put_first(data: bytes) -> str:
        if data == second:
            raise StoreUnavailable("the folder is gone")
        return put(data)

    with scene.open() as client:
        monkeypatch.setattr(scene.shelf, "put", put_first)
        answer = client.post("/v1/inspect", files=files_of(("a.png", picture(3)), ("b.png", second)))
        logged = client.get("/v1/inspections").json()["inspections"]
    assert answer.status_code == 503
    assert [each["name"] for each in answer.json()["inspections"]] == [each["name"] for each in logged] == ["a.png"]


def test_inspections_logged_before_the_log_failed_are_returned(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    write = scene.log.write

    def write_inspected(entries: Sequence[InspectionEntry]) -> list[int]:
        if any(entry.width is None for entry in entries):
            raise LogUnavailable("postgresql://ana@10.0.0.3 is gone")
        return write(entries)

    with scene.open() as client:
        monkeypatch.setattr(scene.log, "write", write_inspected)
        answer = client.post("/v1/inspect", files=files_of(("a.png", picture(3)), ("b.png", b"no picture")))
        only_refused = client.post("/v1/inspect", files=files_of(("b.png", b"no picture")))
        logged = client.get("/v1/inspections").json()["inspections"]
    body = problem_of(answer, 503)
    assert [each["name"] for each in body["inspections"]] == [each["name"] for each in logged] == ["a.png"]
    assert "10.0.0.3" not in answer.text
    assert "inspections" not in problem_of(only_refused, 503)


def test_logged_inspections_are_returned_while_the_drive_hangs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_routes, "_STORE_SECONDS", 0.05)
    with scene.open() as client:
        held = Held(monkeypatch, type(scene.shelf), "available")
        results = [send(client, level)[0] for level in range(200, 210)]  # more than there are threads
        held.go_on.set()
    assert {each["verdict"] for each in results} == {"defect"}
    expected = {"noisy": "noisy", "restored": None, "heat": None, "thumbnail": "thumbnail"}
    for each in results:
        base = f"/v1/pictures/{each['sha256']}/"
        assert each["pictures"] == {kind: last and base + last for kind, last in expected.items()}


def test_an_unavailable_log_is_reported_without_its_url(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.tokens = TOKENS
    secret = "The log /home/ana/log.sqlite cannot be reached: host 10.0.0.3, user clearcast"

    def away(*_: object, **__: object) -> None:
        raise LogUnavailable(secret)

    with scene.open() as client:
        client.headers["Authorization"] = f"Bearer {TOKENS.operator}"
        for name in ("page", "write", "count"):
            monkeypatch.setattr(type(scene.log), name, away)
        answers = [client.get("/v1/inspections"), client.get("/v1/counts")]
        answers.append(client.post("/v1/inspect", files=files_of(("p.png", picture(3)))))
        answers.append(client.get("/readyz"))
        answers.append(client.get("/v1/station"))
    for answer in answers:
        assert "the log cannot be reached" in answer.text
        assert not {"/home", "10.0.0.3", "sqlite"} & {
            word for word in ("/home", "10.0.0.3", "sqlite") if word in answer.text
        }
