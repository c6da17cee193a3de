"""Tokens, sessions, rate limits, host and origin checks, and security headers."""

import hmac
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from clearcast.core.errors import OutputError
from clearcast.station.api import Role, StationTokens
from clearcast.station.api.access import WrongTokenLimiter
from clearcast.station.api.tokens import (
    SESSION_SECONDS,
    PageSession,
    RevokedSessions,
    create_token_file,
    is_readable_by_others,
    read_token_file,
)
from tests.station.services import grey_png
from tests.station.stations import TOKENS, StationSetup, check_problem, form_files, send_images

OPERATOR = {"Authorization": f"Bearer {TOKENS.operator}"}
READER = {"Authorization": f"Bearer {TOKENS.reader}"}
READ_PATHS = (
    *("/v1/inspections", "/v1/inspections.csv", "/v1/inspections/1", "/v1/inspections/1/pictures/noisy"),
    *("/v1/counts", "/v1/trend", "/v1/choices", "/v1/station", "/metrics"),
)
LONG = "abcdefghijklmnopqrstuvwxyz012345"
FEEDBACK = {"says": "ok", "operator": "Ana"}


@pytest.fixture
def guarded_client(station_setup: StationSetup) -> Iterator[httpx.Client]:
    """A station with tokens, reachable by others, with one inspection in its log."""
    station_setup.tokens, station_setup.hosts = TOKENS, None
    with station_setup.start() as opened:
        opened.post("/v1/inspect", files=form_files(("a.png", grey_png(9))), headers=OPERATOR).raise_for_status()
        yield opened


def test_without_a_token_nothing_is_revealed(guarded_client: httpx.Client) -> None:
    for path in READ_PATHS:
        body = check_problem(guarded_client.get(path), 401)
        assert "token" in body["detail"]
    sent = guarded_client.post("/v1/inspect", files=form_files(("a.png", grey_png(9))))
    check_problem(sent, 401)
    assert sent.headers["www-authenticate"].startswith("Bearer")
    check_problem(guarded_client.post("/v1/inspections/1/feedback", json=FEEDBACK), 401)


def test_the_page_and_health_need_no_token(guarded_client: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert guarded_client.get(path).status_code == 200


def test_reasons_of_unreadiness_require_a_token(station_setup: StationSetup) -> None:
    station_setup.tokens = TOKENS
    station_setup.bundle_loader.bundles.clear()
    with station_setup.start(ready=False) as client:
        assert check_problem(client.get("/readyz"), 503)["reasons"] == []
        assert "bundle" in check_problem(client.get("/readyz", headers=READER), 503)["detail"]


def test_a_reader_only_views_and_an_operator_also_acts(guarded_client: httpx.Client) -> None:
    for path in READ_PATHS:
        assert guarded_client.get(path, headers=READER).status_code == 200
        assert guarded_client.get(path, headers=OPERATOR).status_code == 200
    for headers, status in ((READER, 403), (OPERATOR, 201)):
        assert guarded_client.post("/v1/inspections/1/feedback", json=FEEDBACK, headers=headers).status_code == status
    assert (
        guarded_client.post("/v1/inspect", files=form_files(("a.png", grey_png(9))), headers=READER).status_code == 403
    )
    assert guarded_client.get("/v1/station", headers=READER).json()["role"] == "reader"
    assert guarded_client.get("/v1/station", headers=OPERATOR).json()["role"] == "operator"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer wrong",
        f"Basic {TOKENS.operator}",
        TOKENS.operator,
        f"Bearer {TOKENS.operator[:-1]}",
        f"Bearer {TOKENS.operator}x",
        "",
        "Bearer \u00e9",
    ],
)
def test_other_tokens_are_rejected(guarded_client: httpx.Client, header: str) -> None:
    check_problem(guarded_client.get("/v1/counts", headers={b"Authorization": header.encode("latin-1")}), 401)


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared, original = [], hmac.compare_digest

    def compare(given: bytes, right: bytes) -> bool:
        compared.append(right)
        return original(given, right)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for token in (TOKENS.operator, TOKENS.reader, "x"):
        TOKENS.role_of(token)

    assert compared == 3 * [TOKENS.operator.encode(), TOKENS.reader.encode()]


