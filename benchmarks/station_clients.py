"""Station in a separate process, and clients that send images to it, for the benchmarks of the station."""

import http.client
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BOUNDARY = "a-line-that-no-image-contains"


@dataclass
class Station:
    """A running ``clearcast serve``; ``process`` is the server itself."""

    process: subprocess.Popen[bytes]
    port: int

    def get(self, path: str) -> dict[str, Any]:
        """Get the JSON at a path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        assert response.status == 200, (path, response.status, body[:500])
        content: dict[str, Any] = json.loads(body)
        return content

    @property
    def memory(self) -> float:
        """Resident memory of the server in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024


@dataclass
class Client:
    """Client that sends images one by one over one connection, and records the responses.

    Attributes:
        seconds: response times.
        inspections: the returned inspections.
        refused: number of responses 429.
        errors: all other errors.
    """

    port: int
    seconds: list[float] = field(default_factory=list)
    inspections: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    errors: list[str] = field(default_factory=list)

    def send(self, bodies: Iterator[bytes], deadline: float) -> None:
        """Send until a time of ``time.perf_counter``, the end of the bodies, or the end of the server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        while time.perf_counter() < deadline and (body := next(bodies, None)):
            started = time.perf_counter()
            try:
                connection.request("POST", "/v1/inspect", body, headers)
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                return
            if response.status == 429:
                self.refused += 1
                time.sleep(min(float(response.headers["Retry-After"]), 1))
            elif response.status != 200:
                self.errors.append(f"{response.status} {content[:200]!r}")
            else:
                self.seconds.append(time.perf_counter() - started)
                self.inspections += json.loads(content)["inspections"]


@contextmanager
def serving(bundle: Path, data: Path, *options: str) -> Iterator[Station]:
    """Run a station until the end of the block; yields when it is ready."""
    port = free_port()
    code = "from clearcast.cli import main; main()"
    args = ["serve", str(bundle), "--data", str(data), "--port", str(port), *options]
    with (data.parent / "server.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-c", code, *args], stdout=log, stderr=log, env=os.environ)
    station = Station(process, port)
    try:
        _wait_until_ready(station)
        yield station
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def body_of(data: bytes, name: str) -> bytes:
    """Make a multipart body with one image."""
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="files"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def bodies_of(folder: Path, count: int) -> list[bytes]:
    """Make the bodies of the first images of a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    return [body_of(path.read_bytes(), path.name) for path in paths[:count]]


def quantile(values: Sequence[float], share: float) -> float:
    """Quantile: the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def free_port() -> int:
    """Find a free port of this machine."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _wait_until_ready(station: Station) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if station.process.poll() is not None:
            sys.exit("the server ended; see server.log beside the data folder")
        try:
            station.get("/readyz")
        except (OSError, AssertionError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return
    sys.exit("the server did not become ready within two minutes")
