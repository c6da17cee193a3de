import hmac
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from desks import picture
from stations import TOKENS, Scene, files_of, problem_of, scene_in, send

from clearcast.errors import OutputError
from clearcast.station.api import Role, Tokens
from clearcast.station.api.tokens import SESSION_SECONDS, make_tokens, others_can_read, read_tokens

OPERATOR = {"Authorization": f"Bearer {TOKENS.operator}"}
READER = {"Authorization": f"Bearer {TOKENS.reader}"}
ASKING = (
    *("/v1/inspections", "/v1/inspections.csv", "/v1/inspections/1", "/v1/inspections/1/pictures/noisy"),
    *("/v1/counts", "/v1/trend", "/v1/choices", "/v1/station", "/metrics"),
)
FEEDBACK = {"says": "ok", "operator": "Ana"}


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def client(scene: Scene) -> Iterator[httpx.Client]:
    with scene.open() as opened:
        yield opened


@pytest.fixture
def guarded(scene: Scene) -> Iterator[httpx.Client]:
    """A station with tokens that others can reach, and one inspection in its log."""
    scene.tokens, scene.hosts = TOKENS, None
    with scene.open() as opened:
        opened.post("/v1/inspect", files=files_of(("a.png", picture(9))), headers=OPERATOR).raise_for_status()
        yield opened


def test_without_a_token_nothing_is_told_but_that_one_is_needed(guarded: httpx.Client) -> None:
    for path in ASKING:
        told = problem_of(guarded.get(path), 401)
        assert "token" in told["detail"]
    sent = guarded.post("/v1/inspect", files=files_of(("a.png", picture(9))))
    problem_of(sent, 401)
    assert sent.headers["www-authenticate"].startswith("Bearer")
    problem_of(guarded.post("/v1/inspections/1/feedback", json=FEEDBACK), 401)


