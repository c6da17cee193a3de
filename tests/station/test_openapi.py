"""Conformance of the station's API to its OpenAPI document."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clearcast.station.api import access
from tests.station.stations import TOKENS, StationSetup, make_station_setup, send_images

BEARER = {"Authorization": f"Bearer {TOKENS.operator}"}
# Configuration of schemathesis. The document cannot say which bytes are an image, which texts are a page's "next", and
# which images are still stored.
CONFIG = f"""
seed = 1
color = false
suppress-health-check = ["all"]
headers = {{ Authorization = "{BEARER["Authorization"]}" }}
request-timeout = 60
generation = {{ max-examples = 12, no-shrink = true, database = "none" }}
phases = {{ stateful = {{ enabled = false }} }}
[[operations]]
include-path-regex = "^/v1/(inspect|inspections|inspections/.id./pictures/.kind.|pictures/.sha256./.kind.)$"
checks = {{ positive_data_acceptance = {{ enabled = false }} }}
"""


@pytest.fixture(scope="module")
def station_setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StationSetup]:
    with pytest.MonkeyPatch.context() as patch, make_station_setup(tmp_path_factory.mktemp("station"), patch) as made:
        made.tokens = TOKENS
        patch.setattr(access, "_FREE_TRIES", 1000)  # schemathesis sends many wrong tokens
        yield made


@pytest.fixture(scope="module")
def client(station_setup: StationSetup) -> Iterator[httpx.Client]:
    with station_setup.start() as opened:
        opened.headers.update(BEARER)
        send_images(opened, 40, 220)
        yield opened


def test_the_api_conforms_to_its_openapi_document(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"]
    address = str(client.base_url.join("/openapi.json"))
    done = subprocess.run([*command, address], cwd=tmp_path, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]


def test_the_openapi_document_has_examples_problems_and_tokens(client: httpx.Client) -> None:
    document: dict[str, Any] = client.get("/openapi.json").json()
    operations = {(path, method): o for path, methods in document["paths"].items() for method, o in methods.items()}

    assert len(operations) >= 15
    assert document["components"]["schemas"]["LoggedInspection"]["examples"][0]["verdict"] == "defect"
    for (path, _), operation in operations.items():
        open_to_all = path in {"/healthz", "/readyz", "/v1/session"}
        assert ("security" in operation) is not open_to_all, path
        assert operation.get("description"), path
        for status, response in operation["responses"].items():
            assert response["description"]
            assert int(status) < 400 or list(response["content"]) == ["application/problem+json"]
