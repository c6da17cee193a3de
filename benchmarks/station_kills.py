"""Crash test of the station: every returned verdict must be in the log.

Under load the server is killed (SIGKILL) at random times and restarted on the same log::

    .venv/bin/python benchmarks/station_kills.py BUNDLE FOLDER --kills 20
"""

import argparse
import itertools
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from station_clients import Client, Station, bodies_of, serving

FIELDS = ("sha256", "verdict", "p_defect", "noise_type", "name")  # must be equal in the response and in the log


def main() -> None:
    """Print the verdicts that were lost or differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", nargs="*", default=[], help="further options of clearcast serve")
    args = parser.parse_args()
    bodies, rng = bodies_of(args.folder, 100), random.Random(args.seed)
    returned: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        for _ in range(args.kills):
            with serving(args.bundle, data, *args.serve) as station:
                returned += _until_killed(station, bodies, args.clients, rng.uniform(0.2, 4))
        with serving(args.bundle, data, *args.serve) as station:
            lost = [each["id"] for each in returned if not _is_logged(station, each)]
            logged = station.get("/v1/counts")["inspections"]
    print(f"{args.kills} kills: {len(returned)} verdicts returned, {logged} in the log, {len(lost)} lost {lost[:5]}")
    print(f"duplicate ids: {len(returned) - len({each['id'] for each in returned})}")


def _until_killed(station: Station, bodies: list[bytes], count: int, seconds: float) -> list[dict[str, Any]]:
    clients = [Client(station.port) for _ in range(count)]
    deadline = time.perf_counter() + 600
    threads = [
        threading.Thread(target=client.send, args=(itertools.cycle(bodies[place:] + bodies[:place]), deadline))
        for place, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    station.process.kill()
    for thread in threads:
        thread.join()
    return [each for client in clients for each in client.inspections]


def _is_logged(station: Station, inspection: dict[str, Any]) -> bool:
    try:
        logged = station.get(f"/v1/inspections/{inspection['id']}")
    except AssertionError:
        return False
    return all(logged[name] == inspection[name] for name in FIELDS)


if __name__ == "__main__":
    main()
