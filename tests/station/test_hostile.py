"""Hostile input to a real station with a real bundle: no 500, no hang, no crash."""

import re
import socket
from collections.abc import Iterator
from functools import cache
from http.client import BadStatusLine, HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.core import image_bombs
from tests.station.hostile_files import encode_image, hostile_files, random_pixels
from tests.station.running import StationProcess, running_station

_ALLOWED_STATUSES = {200, 413, 415, 422}
_BOUNDARY = b"----frontier"
_IMAGE = encode_image(random_pixels(64, 64), "PNG")
KINDS = tuple(hostile_files())
NAMES = (
    "../../../../etc/passwd",
    "..\\..\\Windows\\win.ini",
    "/etc/shadow",
    "C:\\boot.ini",
    "file:///etc/passwd",
    "..",
    ".",
    "/",
    "",
    " ",
    "con.png",
    "a\tb.png",
    "<img src=x onerror=alert(1)>.png",
    '"><script>alert(1)</script>',
    "=cmd|' /C calc'!A0",
    "+1+1.png",
    "@SUM(1).png",
    "'; DROP TABLE inspections; --.png",
    "{{7*7}}${7*7}%s%n.png",
    "%00%2e%2e%2f.png",
    "gepruft\u202egnp.exe",
    "zero\u200bwidth.png",
    "\u00e4\u00f6\u00fc \u4f8b \U0001f600.png",
    "n" * 3000 + ".png",
    "a/" * 2000,
)


@pytest.fixture(scope="module")
def station(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StationProcess]:
    folder = tmp_path_factory.mktemp("hostile")
    with running_station(bundle, folder) as started:
        yield started
        with started.client() as client:
            good = client.post("/v1/inspect", files={"files": ("good.png", _IMAGE)})
            assert good.json()["inspections"][0]["verdict"] in {"ok", "defect", "retake"}
        assert started.stop() == 0
    assert "Traceback" not in started.read_output()


@pytest.fixture
def client(station: StationProcess) -> Iterator[httpx.Client]:
    """Check after every test that the station works, so that the test that broke it is known."""
    with station.client() as opened:
        yield opened
        assert opened.get("/readyz").status_code == 200


@cache
def _hostile_files() -> dict[str, bytes]:
    return hostile_files()


def _check_inspections(client: httpx.Client, response: httpx.Response) -> list[dict[str, Any]]:
    """The inspections of a response; all must be in the log, with valid images."""
    inspections: list[dict[str, Any]] = response.json()["inspections"]
    for result in inspections:
        assert client.get(f"/v1/inspections/{result['id']}").json() == result
        assert bool(result["error"]) is (result["verdict"] is None)
        for kind in ("noisy", "restored", "heat", "thumbnail"):
            image = client.get(f"/v1/inspections/{result['id']}/pictures/{kind}")
            assert image.status_code in {200, 410}
            if image.status_code == 200:
                assert image.headers["content-type"] in {"image/jpeg", "image/png", "image/webp"}
                assert image.headers["x-content-type-options"] == "nosniff"
                assert "sandbox" in image.headers["content-security-policy"]
            assert result["pictures"][kind] is None or image.status_code == 200
    return inspections


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files(client: httpx.Client, kind: str) -> None:
    response = client.post(
        "/v1/inspect", files={"files": ("file.jpg", _hostile_files()[kind], "image/jpeg")}, data={"station": kind}
    )

    assert response.status_code in _ALLOWED_STATUSES, response.text
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"
    (result,) = _check_inspections(client, response)
    assert (response.status_code == 200) is (result["error"] == "")
    assert "/" not in result["error"].replace("8-bit grey or RGB", ""), "an error shows no path"


