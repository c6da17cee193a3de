"""Timeouts and eviction of connections and requests."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from clearcast.station.api import app as app_module
from clearcast.station.api import connections, server
from clearcast.station.api.connections import ConnectionLimits, max_connections
from clearcast.station.api.middleware import RequestGuardMiddleware
from clearcast.station.api.server import make_server
from tests.station.services import picture
from tests.station.stations import TOKENS, Scene, files_of, scene_in, send, serving, until

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
FORM = (
    b"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as made:
        yield made


@contextmanager
def station(scene: Scene, monkeypatch: pytest.MonkeyPatch, **limits: float) -> Iterator[httpx.Client]:
    monkeypatch.setattr(connections, "_CHECK_SECONDS", 0.02)
    limited = ConnectionLimits(**{"head": 0.3, "grace": 0.3, **limits})  # type: ignore[arg-type]
    monkeypatch.setattr("tests.station.stations.server_of", partial(make_server, limits=limited))
    with serving(scene.station()) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client


def line_to(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60)


def is_closed(line: socket.socket) -> bool:
    """Wait for the other side to close the connection; whether it does."""
    try:
        while line.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def is_well(line: socket.socket) -> bool:
    """Whether a request on a connection gets a response."""
    line.sendall(HEAD)
    answer = b""
    while not answer.endswith(b"}"):
        answer += line.recv(4096)
    return answer.startswith(b"HTTP/1.1 200")


def _drip(line: socket.socket, piece: bytes, times: int = 3000) -> None:
    for _ in range(times):
        line.sendall(piece)
        time.sleep(0.02)


@pytest.mark.parametrize("beginning", [b"", b"G", HEAD[:-4]])
def test_an_incomplete_head_ends_the_connection(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    with station(scene, monkeypatch) as client, line_to(client) as line:
        line.sendall(beginning)
        assert is_closed(line)


@pytest.mark.parametrize("rest", [b"GET /he", b""])
def test_bytes_after_a_request_have_the_same_timeout(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    """The rest of an unread body, or the start of another request."""
    body = b"" if rest else FORM.replace(b"/v1/inspect", b"/v1/nothing") % 99
    with station(scene, monkeypatch) as client, line_to(client) as line:
        line.sendall((body or HEAD) + rest)
        assert is_closed(line)


def test_single_head_bytes_do_not_extend_the_timeout(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        station(scene, monkeypatch) as client,
        line_to(client) as line,
        pytest.raises((BrokenPipeError, ConnectionResetError)),
    ):
        _drip(line, b"G")


def test_an_idle_keep_alive_connection_stays_open(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with station(scene, monkeypatch) as client, line_to(client) as line:
        for _ in range(3):
            assert is_well(line)
            time.sleep(0.5)


def test_a_response_that_is_not_read_is_aborted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with station(scene, monkeypatch) as client, socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.settimeout(60)
        line.connect((client.base_url.host, client.base_url.port or 0))
        asked = b"GET /docs/swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            _drip(line, asked)


def test_a_slow_reader_gets_the_whole_response(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with station(scene, monkeypatch, grace=0.1, rate=1000) as client, line_to(client) as line:
        line.sendall(b"GET /docs/swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        came = 0
        while piece := line.recv(65_536):
            came += len(piece)
            time.sleep(0.02)
        assert came > 1_000_000


def test_idle_connections_are_evicted_for_new_ones(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with station(scene, monkeypatch, head=60, most=10) as client, ExitStack() as lines:
        send(client, 1)
        silent = [lines.enter_context(line_to(client)) for _ in range(100)]
        assert send(client, 3)[0]["verdict"] == "ok"
        assert is_closed(silent[0])
        assert is_well(silent[-1]), "the latest are still heard"


def test_incomplete_requests_without_a_token_are_evicted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.tokens = TOKENS
    begun = b"POST /v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"
    with station(scene, monkeypatch, head=60, most=10) as client, ExitStack() as lines:
        client.headers["Authorization"] = f"Bearer {TOKENS.reader}"
        assert client.get("/v1/counts").status_code == 200
        for start in (begun, FORM % 99):
            for _ in range(30):
                with suppress(OSError):  # it made room already
                    lines.enter_context(line_to(client)).sendall(start)
        with suppress(httpx.ReadError):  # its idle connection may have made room: then a client asks again
            client.get("/healthz")
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/counts").status_code == 200


def test_closing_connections_with_unread_data_count(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold a file descriptor until their response is read."""
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    made: list[connections.LimitedHttpProtocol] = []
    connection_made = connections.LimitedHttpProtocol.connection_made

    def note(self: connections.LimitedHttpProtocol, transport: asyncio.BaseTransport) -> None:
        made.append(self)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        connection_made(self, transport)

    monkeypatch.setattr(connections.LimitedHttpProtocol, "connection_made", note)
    with station(scene, monkeypatch, head=60, grace=60, most=5) as client, ExitStack() as lines:
        for _ in range(20):
            line = lines.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            line.connect((client.base_url.host, client.base_url.port or 0))
            line.sendall(asked)
            time.sleep(0.05)
        until(lambda: len(made) >= 20 and made[-1].transport.is_closing())
        assert 0 < len(made[-1].connections) <= 5


