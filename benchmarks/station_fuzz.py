"""Whether anything that is uploaded makes a station fail, hang or crash.

Real pictures in every format are damaged at random: bits and numbers changed, pieces cut out, doubled, or taken from
another file; or it is the form around them that is damaged, or the whole request::

    .venv/bin/python benchmarks/station_fuzz.py BUNDLE FOLDER --minutes 10

What made it fail is kept beside the log, to be sent again. Every request follows from the seed and its number.
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

PATIENCE = 120.0  # seconds without an answer that are called a hang
FORMS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
NUMBERS = [
    number.to_bytes(size, order)
    for size in (1, 2, 4)
    for number in (0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
    for order in ("little", "big")
]


@dataclass
class Seen:
    """What all senders saw, by their lock. ``kept``: where bodies go that made the station fail."""

    kept: Path
    statuses: Counter[int] = field(default_factory=Counter)
    closed: int = 0
    hangs: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, status: int | None, number: int, request: bytes) -> None:
        """Count one answer; ``None`` is none within ``PATIENCE``, 0 a line that was closed without one."""
        with self.lock:
            self.hangs += status is None
            self.closed += status == 0
            if status:
                self.statuses[status] += 1
            if status is None or status >= 500:
                (self.kept / f"{number}-{status}").write_bytes(request)


def main() -> None:
    """Fuzz for a while and print what came back."""
    asked = arguments()
    with tempfile.TemporaryDirectory() as folder:
        asked.kept.mkdir(parents=True, exist_ok=True)
        seen, numbers = Seen(asked.kept), itertools.count()
        with serving(asked.bundle, Path(folder) / "data") as station:
            files = seeds(asked.folder)
            fuzz(station, files, seen, numbers, asked, seconds=20)  # what is loaded for the first time, is
            before, end = station.memory, time.monotonic() + 60 * asked.minutes
            fuzz(station, files, seen, numbers, asked, seconds=end - time.monotonic())
            alive = station.process.poll() is None
            well = alive and station.get("/readyz") is not None
            memory = station.memory if alive else 0.0
        said = (Path(folder) / "server.log").read_text(encoding="utf-8", errors="replace")
    failed = sum(count for status, count in seen.statuses.items() if status >= 500)
    print(
        f"{seen.statuses.total() + seen.closed + seen.hangs} requests: {dict(sorted(seen.statuses.items()))}, ", end=""
    )
    print(f"closed without an answer {seen.closed} (damaged requests)")
    print(f"5xx {failed}, hangs {seen.hangs}, crashes {int(not well)}, tracebacks {said.count('Traceback')}; ", end="")
    print(f"memory {before:.0f} MB before, {memory:.0f} MB after")


def arguments() -> argparse.Namespace:
    """What to do, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path, help="pictures to damage")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kept", type=Path, default=Path("fuzz-failures"), help="where requests go that failed")
    return parser.parse_args()


def seeds(folder: Path) -> list[bytes]:
    """A few pictures of a folder, small, in every format that is taken, grey and in colour."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})[:4]
    made = [path.read_bytes() for path in paths]
    for path, mode, form in itertools.product(paths, ("L", "RGB"), FORMS):
        with Image.open(path) as picture:
            file = io.BytesIO()
            picture.convert(mode).resize((96, 80)).save(file, form)
            made.append(file.getvalue())
    return made


def fuzz(
    station: Station, files: list[bytes], seen: Seen, numbers: "itertools.count[int]", asked: argparse.Namespace, *,
    seconds: float,
) -> None:  # fmt: skip
    """Let senders send for a while."""
    end = time.monotonic() + seconds

    def send() -> None:
        while time.monotonic() < end and station.process.poll() is None:
            number = next(numbers)
            head, body = request_of(random.Random(f"{asked.seed} {number}"), files)
            seen.note(answer_of(station.port, head, body), number, head + body)

    senders = [threading.Thread(target=send) for _ in range(asked.clients)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def request_of(rng: random.Random, files: list[bytes]) -> tuple[bytes, bytes]:
    """Head and body of a request with a damaged picture; sometimes its form or its head is damaged too."""
    data = damaged(rng, rng.choice(files), files)
    name = "".join(
        chr(rng.choice((rng.randrange(32, 127), rng.randrange(160, 0x2FFF)))) for _ in range(rng.randrange(20))
    )
    body = body_of(data, name.replace('"', "%22"))
    if rng.random() < 0.15:
        body = damaged(rng, body, files)
    head = (
        "POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return damaged(rng, head.encode(), files) if rng.random() < 0.1 else head.encode(), body


def damaged(rng: random.Random, data: bytes, files: list[bytes]) -> bytes:
    """The same with one to eight wounds, more of them near the beginning, where formats say what follows."""
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


def answer_of(port: int, head: bytes, body: bytes) -> int | None:
    """The status of the answer; 0 where the line was closed without one, None where nothing came in time."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
            line.sendall(head + body)
            if not head.endswith(b"Content-Length: %d\r\n\r\n" % len(body)):  # it may wait for more: hang up
                line.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(line)
            answer.begin()
            answer.read()
            return answer.status
    except TimeoutError:
        return None
    except (OSError, http.client.HTTPException):
        return 0


if __name__ == "__main__":
    main()