BAD = {
    "palette without colours": image_bombs.damaged_files()["palette without colours"],
    "bomb": image_bombs.decompression_bombs()["tiff: tags share a block"],
    "two pages": image_bombs.files_of_several_images()["tiff of two pages"][0],
    "cut": _IMAGE[: len(_IMAGE) // 2],
    "text": b"just a note",
}


@pytest.mark.parametrize("kind", BAD)
def test_an_invalid_file_does_not_affect_the_others_of_a_request(client: httpx.Client, kind: str) -> None:
    files = [("files", ("first.png", _IMAGE)), ("files", ("bad.png", BAD[kind])), ("files", ("last.png", _IMAGE))]

    response = client.post("/v1/inspect", files=files)

    assert response.status_code == 200, response.text
    first, bad, last = _check_inspections(client, response)
    assert first["verdict"]
    assert last["verdict"]
    assert bad["error"].startswith("bad.png: ")


def test_a_multi_page_file_reports_its_pages(client: httpx.Client) -> None:
    for kind, (data, count) in image_bombs.files_of_several_images().items():
        response = client.post("/v1/inspect", files={"files": ("a.tif", data)})
        assert response.status_code == 422, kind
        assert f"with {count}, of which only one" in response.json()["detail"], kind


@pytest.mark.parametrize("shape", [(16, 65_600), (65_600, 16)])
def test_an_image_too_large_for_jpeg_gets_a_verdict(client: httpx.Client, shape: tuple[int, int]) -> None:
    response = client.post("/v1/inspect", files={"files": ("long.png", encode_image(random_pixels(*shape), "PNG"))})

    assert response.status_code == 200, response.text
    (result,) = _check_inspections(client, response)
    assert result["verdict"]
    for kind in ("noisy", "restored", "heat", "thumbnail"):
        assert client.get(f"/v1/inspections/{result['id']}/pictures/{kind}").status_code == 200, kind


def test_a_file_that_is_not_an_image_is_reported(client: httpx.Client) -> None:
    none = KINDS[1 : KINDS.index("jpeg and html")]
    statuses = {
        kind: client.post("/v1/inspect", files={"files": ("a", _hostile_files()[kind])}).status_code for kind in none
    }

    assert len(none) > 15
    assert set(statuses.values()) == {415}, statuses


def test_decompression_bombs_are_not_unpacked(client: httpx.Client) -> None:
    for kind in ("png that claims all", "png bomb", "bmp that claims all", "jpeg that claims all"):
        assert client.post("/v1/inspect", files={"files": ("a", _hostile_files()[kind])}).status_code in {413, 422}, (
            kind
        )


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_hostile_names(station: StationProcess, client: httpx.Client, name: str) -> None:
    response = _send_raw(station, _form((name.replace('"', "%22"), _IMAGE)))
    (result,) = client.get("/v1/inspections?limit=1").json()["inspections"]

    assert response == 200
    assert len(result["name"]) <= 255
    assert result["name"].isprintable()
    assert result["name"]
    assert not set(result["name"]) & {"/", "\\"}
    table = client.get("/v1/inspections.csv").text
    assert not re.search(r"(^|,)\"?[=+@-]", table.split("\n")[1])


def _part(name: bytes, data: bytes, field: bytes = b"files") -> bytes:
    return (
        b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\n' % (_BOUNDARY, field, name)
        + b"Content-Type: image/png\r\n\r\n%b\r\n" % data
    )


def _form(*pictures: tuple[str, bytes]) -> bytes:
    body = b"".join(_part(name.encode(), data) for name, data in pictures) + b"--%b--\r\n" % _BOUNDARY
    return _request(body)


def _request(body: bytes, *headers: bytes, boundary: bytes = _BOUNDARY, length: bytes | None = None) -> bytes:
    length_header = b"Content-Length: %d" % len(body) if length is None else length
    kind = b"Content-Type: multipart/form-data; boundary=%b" % boundary
    lines = [b"POST /v1/inspect HTTP/1.1", b"Host: localhost", kind, length_header, *headers]
    return b"\r\n".join(line for line in lines if line) + b"\r\n\r\n" + body


def _send_raw(station: StationProcess, data: bytes, *, hang_up: bool = False) -> int | None:
    """Send raw bytes; returns the status of the response, None if the connection was closed without one."""
    with socket.create_connection(("127.0.0.1", station.port), timeout=120) as sock:
        try:
            sock.sendall(data)
            if hang_up:
                return None
            response = HTTPResponse(sock)
            response.begin()
            return response.status
        except (BadStatusLine, BrokenPipeError, ConnectionResetError):  # the server closed it early
            return None


def _chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


_WHOLE = _part(b"a.png", _IMAGE) + b"--%b--\r\n" % _BOUNDARY
_CHUNKED = b"Transfer-Encoding: chunked"
REQUESTS: dict[str, tuple[bytes, set[int | None]]] = {
    "chunked, without a length": (_request(_chunked(_WHOLE[:99], _WHOLE[99:]), length=_CHUNKED), {200}),
    "chunked in single bytes": (_request(_chunked(*(bytes([b]) for b in _WHOLE)), length=_CHUNKED), {200}),
    "chunked, of no size": (_request(b"zz\r\nabc\r\n0\r\n\r\n", length=_CHUNKED), {400, None}),
    "chunked, of negative size": (_request(b"-5\r\nabc\r\n0\r\n\r\n", length=_CHUNKED), {400, None}),
    "two lengths": (_request(_WHOLE, b"Content-Length: 5"), {400, None}),
    "length and chunked": (_request(_chunked(_WHOLE), b"Content-Length: 5", length=_CHUNKED), {400, 422, None, 200}),
    "negative length": (_request(_WHOLE, length=b"Content-Length: -1"), {400, None}),
    "huge length": (_request(_WHOLE, length=b"Content-Length: 99999999999999"), {413}),
    "absurd length": (_request(_WHOLE, length=b"Content-Length: " + b"9" * 400), {400, 413, None}),
    "no number as length": (_request(_WHOLE, length=b"Content-Length: many"), {400, None}),
    "too short a length": (_request(_WHOLE, length=b"Content-Length: 40"), {400, 422}),
    "no length and no body": (_request(b"", length=b""), {400, 422}),
    "no boundary": (_request(_WHOLE).replace(b"; boundary=" + _BOUNDARY, b""), {400}),
    "another boundary": (_request(_WHOLE, boundary=b"other"), {400, 422}),
    "boundary of one sign": (_request(_WHOLE, boundary=b"-"), {400, 422}),
    "endless boundary": (_request(_WHOLE, boundary=b"b" * 30_000), {400, 422}),
    "never ending": (_request(_part(b"a.png", _IMAGE)), {200, 400, 422}),
    "cut in a head": (_request(_WHOLE[:60]), {400, 422}),
    "no name": (_request(_WHOLE.replace(b'name="files"; ', b"")), {400}),
    "no disposition": (_request(_WHOLE.replace(b"Content-Disposition", b"X-Nothing")), {400, 422}),
    "another field": (_request(_WHOLE.replace(b'"files"', b'"file"')), {422}),
    "field of odd bytes": (_request(_WHOLE.replace(b'"files"', b'"\xff\xfe\x00"')), {400, 422}),
    "not a file": (_request(_WHOLE.replace(b'; filename="a.png"', b"")), {400, 422}),
    "odd bytes in the name": (_request(_WHOLE.replace(b"a.png", b"\xff\xfe\xc3.png")), {200}),
    "nul in the name": (_request(_WHOLE.replace(b"a.png", b"a\0b.png")), {200, 400}),
    "an endless name": (_request(_WHOLE.replace(b"a.png", b"n" * 1_000_000)), {200, 400}),
    "an endless head": (_request(_WHOLE.replace(b"image/png", b"x" * 3_000_000)), {200, 400}),
    "10,000 heads": (_request(_WHOLE.replace(b"image/png", b"x" + b"\r\nX: y" * 10_000)), {200, 400}),
    "a strange charset": (_request(_WHOLE, boundary=_BOUNDARY + b"; charset=rot13"), {200, 400}),
    "another strange charset": (_request(_WHOLE, boundary=_BOUNDARY + b"; charset=zlib"), {200, 400}),
    "33 files": (_form(*((f"{n}.png", b"x") for n in range(33))), {413}),
    "3,000 files": (_form(*((f"{n}.png", b"x") for n in range(3000))), {400, 413}),
    "100 fields": (_request(_WHOLE.replace(b"; filename", b"; x") * 1 + _part(b"", b"") * 100), {400, 413, 422}),
    "a huge field": (_request(_part(b"a", bytes(2_000_000)).replace(b'; filename="a"', b"")), {422}),
    "a station of a file": (_request(_part(b"a.png", _IMAGE, b"station") + _WHOLE), {422}),
    "forms in a form": (_request(_part(b"a.png", _WHOLE)), {200, 400, 415, 422}),
    "said to be zipped": (_request(_WHOLE, b"Content-Encoding: gzip"), {200, 415}),
    "json": (_request(b'{"files": []}').replace(b"multipart/form-data", b"application/json"), {415}),
    "deep json": (
        _request(b"[" * 60_000)
        .replace(b"multipart/form-data", b"application/json")
        .replace(b"/v1/inspect", b"/v1/inspections/1/feedback"),
        {400, 422},
    ),
    "half a letter in json": (
        _request(b'{"says": "ok", "note": "\\ud800"}')
        .replace(b"multipart/form-data", b"application/json")
        .replace(b"/v1/inspect", b"/v1/inspections/1/feedback"),
        {422},
    ),
    "nul in json": (
        _request(b'{"says": "ok", "note": "\\u0000"}')
        .replace(b"multipart/form-data", b"application/json")
        .replace(b"/v1/inspect", b"/v1/inspections/1/feedback"),
        {422},
    ),
    "a header of 1 MB": (_request(_WHOLE, b"X-Long: " + b"y" * 1_000_000), {400, 431, None}),
    "100,000 headers": (_request(_WHOLE, *(b"X-%d: y" % n for n in range(100_000))), {400, 431, None}),
    "nul in a header": (_request(_WHOLE, b"X-Nul: a\0b"), {400, None}),
    "a line of 1 MB": (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 414, None}),
    "no http": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(300), {400, None}),
    "no host": (_request(_WHOLE).replace(b"Host: localhost\r\n", b""), {400}),
    "http of another kind": (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", {200, 400, 505, None}),
    "a web socket": (
        b"GET /v1/inspect HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
        b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        {400, 403, 405, None},
    ),
    "a proxy's address": (
        b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        {404},
    ),
    "huge id": (
        b"GET /v1/inspections/%b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (b"9" * 4000),
        {422},
    ),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_hostile_requests(station: StationProcess, client: httpx.Client, kind: str) -> None:
    data, allowed = REQUESTS[kind]

    assert client.get("/healthz").status_code == 200
    assert _send_raw(station, data) in allowed


@pytest.mark.parametrize("part", [10, 200, 400, 3000])
def test_senders_who_disconnect(station: StationProcess, client: httpx.Client, part: int) -> None:
    data = _form(("a.png", encode_image(random_pixels(300, 300), "PNG")))

    _send_raw(station, data[:part], hang_up=True)
    _send_raw(station, data, hang_up=True)

    assert client.get("/healthz").status_code == 200


def test_an_endless_body_is_rejected_while_it_streams_in(station: StationProcess, client: httpx.Client) -> None:
    """It has no Content-Length, and far exceeds the memory limit."""

    def endless() -> Iterator[bytes]:
        yield _part(b"a.png", _IMAGE)[:-2]
        for _ in range(5000):
            yield bytes(65_536)

    before = station.memory()
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY.decode()}"}
    response = client.post("/v1/inspect", content=endless(), headers=headers)

    assert response.status_code == 413
    assert station.memory() - before < 100_000_000