def test_the_page_signs_in_once_with_a_token(guarded_client: httpx.Client) -> None:
    check_problem(guarded_client.post("/v1/session", json={"token": "wrong"}), 401)
    begun = guarded_client.post("/v1/session", json={"token": TOKENS.reader})
    cookie = begun.headers["set-cookie"]

    assert begun.status_code == 204
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKENS.reader not in cookie
    assert guarded_client.get("/v1/station").json()["role"] == "reader"
    check_problem(guarded_client.post("/v1/inspections/1/feedback", json=FEEDBACK), 403)
    assert guarded_client.delete("/v1/session").status_code == 204
    check_problem(guarded_client.get("/v1/station"), 401)


def test_signing_out_revokes_copies_of_the_cookie_also_after_a_restart(station_setup: StationSetup) -> None:
    station_setup.tokens = TOKENS
    with station_setup.start() as client:
        client.post("/v1/session", json={"token": TOKENS.reader})
        ((name, value),) = client.cookies.items()
        copy = {"Cookie": f"{name}={value}"}
        other = client.post("/v1/session", json={"token": TOKENS.reader}).headers["set-cookie"].partition(";")[0]
        client.cookies.clear()
        assert client.get("/v1/counts", headers=copy).status_code == 200
        assert client.delete("/v1/session", headers=copy).status_code == 204
        check_problem(client.get("/v1/counts", headers=copy), 401)
        assert client.get("/v1/counts", headers={"Cookie": other}).status_code == 200, "another session stays valid"

    session = TOKENS.parse_session(value)
    assert session
    assert session in RevokedSessions(station_setup.folder / "signed-out")
    kept = TOKENS.parse_session(other.partition("=")[2])
    assert kept
    assert kept not in RevokedSessions(station_setup.folder / "signed-out")


def test_revocations_expire_with_their_sessions_and_survive_damage(tmp_path: Path) -> None:
    path = tmp_path / "signed-out"
    old = PageSession(role=Role.READER, ends=int(time.time()) - 1, number="a1")
    new = PageSession(role=Role.READER, ends=int(time.time()) + 100, number="b2")
    revoked = RevokedSessions(path)
    revoked.add(old)
    revoked.add(new)

    assert path.read_text() == f"b2 {new.ends}\n"
    damage = b"no such file\nb2 %d\n\xff\nc3 %b\nd4 12"
    path.write_bytes(damage % (new.ends, 5000 * b"9"))
    damaged = RevokedSessions(path)
    assert new in damaged, "a damaged line costs only itself"
    damaged.add(replace(new, number="e5"))
    assert path.read_text() == f"b2 {new.ends}\ne5 {new.ends}\n"


def test_revocations_are_appended_and_expired_ones_removed(tmp_path: Path) -> None:
    path = tmp_path / "signed-out"
    revoked = RevokedSessions(path)
    now = int(time.time())
    for number in range(2500):
        revoked.add(PageSession(role=Role.READER, ends=now + (100 if number % 5 == 0 else -1), number=f"{number:x}"))
    kept = RevokedSessions(path)
    for number in range(0, 2500, 5):
        session = PageSession(role=Role.READER, ends=now + 100, number=f"{number:x}")
        assert session in revoked
        assert session in kept
    assert len(path.read_text().splitlines()) < 1500


def test_a_revocation_that_could_not_be_written_is_written_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "signed-out"
    first, second, third = (
        PageSession(role=Role.READER, ends=int(time.time()) + 100, number=n) for n in ("a", "b", "c")
    )
    revoked = RevokedSessions(path)
    revoked.add(first)
    path.unlink()
    path.mkdir()
    revoked.add(second)
    assert second in revoked
    path.rmdir()
    revoked.add(third)
    assert all(session in RevokedSessions(path) for session in (first, second, third))


def test_sessions_of_readers_are_limited_without_affecting_operators(guarded_client: httpx.Client) -> None:
    login = {"token": TOKENS.reader}
    begun = [guarded_client.post("/v1/session", json=login) for _ in range(201)]
    assert {response.status_code for response in begun[:200]} == {204}
    check_problem(begun[200], 429)
    assert 0 < int(begun[200].headers["retry-after"]) <= 18
    assert guarded_client.post("/v1/session", json={"token": TOKENS.operator}).status_code == 204