def test_running_requests_are_not_evicted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with station(scene, monkeypatch, head=60, most=2) as client, line_to(client) as first, line_to(client) as second:
        client.close()
        for line in (first, second):
            line.sendall(FORM % 99)
        time.sleep(0.2)
        with socket.create_connection(first.getpeername(), timeout=60) as third:
            answer = third.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After" in answer


def test_waiting_readers_do_not_block_an_operator(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.tokens = TOKENS
    asked = f"GET /v1/pictures/{64 * 'a'}/restored HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS.reader}"
    go_on = threading.Event()
    monkeypatch.setattr("clearcast.station.image_store.ImageStore.denoised", lambda *_: go_on.wait(30) and None)
    with station(scene, monkeypatch, head=60, most=10) as client, ExitStack() as lines:
        lines.callback(go_on.set)
        client.headers["Authorization"] = f"Bearer {TOKENS.operator}"
        assert client.get("/v1/counts").status_code == 200
        for _ in range(30):
            lines.enter_context(line_to(client)).sendall(f"{asked}\r\n\r\n".encode())
            time.sleep(0.02)
        assert send(client, 3)[0]["verdict"] == "ok", "on the connection that it kept"
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60) as another:
            assert send(another, 3)[0]["verdict"] == "ok", "on a new one"


def test_the_address_with_the_most_connections_is_evicted_first() -> None:
    """Tested below HTTP, because all tests come from one address."""

    class Line:
        def __init__(self, address: str, opened_at: float, *, role_level: int = 0) -> None:
            self.client, self.opened_at, self.role_level = (address, 1), opened_at, role_level

    lines = [Line("greedy", 3), Line("greedy", 2), Line("modest", 1), Line("greedy", 0, role_level=1)]
    assert connections.choose_evicted(lines, lines) is lines[1]  # type: ignore[type-var]
    assert connections.choose_evicted(lines[2:], lines) is lines[2]  # type: ignore[type-var]
    one_of_many, operator = Line("greedy", 9), Line("greedy", 0, role_level=2)
    assert connections.choose_evicted([lines[2], one_of_many], [*lines, one_of_many]) is one_of_many  # type: ignore[type-var]
    assert connections.choose_evicted([operator, lines[3]], lines) is lines[3]  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("limits", "times"),
    [({"idle_timeout": 0.2}, 0), ({"body_timeouts": (0.5, 0.5)}, 100), ({"grace": 0.2}, 100)],
    ids=("silence", "the whole request", "too slow"),
)
def test_bodies_have_timeouts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any], times: int
) -> None:
    monkeypatch.setattr(app_module, "RequestGuardMiddleware", partial(RequestGuardMiddleware, **limits))
    with station(scene, monkeypatch) as client, line_to(client) as line:
        line.sendall(FORM % 9999 + b"--b\r\n")
        with suppress(OSError):  # the other side hung up
            _drip(line, b"x", times)
        with suppress(OSError):
            assert line.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert send(client, 3)[0]["verdict"] == "ok"


def test_a_fast_upload_in_small_chunks_is_accepted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    form = httpx.Request("POST", "http://localhost", files=files_of(("a.png", picture(3)))).read()
    kind = httpx.Request("POST", "http://localhost", files=files_of(("a.png", picture(3)))).headers
    assert kind["content-type"].startswith("multipart/form-data")
    boundary = form[2 : form.index(b"\r\n")].decode()
    with station(scene, monkeypatch) as client:
        pieces = iter([form[n : n + 7] for n in range(0, len(form), 7)])
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        answer = client.post("/v1/inspect", content=pieces, headers=headers)
    assert answer.json()["inspections"][0]["verdict"] == "ok"


def test_connections_leave_file_descriptors_for_log_and_images(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    set_to = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    for soft, hard, most, raised in (
        (1024, 4096, 500, [(2000, 4096)]),
        (256, 256, 128, [(256, 256)]),
        (256, -1, 500, [(2000, -1)]),
        (65_536, 65_536, 500, []),
        (-1, -1, 500, []),
    ):
        set_to.clear()
        monkeypatch.setattr(resource, "getrlimit", lambda _, found=(soft, hard): found)
        assert max_connections(500) == most
        assert set_to == raised
    assert server._BACKLOG + 500 < 1024
