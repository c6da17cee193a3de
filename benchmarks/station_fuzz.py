"""Fuzz test of the station: no upload may make it fail, hang or crash.

Real images in every format are damaged at random: bytes and numbers changed, parts removed, repeated, or replaced from
another file. Sometimes the form or the whole request is damaged too::

    .venv/bin/python benchmarks/station_fuzz.py BUNDLE FOLDER --minutes 10

Requests that failed are saved, to be repeated. Every request is determined by the seed and its number.
"""

import argparse
import http.client
import io
import itertools
import random
import socket
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from station_clients import BOUNDARY, Station, body_of, serving

HANG_TIMEOUT = 120.0  # seconds without a response that count as a hang
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
NUMBERS = [
    number.to_bytes(size, order)
    for size in (1, 2, 4)
    for number in (0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
    for order in ("little", "big")
]


@dataclass
class Results:
    """Results of all senders, protected by a lock. ``failures``: folder of the requests that failed."""

    failures: Path
    statuses: Counter[int] = field(default_factory=Counter)
    closed: int = 0
    hangs: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, status: int | None, number: int, request: bytes) -> None:
        """Count one response; ``None``: none within ``HANG_TIMEOUT``, 0: the connection was closed without one."""
        with self.lock:
            self.hangs += status is None
            self.closed += status == 0
            if status:
                self.statuses[status] += 1
            if status is None or status >= 500:
                (self.failures / f"{number}-{status}").write_bytes(request)


def main() -> None:
    """Fuzz for some minutes and print the results."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        args.kept.mkdir(parents=True, exist_ok=True)
        results, numbers = Results(args.kept), itertools.count()
        with serving(args.bundle, Path(folder) / "data") as station:
            files = make_seed_images(args.folder)
            fuzz(station, files, results, numbers, args, seconds=20)  # warm-up, before memory is measured
            before, end = station.memory, time.monotonic() + 60 * args.minutes
            fuzz(station, files, results, numbers, args, seconds=end - time.monotonic())
            alive = station.process.poll() is None
            is_ready = alive and station.get("/readyz") is not None
            memory = station.memory if alive else 0.0
        output = (Path(folder) / "server.log").read_text(encoding="utf-8", errors="replace")
    failed = sum(count for status, count in results.statuses.items() if status >= 500)
    total = results.statuses.total() + results.closed + results.hangs
    print(f"{total} requests: {dict(sorted(results.statuses.items()))}, ", end="")
    print(f"closed without a response {results.closed} (damaged requests)")
    print(f"5xx {failed}, hangs {results.hangs}, crashes {int(not is_ready)}, ", end="")
    print(f"tracebacks {output.count('Traceback')}; ", end="")
    print(f"memory {before:.0f} MB before, {memory:.0f} MB after")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path, help="images to damage")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kept", type=Path, default=Path("fuzz-failures"), help="folder for requests that failed")
    return parser.parse_args()


def make_seed_images(folder: Path) -> list[bytes]:
    """Make small images from a few of a folder, in every format that the station accepts, grey and in colour."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})[:4]
    images = [path.read_bytes() for path in paths]
    for path, mode, form in itertools.product(paths, ("L", "RGB"), FORMATS):
        with Image.open(path) as image:
            file = io.BytesIO()
            image.convert(mode).resize((96, 80)).save(file, form)
            images.append(file.getvalue())
    return images


def fuzz(
    station: Station,
    files: list[bytes],
    results: Results,
    numbers: "itertools.count[int]",
    args: argparse.Namespace,
    *,
    seconds: float,
) -> None:
    """Run the senders for some time."""
    end = time.monotonic() + seconds

    def send() -> None:
        while time.monotonic() < end and station.process.poll() is None:
            number = next(numbers)
            head, body = make_request(random.Random(f"{args.seed} {number}"), files)
            results.count(send_request(station.port, head, body), number, head + body)

    senders = [threading.Thread(target=send) for _ in range(args.clients)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def make_request(rng: random.Random, files: list[bytes]) -> tuple[bytes, bytes]:
    """Make head and body of a request with a damaged image; sometimes its form or its head is damaged too."""
    data = damage(rng, rng.choice(files), files)
    name = "".join(
        chr(rng.choice((rng.randrange(32, 127), rng.randrange(160, 0x2FFF)))) for _ in range(rng.randrange(20))
    )
    body = body_of(data, name.replace('"', "%22"))
    if rng.random() < 0.15:
        body = damage(rng, body, files)
    head = (
        "POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return damage(rng, head.encode(), files) if rng.random() < 0.1 else head.encode(), body


def damage(rng: random.Random, data: bytes, files: list[bytes]) -> bytes:
    """Damage data in one to eight places, more often near the beginning, where formats have their headers."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        place = min(int(rng.expovariate(1 / 60)) if rng.random() < 0.5 else rng.randrange(len(found) + 1), len(found))
        length = int(rng.expovariate(1 / 40))
        match rng.randrange(7):
            case 0:
                found[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                number = rng.choice(NUMBERS)
                found[place : place + len(number)] = number
            case 2:
                del found[place : place + length]
            case 3:
                found[place:place] = found[place : place + length] * rng.randint(1, 5)
            case 4:
                found[place:place] = rng.randbytes(length)
            case 5:
                del found[place if rng.random() < 0.3 else len(found) :]
            case _:
                other = rng.choice(files)
                begin = rng.randrange(len(other))
                found[place : place + length] = other[begin : begin + length]
    return bytes(found)


def send_request(port: int, head: bytes, body: bytes) -> int | None:
    """Send a request; returns the status, 0 if the connection was closed without one, None if nothing came in time."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=HANG_TIMEOUT) as line:
            line.sendall(head + body)
            if not head.endswith(b"Content-Length: %d\r\n\r\n" % len(body)):  # it may wait for more: close
                line.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(line)
            response.begin()
            response.read()
            return response.status
    except TimeoutError:
        return None
    except (OSError, http.client.HTTPException):
        return 0


if __name__ == "__main__":
    main()
