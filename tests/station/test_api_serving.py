"""The command ``clearcast serve`` in a separate process."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from clearcast.station.api.server import _listener
from clearcast.station.api.tokens import read_token_file
from tests.station.hostile_files import encode_image, random_pixels
from tests.station.running import StationProcess, running_station, start_station
from tests.station.stations import wait_until


@contextmanager
def unready_station(folder: Path, *options: str) -> Iterator[StationProcess]:
    """A running station whose bundle does not exist yet."""
    started = start_station(folder / "missing", folder, *options)
    try:
        wait_until(lambda: "Not ready: " in started.read_output() or started.process.poll() is not None)
        assert started.process.poll() is None, started.read_output()
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def start_and_fail(folder: Path, *options: str) -> str:
    """Start a station that cannot start; return its output, which has no traceback."""
    started = start_station(folder / "missing", folder, *options)
    assert started.process.wait(120) == 1
    assert "Traceback" not in started.read_output()
    return started.read_output()


def test_serve_prints_its_url_and_readiness(bundle: Path, tmp_path: Path) -> None:
    with running_station(bundle, tmp_path / "a", "--station", "line 3") as station, station.client() as client:
        printed = station.read_output()
        response = client.post("/v1/inspect", files={"files": ("a.png", encode_image(random_pixels(64, 64), "PNG"))})
        assert response.json()["inspections"][0]["station"] == "line 3"
        assert station.stop() == 0
    logged = tmp_path / "a" / "data"

    assert f"Open http://127.0.0.1:{station.port} in a browser" in printed
    assert f"Log and images: {logged}" in printed
    assert f"Ready: {response.json()['inspections'][0]['model']}" in printed
    assert (logged / "log.sqlite").exists()
    assert (logged / "pictures").is_dir()
    assert "Stopped" in station.read_output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_shutdown_waits_until_accepted_images_are_answered_and_logged(
    bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    large = [("files", (f"{n}.png", encode_image(random_pixels(700, 900), "PNG"))) for n in range(6)]
    with running_station(bundle, tmp_path / "a") as station, station.client() as client, ThreadPoolExecutor(1) as other:
        response = other.submit(client.post, "/v1/inspect", files=large)
        wait_until(lambda: "clearcast_waiting 0.0" not in httpx.get(f"{client.base_url}/metrics", trust_env=False).text)
        assert station.stop(number) == 0
        answered = response.result().json()["inspections"]
    with running_station(bundle, tmp_path / "a") as station, station.client() as client:
        logged = client.get("/v1/inspections").json()["inspections"]

    assert sorted(one["id"] for one in answered) == sorted(one["id"] for one in logged)
    assert len(answered) == 6


def test_without_its_bundle_serve_waits_and_reports_it(tmp_path: Path) -> None:
    with unready_station(tmp_path) as station, station.client() as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/").status_code == 200
        assert station.stop() == 0
    assert "missing" in station.read_output()


def test_two_stations_do_not_share_a_folder_or_a_port(tmp_path: Path) -> None:
    with unready_station(tmp_path) as station:
        second = subprocess.run(station.process.args, capture_output=True, text=True, timeout=120, check=False)
        taken = start_and_fail(tmp_path / "other", "--port", str(station.port))

    assert second.returncode == 1
    assert "another station uses this folder" in second.stderr
    assert "(Address already in use); choose another --port" in taken


def test_after_a_kill_the_folder_is_unlocked(tmp_path: Path) -> None:
    with unready_station(tmp_path) as station:
        station.stop(signal.SIGKILL)
    with unready_station(tmp_path):
        pass


def test_a_station_reachable_by_others_requires_tokens(tmp_path: Path) -> None:
    refused = start_and_fail(tmp_path / "a", "--host", "0.0.0.0")
    with unready_station(tmp_path / "b", "--host", "0.0.0.0", "--token-file", str(tmp_path / "tokens")) as station:
        tokens = read_token_file(tmp_path / "tokens")
        address = f"http://127.0.0.1:{station.port}/v1/inspections"
        host = {"Host": f"{socket.gethostname()}:{station.port}"}
        without = httpx.get(address, headers=host, trust_env=False)
        bearer = {"Authorization": f"Bearer {tokens.reader}"}
        having = httpx.get(address, headers={**host, **bearer}, trust_env=False)

    assert "--token-file" in refused
    assert (without.status_code, having.status_code) == (401, 200)
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o600
    assert tokens.operator not in station.read_output()


def test_startup_errors_are_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    broken = tmp_path / "tokens"
    broken.write_text("operator: x")

    assert "choose another folder with --data" in start_and_fail(tmp_path / "a", "--data", str(tmp_path / "file"))
    assert "cannot listen on" in start_and_fail(
        tmp_path / "b", "--host", "no.such.host.invalid", "--token-file", str(broken)
    )
    assert "two different tokens" in start_and_fail(tmp_path / "c", "--token-file", str(broken))


def test_no_response_waits_for_the_acknowledgement_of_its_head() -> None:
    with _listener("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
