"""Stations with a fake bundle that listen on a real socket, and images to send them."""

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
from clearcast.station.service import InspectionService
from clearcast.station.service import lazy_bundle as bundles_module
from tests.station.services import PATIENCE, Bright, Shop, loaded, picture

MEASURED = {"images": 100, "parts": 50, "decisions": {}}
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
TOKENS = StationTokens(operator="the operator's token", reader="the reader's token!!")


@dataclass
class Scene:
    """Components of a station; a test may change them before it starts one."""

    folder: Path
    inspector: Bright = field(default_factory=lambda: Bright(manifest=cast(Manifest, {"measured": MEASURED})))
    shop: Shop = field(default_factory=Shop)
    limits: UploadLimits = field(default_factory=UploadLimits)
    tokens: StationTokens | None = None
    hosts: frozenset[str] | None = LOCAL
    waiting: int = 64

    def __post_init__(self) -> None:
        self.shop.there["bundle"] = loaded(self.inspector)
        self.log: InspectionLog = open_log(self.folder / "log.sqlite")
        self.shelf = ImageStore(self.folder / "pictures")

    def station(self) -> Station:
        desk = InspectionService(
            self.folder / "bundle", log=self.log, shelf=self.shelf, threads=2, waiting=self.waiting
        )
        return Station(
            service=desk,
            log=self.log,
            image_store=self.shelf,
            name="line 1",
            limits=self.limits,
            tokens=self.tokens,
            hosts=self.hosts,
            signed_out=self.folder / "signed-out",
        )

    @contextmanager
    def open(self, *, ready: bool = True) -> Iterator[httpx.Client]:
        """Start the station; yields a client."""
        with serving(self.station()) as client:
            if ready:
                until(lambda: client.get("/readyz").status_code == 200)
            yield client
            self.inspector.open.set()


@contextmanager
def scene_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    scene = Scene(folder)
    monkeypatch.setattr(bundles_module, "load_inspectors", scene.shop.load)
    yield scene
    scene.log.close()


@contextmanager
def serving(station: Station) -> Iterator[httpx.Client]:
    """Run a server in a thread, on a free port; yields a client."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = make_server(station)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)


def files_of(*pictures: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("files", (name, data, "image/png")) for name, data in pictures]


def send(client: httpx.Client, *brightnesses: int, **fields: str) -> list[dict[str, Any]]:
    """Send images of one grey level each, named after it; those above 127 are defects."""
    files = files_of(*((f"part {level}.png", picture(level)) for level in brightnesses))
    answer = client.post("/v1/inspect", files=files, data=fields)
    assert answer.status_code == 200, answer.text
    inspections: list[dict[str, Any]] = answer.json()["inspections"]
    return inspections


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem (RFC 9457) of a response."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["type"] == "about:blank"
    return body
