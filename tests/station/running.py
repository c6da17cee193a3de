"""A station in a separate process, started by ``clearcast serve``."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.station.services import TIMEOUT
from tests.station.stations import wait_until


@dataclass(frozen=True)
class StationProcess:
    """A station in a separate process; ``output`` is the file of its output."""

    process: subprocess.Popen[bytes]
    output: Path

    def read_output(self) -> str:
        return self.output.read_text("utf-8")

    @property
    def port(self) -> int:
        found = re.search(r"Open http://\S+:(\d+) ", self.read_output())
        assert found, self.read_output()
        return int(found[1])

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=2 * TIMEOUT, trust_env=False)

    def memory(self) -> int:
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/statm").read_text("utf-8")
        return int(status.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)


def start_station(bundle: Path, folder: Path, *options: str) -> StationProcess:
    """Start a station on a free port, with its data in a folder, without waiting for it."""
    folder.mkdir(exist_ok=True)
    output = folder / "output.txt"
    code = "from clearcast.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "serve",
        str(bundle),
        "--data",
        str(folder / "data"),
        "--port",
        "0",
        *options,
    ]
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    return StationProcess(process=process, output=output)


@contextmanager
def running_station(bundle: Path, folder: Path, *options: str) -> Iterator[StationProcess]:
    """Start a station, and wait until it is ready."""
    station = start_station(bundle, folder, *options)
    try:
        wait_until(lambda: "\nReady: " in station.read_output() or station.process.poll() is not None)
        assert station.process.poll() is None, station.read_output()
        yield station
    finally:
        station.process.kill()
        station.process.wait()