def test_the_page_and_health_need_no_token(guarded: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert guarded.get(path).status_code == 200


def test_why_a_station_is_not_ready_is_told_to_those_who_may_look(scene: Scene) -> None:
    scene.tokens = TOKENS
    scene.shop.there.clear()
    with scene.open(ready=False) as client:
        assert problem_of(client.get("/readyz"), 503)["reasons"] == []
        assert "bundle" in problem_of(client.get("/readyz", headers=READER), 503)["detail"]


def test_a_reader_looks_and_an_operator_acts_too(guarded: httpx.Client) -> None:
    for path in ASKING:
        assert guarded.get(path, headers=READER).status_code == 200
        assert guarded.get(path, headers=OPERATOR).status_code == 200
    for headers, status in ((READER, 403), (OPERATOR, 201)):
        assert guarded.post("/v1/inspections/1/feedback", json=FEEDBACK, headers=headers).status_code == status
    assert guarded.post("/v1/inspect", files=files_of(("a.png", picture(9))), headers=READER).status_code == 403
    assert guarded.get("/v1/station", headers=READER).json()["role"] == "reader"
    assert guarded.get("/v1/station", headers=OPERATOR).json()["role"] == "operator"


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
def test_no_other_token_opens(guarded: httpx.Client, header: str) -> None:
    problem_of(guarded.get("/v1/counts", headers={b"Authorization": header.encode("latin-1")}), 401)


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared, really = [], hmac.compare_digest

    def compare(given: bytes, right: bytes) -> bool:
        compared.append(right)
        return really(given, right)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for token in (TOKENS.operator, TOKENS.reader, "x"):
        TOKENS.role_of(token)

    assert compared == 3 * [TOKENS.operator.encode(), TOKENS.reader.encode()]


def test_the_page_gives_its_token_once(guarded: httpx.Client) -> None:
    problem_of(guarded.post("/v1/session", json={"token": "wrong"}), 401)
    begun = guarded.post("/v1/session", json={"token": TOKENS.reader})
    cookie = begun.headers["set-cookie"]

    assert begun.status_code == 204
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKENS.reader not in cookie
    assert guarded.get("/v1/station").json()["role"] == "reader"
    problem_of(guarded.post("/v1/inspections/1/feedback", json=FEEDBACK), 403)
    assert guarded.delete("/v1/session").status_code == 204
    problem_of(guarded.get("/v1/station"), 401)


def test_a_session_ends_and_cannot_be_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    session = TOKENS.session(Role.READER)
    role, ends, mark = session.split(".")

    assert TOKENS.role_of_session(session) is Role.READER
    for made_up in (
        f"operator.{ends}.{mark}",
        f"{role}.{int(ends) + 1}.{mark}",
        f"{role}.{ends}.{mark[:-1]}",
        f"{role}.{ends}.",
        f"{role}..{mark}",
        f"nobody.{ends}.{mark}",
        f"{role}.\u0663.{mark}",
        "",
        "...",
    ):
        assert TOKENS.role_of_session(made_up) is None
    assert Tokens(operator=TOKENS.operator, reader="another token, quite long").role_of_session(session) is None
    late = int(ends) + 1
    monkeypatch.setattr(time, "time", lambda: late)
    assert TOKENS.role_of_session(session) is None
    assert late > SESSION_SECONDS


def test_a_token_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "tokens"
    made = make_tokens(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert not others_can_read(path)
    assert read_tokens(path) == made
    assert made.operator != made.reader
    assert min(len(made.operator), len(made.reader)) >= 43
    with pytest.raises(OutputError, match="cannot be made"):
        make_tokens(path)
    assert read_tokens(path) == made


@pytest.mark.parametrize(
    "text",
    ["", "operator: short\nreader: alsoshort", f"operator: {'x' * 20}", f"operator: {'x' * 20}\nreader: {'x' * 20}"],
)
def test_a_broken_token_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)

    with pytest.raises(OutputError, match="two different tokens of at least 16 characters"):
        read_tokens(path)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.", "[::2]"])
def test_a_station_of_this_machine_is_not_addressed_by_other_names(client: httpx.Client, host: str) -> None:
    told = problem_of(client.get("/v1/inspections", headers={"Host": host}), 403)
    assert "localhost" in told["detail"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]"])
def test_a_station_of_this_machine_is_addressed_by_its_own_names(client: httpx.Client, host: str) -> None:
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
def test_a_page_of_another_origin_can_do_nothing(client: httpx.Client, headers: dict[str, str]) -> None:
    (said,) = send(client, 9)
    for method, path in (
        ("POST", "/v1/inspect"),
        ("POST", f"/v1/inspections/{said['id']}/feedback"),
        ("POST", "/v1/session"),
        ("DELETE", "/v1/session"),
    ):
        problem_of(client.request(method, path, headers=headers, json=FEEDBACK), 403)
    assert client.get("/v1/counts").json()["inspections"] == 1


def test_the_station_s_own_page_can(client: httpx.Client) -> None:
    (said,) = send(client, 9)
    own = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}

    answer = client.post(f"/v1/inspections/{said['id']}/feedback", headers=own, json=FEEDBACK)

    assert answer.status_code == 201
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/v1/inspections", "/v1/nothing", "/openapi.json", "/healthz", "/metrics"]
)
def test_every_answer_tells_a_browser_what_not_to_do(client: httpx.Client, path: str) -> None:
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


def test_the_documentation_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs").text

    assert "//" not in page
    assert "<script>" not in page
    for path in ("/docs/swagger/swagger-ui-bundle.js", "/docs/swagger/swagger-ui.css", "/docs/page/start.js"):
        assert path in page
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
def test_paths_lead_nowhere_else(client: httpx.Client, path: str) -> None:
    host, port = client.base_url.host, client.base_url.port
    with socket.create_connection((host, port or 80), timeout=60) as line:  # as it is: a client would tidy it up
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = line.makefile("rb").read()

    assert answer.split(b" ", 2)[1] in {b"404", b"422"}, answer[:200]
    assert b"import" not in answer
