"""Stations with a fake bundle that listen on a real socket, and helpers to send images to them."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from clearcast.bundle.manifest import Manifest
from clearcast.station.api import Station, StationTokens, UploadLimits
from clearcast.station.api.server import make_server
from clearcast.station.image_store import ImageStore
from clearcast.station.log import InspectionLog, open_log
from clearcast.station.service import InspectionService, lazy_bundle
from tests.station.services import TIMEOUT, BrightnessInspector, FakeBundleLoader, grey_png, loaded_bundle

MEASURED = {"images": 100, "parts": 50, "decisions": {}}
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
TOKENS = StationTokens(operator="the operator's token", reader="the reader's token!!")


@dataclass
class StationSetup:
    """Components of a station; a test may change them before it starts one."""

    folder: Path
    inspector: BrightnessInspector = field(
        default_factory=lambda: BrightnessInspector(manifest=cast(Manifest, {"measured": MEASURED}))
    )
    bundle_loader: FakeBundleLoader = field(default_factory=FakeBundleLoader)
    limits: UploadLimits = field(default_factory=UploadLimits)
    tokens: StationTokens | None = None
    hosts: frozenset[str] | None = LOCAL
    waiting: int = 64

    def __post_init__(self) -> None:
        self.bundle_loader.bundles["bundle"] = loaded_bundle(self.inspector)
        self.log: InspectionLog = open_log(self.folder / "log.sqlite")
        self.image_store = ImageStore(self.folder / "pictures")

    def station(self) -> Station:
        service = InspectionService(
            self.folder / "bundle", log=self.log, image_store=self.image_store, threads=2, waiting=self.waiting
        )
        return Station(
            service=service,
            log=self.log,
            image_store=self.image_store,
            name="line 1",
            limits=self.limits,
            tokens=self.tokens,
            hosts=self.hosts,
            signed_out=self.folder / "signed-out",
        )

    @contextmanager
    def start(self, *, ready: bool = True) -> Iterator[httpx.Client]:
        """Start the station; yields a client."""
        with serving(self.station()) as client:
            if ready:
                wait_until(lambda: client.get("/readyz").status_code == 200)
            yield client
            self.inspector.unblocked.set()


@contextmanager
def make_station_setup(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StationSetup]:
    setup = StationSetup(folder)
    monkeypatch.setattr(lazy_bundle, "load_inspectors", setup.bundle_loader.load)
    yield setup
    setup.log.close()


@contextmanager
def serving(station: Station) -> Iterator[httpx.Client]:
    """Run a server in a thread, on a free port; yields a client."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = make_server(station)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=TIMEOUT, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)


def form_files(*images: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("files", (name, data, "image/png")) for name, data in images]


def send_images(client: httpx.Client, *levels: int, **fields: str) -> list[dict[str, Any]]:
    """Send images of one grey level each, named after it; those above 127 are defects."""
    files = form_files(*((f"part {level}.png", grey_png(level)) for level in levels))
    response = client.post("/v1/inspect", files=files, data=fields)
    assert response.status_code == 200, response.text
    inspections: list[dict[str, Any]] = response.json()["inspections"]
    return inspections


def check_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check that a response is a problem (RFC 9457) with this status, and return its JSON."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["type"] == "about:blank"
    return body
