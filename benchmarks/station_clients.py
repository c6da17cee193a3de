"""A station in a process of its own, and clients that send it pictures: for the benchmarks beside this file."""

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

BOUNDARY = "a-line-that-no-picture-holds"


@dataclass
class Station:
    """A running ``clearcast serve``; ``process`` is the server itself."""

    process: subprocess.Popen[bytes]
    port: int

    def get(self, path: str) -> dict[str, Any]:
        """The JSON that a path answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, (path, answer.status, body[:500])
        said: dict[str, Any] = json.loads(body)
        return said

    @property
    def memory(self) -> float:
        """MB that the server holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024


@dataclass
class Client:
    """Sends pictures one by one over one connection, and remembers what came back.

    ``seconds``: of each answer. ``answered``: id and SHA-256 of each. ``refused``: how often it was told to wait (429).
    ``errors``: everything else that went wrong.
    """

    port: int
    seconds: list[float] = field(default_factory=list)
    answered: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    errors: list[str] = field(default_factory=list)

    def send(self, bodies: Iterator[bytes], until: float) -> None:
        """Send until the time comes, by ``time.perf_counter``, there are no more, or the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        while time.perf_counter() < until and (body := next(bodies, None)):
            begun = time.perf_counter()
            try:
                connection.request("POST", "/v1/inspect", body, headers)
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                return
            if answer.status == 429:
                self.refused += 1
                time.sleep(min(float(answer.headers["Retry-After"]), 1))
            elif answer.status != 200:
                self.errors.append(f"{answer.status} {said[:200]!r}")
            else:
                self.seconds.append(time.perf_counter() - begun)
                self.answered += json.loads(said)["inspections"]


@contextmanager
def serving(bundle: Path, data: Path, *options: str) -> Iterator[Station]:
    """A station that is ready; killed at the end if it still runs."""
    port = free_port()
    code = "from clearcast.cli import main; main()"
    asked = ["serve", str(bundle), "--data", str(data), "--port", str(port), *options]
    with (data.parent / "server.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-c", code, *asked], stdout=log, stderr=log, env=os.environ)
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
    """A multipart body with one picture."""
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="files"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def bodies_of(folder: Path, count: int) -> list[bytes]:
    """Bodies of the first pictures of a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    return [body_of(path.read_bytes(), path.name) for path in paths[:count]]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def free_port() -> int:
    """A port of this machine that nobody listens at."""
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