@pytest.mark.parametrize("named", ["{}", "x" * 1000 + "{}", "fe80::1%{}"], ids=("number", "long", "zone"))
def test_invalid_client_addresses_share_one_limit(guarded_client: httpx.Client, named: str) -> None:
    attempts = [
        guarded_client.get("/v1/counts", headers={"Authorization": "Bearer x", "X-Forwarded-For": named.format(n)})
        for n in range(12)
    ]
    assert [response.status_code for response in attempts] == 10 * [401] + 2 * [429]


def test_guessing_tokens_is_slowed_down_and_valid_ones_are_never_locked_out(guarded_client: httpx.Client) -> None:
    attempts = [guarded_client.get("/v1/counts", headers={"Authorization": f"Bearer {n}"}) for n in range(15)]
    signing_in = guarded_client.post("/v1/session", json={"token": "wrong"})

    assert [response.status_code for response in attempts] == 10 * [401] + 5 * [429]
    waits = [int(response.headers["retry-after"]) for response in (*attempts[10:], signing_in)]
    assert waits == [2, 4, 8, 16, 32, 64]
    check_problem(signing_in, 429)
    for headers in (READER, OPERATOR):
        assert guarded_client.get("/v1/counts", headers=headers).status_code == 200
    assert guarded_client.post("/v1/session", json={"token": TOKENS.reader}).status_code == 204
    assert guarded_client.get("/v1/counts").status_code == 200


def test_many_addresses_do_not_guess_faster_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    failed = WrongTokenLimiter()
    waits = [failed.add(f"10.0.{n // 256}.{n % 256}") for n in range(300)]
    assert not any(waits[:200])
    assert all(waits[200:])
    now += 61
    assert failed.add("10.9.9.9") == 0

    waits = [failed.add("10.0.0.1") for _ in range(40)]
    assert max(waits) == 300
    now += 1000
    assert failed.add("10.0.0.1") == 0, "it is reset"


def test_a_session_expires_and_cannot_be_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    session = TOKENS.create_session(Role.READER)
    role, ends, number, mark = session.split(".")
    parsed = TOKENS.parse_session(session)

    assert parsed
    assert (parsed.role, parsed.number) == (Role.READER, number)
    assert TOKENS.create_session(Role.READER) != session
    for forged in (
        f"operator.{ends}.{number}.{mark}",
        f"{role}.{int(ends) + 1}.{number}.{mark}",
        f"{role}.{ends}.{number[:-1]}.{mark}",
        f"{role}.{ends}.\ud800.{mark}",
        f"{role}.{ends}.{number}.{mark[:-1]}",
        f"{role}.{ends}.{mark}",
        f"{role}.{ends}.{number}.",
        f"{role}..{number}.{mark}",
        f"nobody.{ends}.{number}.{mark}",
        f"{role}.\u0663.{number}.{mark}",
        "",
        "...",
    ):
        assert TOKENS.parse_session(forged) is None
    assert StationTokens(operator=TOKENS.operator, reader="another token, quite long").parse_session(session) is None
    late = int(ends) + 1
    monkeypatch.setattr(time, "time", lambda: late)
    assert TOKENS.parse_session(session) is None
    assert late > SESSION_SECONDS


def test_a_token_file_is_created_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "tokens"
    made = create_token_file(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert not is_readable_by_others(path)
    assert read_token_file(path) == made
    assert made.operator != made.reader
    assert min(len(made.operator), len(made.reader)) >= 43
    with pytest.raises(OutputError, match="cannot create"):
        create_token_file(path)
    assert read_token_file(path) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "operator: short\nreader: alsoshort",
        f"operator: {LONG}",
        f"operator: {LONG}\nreader: {LONG}",
        f"operator: {LONG}\nreader: {LONG[:31]}",
        f"operator: {LONG}\nreader: {'abcdefg' * 6}",
    ],
)
def test_an_invalid_token_file_is_rejected(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)

    with pytest.raises(OutputError, match="two different tokens of at least 32 random characters"):
        read_token_file(path)


