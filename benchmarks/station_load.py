"""Load test of the station: response times, throughput and memory, compared with the bundle alone.

Run with nothing else on the machine; clients and server share its cores::

    .venv/bin/python benchmarks/station_load.py BUNDLE FOLDER --minutes 5
"""

import argparse
import itertools
import tempfile
import threading
import time
from pathlib import Path

from station_clients import Client, Station, bodies_of, quantile, serving

import clearcast

SINGLE_UPLOADS = 200  # uploads of one client
WARM_UP = 20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--serve", nargs="*", default=[], help="further options of clearcast serve")
    args = parser.parse_args()
    bodies = bodies_of(args.folder, args.pictures)
    before = bundle_rate(args.bundle, args.folder, args.pictures)
    with tempfile.TemporaryDirectory() as folder, serving(args.bundle, Path(folder) / "data", *args.serve) as station:
        load(station, bodies, clients=1, seconds=3600, most=WARM_UP)
        (one,) = load(station, bodies, clients=1, seconds=3600, most=SINGLE_UPLOADS)
        print(f"one client, {SINGLE_UPLOADS} uploads: median {1000 * quantile(one.seconds, 0.5):.1f} ms, ", end="")
        print(f"99th percentile {1000 * quantile(one.seconds, 0.99):.1f} ms, errors {one.errors}")
        before_load = station.memory
        started = time.perf_counter()
        clients = load(station, bodies, clients=args.clients, seconds=60 * args.minutes)
        rate = sum(len(each.inspections) for each in clients) / (time.perf_counter() - started)
        after = station.memory
        print_results(clients, rate)
        print(f"memory: {before_load:.0f} MB before, {after:.0f} MB after ({after - before_load:+.0f} MB)")
        logged = station.get("/v1/counts")["inspections"]
        sent = WARM_UP + SINGLE_UPLOADS + sum(len(each.inspections) for each in clients)
        print(f"returned {sent}, in the log {logged}")
    alone = (before + bundle_rate(args.bundle, args.folder, args.pictures)) / 2
    print(f"bundle alone: {alone:.1f} images/s before and after; the station {rate / alone:.2f} of it")


def load(
    station: Station, bodies: list[bytes], *, clients: int, seconds: float, most: int | None = None
) -> list[Client]:
    """Let clients send images concurrently, for some seconds or until each has sent ``most``."""
    made = [Client(station.port) for _ in range(clients)]
    deadline = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=_send, args=(each, itertools.cycle(bodies[place:] + bodies[:place]), deadline, most))
        for place, each in enumerate(made)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made


def _send(client: Client, bodies: "itertools.cycle[bytes]", deadline: float, most: int | None) -> None:
    client.send(iter(bodies) if most is None else itertools.islice(bodies, most), deadline)


def print_results(clients: list[Client], rate: float) -> None:
    """Print the results of all clients."""
    seconds = [each for client in clients for each in client.seconds]
    errors = [each for client in clients for each in client.errors]
    print(f"{len(clients)} clients: {rate:.1f} images/s, ", end="")
    print(f"median {quantile(seconds, 0.5):.2f} s, 99th percentile {quantile(seconds, 0.99):.2f} s, ", end="")
    print(f"429 responses {sum(client.refused for client in clients)}, errors {len(errors)} {errors[:3]}")


def bundle_rate(bundle: Path, folder: Path, count: int) -> float:
    """Measure the images per second of ``clearcast.load(bundle).predict`` in this process, without a server."""
    loaded = clearcast.load(bundle)
    inspected = 0
    started = time.perf_counter()
    for _ in loaded.predict(folder):
        inspected += 1
        if inspected == WARM_UP:
            started = time.perf_counter()
        if inspected == WARM_UP + count:
            break
    return (inspected - WARM_UP) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
