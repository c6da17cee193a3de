"""Stress test of the station: upload times under heavy load, and memory of incomplete uploads.

Run with nothing else on the machine; clients and server share its cores::

    .venv/bin/python benchmarks/station_pressure.py BUNDLE
"""

import argparse
import http.client
import resource
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
from station_clients import BOUNDARY, Station, body_of, serving

from clearcast.noise.registry import NoiseType
from clearcast.station.log import open_log
from clearcast.station.records import InspectionEntry
from clearcast.types import Verdict

STATION_NAMES = 15_000  # of stations in the log
LARGE = (3000, 4000)  # pixels of the image whose heat map is requested
SMALL = (300, 300)  # pixels of the images that are uploaded under load
UPLOADS = 15  # per measurement, or as many as fit into MAX_SECONDS seconds
MAX_SECONDS = 60
CLIENT_TIMEOUT = 60  # timeout of a client in seconds
UNFINISHED = 50  # incomplete uploads, each with FILES files of FILE_BYTES bytes
FILES, FILE_BYTES = 25, 800_000


def main() -> None:
    """Print a line for each kind of load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))  # for this side of the connections
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        fill_log(data / "log.sqlite")
        with limited_descriptors(1024), serving(args.bundle, data) as station:
            number = upload(station, noise_jpeg(LARGE))[1]
            measure("alone", station, [])
            measure("60 heat maps of one image", station, 60 * [f"/v1/inspections/{number}/pictures/heat"])
            measure("20 trends", station, 20 * ["/v1/trend"])
            with idle_connections(station, 1100):
                measure("1,100 idle connections", station, [])
        with serving(args.bundle, data) as station:
            upload(station, noise_jpeg(SMALL))
            measure_memory(station)


def fill_log(path: Path) -> None:
    """Create a log of inspections, each with a different station name."""
    log, begin = open_log(path), time.time_ns() // 1_000_000 - 30 * 86_400_000
    entries = [_entry(n, begin + n * 172_000) for n in range(STATION_NAMES)]
    for start in range(0, STATION_NAMES, 1000):
        log.write(entries[start : start + 1000])
    log.close()


def _entry(number: int, at: int) -> InspectionEntry:
    return InspectionEntry(
        at=at,
        name=f"{number}.png",
        station=f"part {number}",
        sha256=f"{number:064x}",
        size=1,
        width=1,
        height=1,
        verdict=Verdict.OK,
        p_defect=0.1,
        threshold=0.5,
        noise_type=NoiseType.NONE,
        noise_level="",
        p_noise=0.9,
        ms=1.0,
        model="synthetic",
        error="",
    )


def noise_jpeg(shape: tuple[int, int]) -> bytes:
    """Make a JPEG of random grey noise."""
    pixels = np.random.default_rng().normal(128, 20, shape).clip(0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1])


def upload(station: Station, data: bytes) -> tuple[float, int | None]:
    """Upload an image; returns the response time in seconds, and its id, None if it was not inspected."""
    connection = http.client.HTTPConnection("127.0.0.1", station.port, timeout=CLIENT_TIMEOUT)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Connection": "close"}
    started = time.perf_counter()
    try:
        connection.request("POST", "/v1/inspect", body_of(data, "part.jpg"), headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException):
        return time.perf_counter() - started, None
    finally:
        connection.close()
    number = int(content.split(b'"id":', 1)[1].split(b",", 1)[0]) if response.status == 200 else None
    return time.perf_counter() - started, number


def measure(name: str, station: Station, paths: Sequence[str]) -> None:
    """Print the upload times while all the paths are requested concurrently and repeatedly."""
    over, statuses = threading.Event(), Counter[str]()
    threads = [
        threading.Thread(target=_request_repeatedly, args=(station, path, over, statuses), daemon=True)
        for path in paths
    ]
    for thread in threads:
        thread.start()
    time.sleep(1 if paths else 0)
    results = list(_uploads(station))
    over.set()
    for thread in threads:
        thread.join(2 * CLIENT_TIMEOUT)
    seconds = sorted(seconds for seconds, _ in results)
    failed = sum(number is None for _, number in results)
    print(f"{name}: median {seconds[len(seconds) // 2]:.3f} s, maximum {seconds[-1]:.3f} s, ", end="")
    print(f"failed {failed} of {len(results)}; other responses {dict(statuses)}", flush=True)


def _uploads(station: Station) -> Iterator[tuple[float, int | None]]:
    """Upload one image after the other, until there are enough or the time is over."""
    deadline = time.perf_counter() + MAX_SECONDS
    for _ in range(UPLOADS):
        yield upload(station, noise_jpeg(SMALL))
        if time.perf_counter() > deadline:
            return


def _request_repeatedly(station: Station, path: str, over: threading.Event, statuses: "Counter[str]") -> None:
    while not over.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", station.port, timeout=CLIENT_TIMEOUT)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            statuses[str(response.status)] += 1
            if response.status == 429:
                over.wait(float(response.headers["Retry-After"]))
        except (OSError, http.client.HTTPException) as error:
            statuses[type(error).__name__] += 1
        finally:
            connection.close()


@contextmanager
def limited_descriptors(most: int) -> Iterator[None]:
    """Limit the file descriptors of processes that are started within the block, as most systems do."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    started = threading.Timer(3, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, before))
    started.start()
    yield
    started.join()


@contextmanager
def idle_connections(station: Station, count: int) -> Iterator[None]:
    """Hold idle connections open."""
    with ExitStack() as lines:
        for _ in range(count):
            with suppress(OSError):
                lines.enter_context(socket.create_connection(("127.0.0.1", station.port), timeout=5))
        yield


def measure_memory(station: Station) -> None:
    """Print the memory of the station during incomplete uploads, and whether it still inspects."""
    before = station.memory
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'.encode()
    part = head + bytes(FILE_BYTES) + b"\r\n"
    request = (
        f"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: {200_000_000}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    ).encode()
    with ExitStack() as lines:
        for _ in range(UNFINISHED):
            line = lines.enter_context(socket.create_connection(("127.0.0.1", station.port), timeout=10))
            with suppress(OSError):
                line.sendall(request + FILES * part)
        time.sleep(2)
        held = station.memory
        seconds, number = upload(station, noise_jpeg(SMALL))
    sent = UNFINISHED * FILES * FILE_BYTES / 1e6
    print(f"{UNFINISHED} incomplete uploads of {sent:.0f} MB: {held - before:+.0f} MB in memory, ", end="")
    print(f"another upload {'failed' if number is None else f'took {seconds:.3f} s'}")


if __name__ == "__main__":
    main()
