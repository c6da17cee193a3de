"""Timeouts and eviction of connections and requests."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import httpx
import pytest

from clearcast.station.api import app as app_module
from clearcast.station.api import connections, server
from clearcast.station.api.connections import ConnectionLimits, max_connections
from clearcast.station.api.middleware import RequestGuardMiddleware
from clearcast.station.api.server import make_server
from tests.station.services import grey_png
from tests.station.stations import (
    TOKENS,
    StationSetup,
    form_files,
    send_images,
    serving,
    wait_until,
)

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
FORM = (
    b"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
)


@contextmanager
def start_station(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch, **limits: float
) -> Iterator[httpx.Client]:
    monkeypatch.setattr(connections, "_CHECK_SECONDS", 0.02)
    limited = ConnectionLimits(**{"head": 0.3, "grace": 0.3, **limits})  # type: ignore[arg-type]
    monkeypatch.setattr("tests.station.stations.make_server", partial(make_server, limits=limited))
    with serving(station_setup.station()) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        yield client


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60)


def is_closed(sock: socket.socket) -> bool:
    """Wait for the other side to close the connection; whether it does."""
    try:
        while sock.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def is_usable(sock: socket.socket) -> bool:
    """Whether a request on a connection gets a response."""
    sock.sendall(HEAD)
    response = b""
    while not response.endswith(b"}"):
        response += sock.recv(4096)
    return response.startswith(b"HTTP/1.1 200")


def _send_slowly(sock: socket.socket, chunk: bytes, times: int = 3000) -> None:
    for _ in range(times):
        sock.sendall(chunk)
        time.sleep(0.02)


@pytest.mark.parametrize("beginning", [b"", b"G", HEAD[:-4]])
def test_an_incomplete_head_ends_the_connection(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    with start_station(station_setup, monkeypatch) as client, connect(client) as sock:
        sock.sendall(beginning)
        assert is_closed(sock)


@pytest.mark.parametrize("rest", [b"GET /he", b""])
def test_bytes_after_a_request_have_the_same_timeout(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    """The rest of an unread body, or the start of another request."""
    body = b"" if rest else FORM.replace(b"/v1/inspect", b"/v1/nothing") % 99
    with start_station(station_setup, monkeypatch) as client, connect(client) as sock:
        sock.sendall((body or HEAD) + rest)
        assert is_closed(sock)


def test_single_head_bytes_do_not_extend_the_timeout(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        start_station(station_setup, monkeypatch) as client,
        connect(client) as sock,
        pytest.raises((BrokenPipeError, ConnectionResetError)),
    ):
        _send_slowly(sock, b"G")


def test_an_idle_keep_alive_connection_stays_open(station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_station(station_setup, monkeypatch) as client, connect(client) as sock:
        for _ in range(3):
            assert is_usable(sock)
            time.sleep(0.5)


def test_a_response_that_is_not_read_is_aborted(station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_station(station_setup, monkeypatch) as client, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.settimeout(60)
        sock.connect((client.base_url.host, client.base_url.port or 0))
        request = b"GET /docs/swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            _send_slowly(sock, request)


def test_a_slow_reader_gets_the_whole_response(station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_station(station_setup, monkeypatch, grace=0.1, rate=1000) as client, connect(client) as sock:
        sock.sendall(b"GET /docs/swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = 0
        while chunk := sock.recv(65_536):
            received += len(chunk)
            time.sleep(0.02)
        assert received > 1_000_000


def test_idle_connections_are_evicted_for_new_ones(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_station(station_setup, monkeypatch, head=60, most=10) as client, ExitStack() as sockets:
        send_images(client, 1)
        idle = [sockets.enter_context(connect(client)) for _ in range(100)]
        assert send_images(client, 3)[0]["verdict"] == "ok"
        assert is_closed(idle[0])
        assert is_usable(idle[-1]), "the latest stay open"


def test_incomplete_requests_without_a_token_are_evicted(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    station_setup.tokens = TOKENS
    incomplete = b"POST /v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"
    with start_station(station_setup, monkeypatch, head=60, most=10) as client, ExitStack() as sockets:
        client.headers["Authorization"] = f"Bearer {TOKENS.reader}"
        assert client.get("/v1/counts").status_code == 200
        for start in (incomplete, FORM % 99):
            for _ in range(30):
                with suppress(OSError):  # it was evicted already
                    sockets.enter_context(connect(client)).sendall(start)
        with suppress(httpx.ReadError):  # its idle connection may have been evicted: then a client retries
            client.get("/healthz")
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/counts").status_code == 200


def test_closing_connections_with_unread_data_count(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold a file descriptor until their response is read."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    protocols: list[connections.LimitedHttpProtocol] = []
    connection_made = connections.LimitedHttpProtocol.connection_made

    def record_protocol(self: connections.LimitedHttpProtocol, transport: asyncio.BaseTransport) -> None:
        protocols.append(self)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        connection_made(self, transport)

    monkeypatch.setattr(connections.LimitedHttpProtocol, "connection_made", record_protocol)
    with start_station(station_setup, monkeypatch, head=60, grace=60, most=5) as client, ExitStack() as sockets:
        for _ in range(20):
            sock = sockets.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.connect((client.base_url.host, client.base_url.port or 0))
            sock.sendall(request)
            time.sleep(0.05)
        wait_until(lambda: len(protocols) >= 20 and protocols[-1].transport.is_closing())
        assert 0 < len(protocols[-1].connections) <= 5


def test_running_requests_are_not_evicted(station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        start_station(station_setup, monkeypatch, head=60, most=2) as client,
        connect(client) as first,
        connect(client) as second,
    ):
        client.close()
        for sock in (first, second):
            sock.sendall(FORM % 99)
        time.sleep(0.2)
        with socket.create_connection(first.getpeername(), timeout=60) as third:
            response = third.recv(4096)
        assert response.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After" in response


def test_waiting_readers_do_not_block_an_operator(station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    station_setup.tokens = TOKENS
    request = (
        f"GET /v1/pictures/{64 * 'a'}/restored HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS.reader}"
    )
    resume = threading.Event()
    monkeypatch.setattr("clearcast.station.image_store.ImageStore.denoised", lambda *_: resume.wait(30) and None)
    with start_station(station_setup, monkeypatch, head=60, most=10) as client, ExitStack() as sockets:
        sockets.callback(resume.set)
        client.headers["Authorization"] = f"Bearer {TOKENS.operator}"
        assert client.get("/v1/counts").status_code == 200
        for _ in range(30):
            sockets.enter_context(connect(client)).sendall(f"{request}\r\n\r\n".encode())
            time.sleep(0.02)
        assert send_images(client, 3)[0]["verdict"] == "ok", "on the connection that it kept"
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60) as another:
            assert send_images(another, 3)[0]["verdict"] == "ok", "on a new one"


def test_the_address_with_the_most_connections_is_evicted_first() -> None:
    """Tested below HTTP, because all tests come from one address."""

    class FakeConnection:
        def __init__(self, address: str, opened_at: float, *, role_level: int = 0) -> None:
            self.client, self.opened_at, self.role_level = (address, 1), opened_at, role_level

    fakes = [
        FakeConnection("greedy", 3),
        FakeConnection("greedy", 2),
        FakeConnection("modest", 1),
        FakeConnection("greedy", 0, role_level=1),
    ]
    assert connections.choose_evicted(fakes, fakes) is fakes[1]  # type: ignore[type-var]
    assert connections.choose_evicted(fakes[2:], fakes) is fakes[2]  # type: ignore[type-var]
    one_of_many, operator = FakeConnection("greedy", 9), FakeConnection("greedy", 0, role_level=2)
    assert connections.choose_evicted([fakes[2], one_of_many], [*fakes, one_of_many]) is one_of_many  # type: ignore[type-var]
    assert connections.choose_evicted([operator, fakes[3]], fakes) is fakes[3]  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("limits", "times"),
    [({"idle_timeout": 0.2}, 0), ({"body_timeouts": (0.5, 0.5)}, 100), ({"grace": 0.2}, 100)],
    ids=("silence", "the whole request", "too slow"),
)
def test_bodies_have_timeouts(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any], times: int
) -> None:
    monkeypatch.setattr(app_module, "RequestGuardMiddleware", partial(RequestGuardMiddleware, **limits))
    with start_station(station_setup, monkeypatch) as client, connect(client) as sock:
        sock.sendall(FORM % 9999 + b"--b\r\n")
        with suppress(OSError):  # the server closed the connection
            _send_slowly(sock, b"x", times)
        with suppress(OSError):
            assert sock.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert send_images(client, 3)[0]["verdict"] == "ok"


def test_a_fast_upload_in_small_chunks_is_accepted(
    station_setup: StationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = httpx.Request("POST", "http://localhost", files=form_files(("a.png", grey_png(3)))).read()
    kind = httpx.Request("POST", "http://localhost", files=form_files(("a.png", grey_png(3)))).headers
    assert kind["content-type"].startswith("multipart/form-data")
    boundary = form[2 : form.index(b"\r\n")].decode()
    with start_station(station_setup, monkeypatch) as client:
        chunks = iter([form[n : n + 7] for n in range(0, len(form), 7)])
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        response = client.post("/v1/inspect", content=chunks, headers=headers)
    assert response.json()["inspections"][0]["verdict"] == "ok"


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