@pytest.mark.parametrize(
    ("operator", "cause"),
    [
        ("", "the operator is missing"),
        (LONG[:31], "has 31 characters"),
        (8 * "abcd", "only 4 different characters"),
        (LONG + "!", "are the same"),
    ],
)
def test_a_rejected_token_file_reports_the_cause(tmp_path: Path, operator: str, cause: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"operator: {operator}\nreader: {LONG}!\n")
    with pytest.raises(OutputError, match=cause):
        read_token_file(path)


def test_random_hexadecimal_tokens_are_accepted(tmp_path: Path) -> None:
    draw = random.Random(5)
    for _ in range(300):
        operator, reader = (f"{draw.getrandbits(128):032x}" for _ in range(2))
        (tmp_path / "tokens").write_text(f"operator: {operator}\nreader: {reader}\n")
        assert read_token_file(tmp_path / "tokens") == StationTokens(operator=operator, reader=reader)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.", "[::2]"])
def test_a_local_station_rejects_other_host_names(client: httpx.Client, host: str) -> None:
    body = check_problem(client.get("/v1/inspections", headers={"Host": host}), 403)
    assert "localhost" in body["detail"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]"])
def test_a_local_station_accepts_its_own_host_names(client: httpx.Client, host: str) -> None:
    assert client.get("/v1/inspections", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_of_another_origin_are_rejected(client: httpx.Client, headers: dict[str, str]) -> None:
    (result,) = send_images(client, 9)
    for method, path in (
        ("POST", "/v1/inspect"),
        ("POST", f"/v1/inspections/{result['id']}/feedback"),
        ("POST", "/v1/session"),
        ("DELETE", "/v1/session"),
    ):
        check_problem(client.request(method, path, headers=headers, json=FEEDBACK), 403)
    assert client.get("/v1/counts").json()["inspections"] == 1


def test_requests_of_the_same_origin_are_accepted(client: httpx.Client) -> None:
    (result,) = send_images(client, 9)
    own = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}

    response = client.post(f"/v1/inspections/{result['id']}/feedback", headers=own, json=FEEDBACK)

    assert response.status_code == 201
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://line.example", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "https://line.example", "X-Forwarded-Host": "line.example"}, 201),
        ({"Origin": "https://evil.example", "X-Forwarded-Host": "line.example"}, 403),
        ({"Origin": "https://line.example"}, 403),
        ({"Origin": "https://line.example", "Sec-Fetch-Site": "cross-site", "X-Forwarded-Host": "line.example"}, 403),
    ],
)
def test_requests_of_the_page_behind_a_proxy_with_another_host_are_accepted(
    client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    (result,) = send_images(client, 9)
    response = client.post(f"/v1/inspections/{result['id']}/feedback", headers=headers, json=FEEDBACK)
    assert response.status_code == status


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/v1/inspections", "/v1/nothing", "/openapi.json", "/healthz", "/metrics"]
)
def test_every_response_has_security_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] in {"no-store", "no-cache"}
    assert "server" not in headers


def test_the_documentation_loads_nothing_from_other_hosts(client: httpx.Client) -> None:
    page = client.get("/docs").text

    assert "//" not in page
    assert "<script>" not in page
    for path in ("docs/swagger/swagger-ui-bundle.js", "docs/swagger/swagger-ui.css", "docs/page/start.js"):
        assert f'"{path}"' in page
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../api/app.py",
        "/static/..%2fapi%2fapp.py",
        "/static/%2e%2e/api/app.py",
        "/static//etc/passwd",
        "/static/..\\..\\records.py",
        "/docs/page/../../app.py",
        "/docs/swagger/../core.py",
        "/static/%00",
        "/static/" + "a" * 5000,
        "/v1/inspections/1/pictures/..%2f..%2fnoisy",
    ],
)
def test_path_traversal_is_rejected(client: httpx.Client, path: str) -> None:
    host, port = client.base_url.host, client.base_url.port
    with socket.create_connection(
        (host, port or 80), timeout=60
    ) as sock:  # raw, since a client would normalise the path
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        response = sock.makefile("rb").read()

    assert response.split(b" ", 2)[1] in {b"404", b"422"}, response[:200]
    assert b"import" not in response
