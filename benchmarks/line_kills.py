"""Crash test of ``clearcast predict`` and ``clearcast watch``: no rows may be lost or duplicated.

Each is killed (SIGKILL) at random times and restarted on the same results file; the last run is not killed::

    .venv/bin/python benchmarks/line_kills.py BUNDLE FOLDER --kills 20

The folder's images are copied under many names first, so that no run ends before it is killed. Those of ``watch``
arrive while it runs, and every tenth is overwritten once by another image.
"""

import argparse
import csv
import hashlib
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from clearcast.core.files import find_image_files

MAIN = "from clearcast.cli import main; main()"
Expected = Counter[tuple[str, str]]
"""Number of expected rows by path and SHA-256."""


def main() -> None:
    """Print the numbers of lost and duplicated rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=2000, help="images inspected by each command")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    pictures = [path.read_bytes() for path in find_image_files(args.folder)]
    for command, kill in (("predict", kill_predict), ("watch", kill_watch)):
        with tempfile.TemporaryDirectory() as folder:
            place, rng = Path(folder), random.Random(args.seed)
            (place / "in").mkdir()
            expected, kills = kill(args.bundle, place, itertools.cycle(pictures), args.pictures, args.kills, rng)
            found = rows_of(place / "r.csv")
        lost, duplicated = expected - found, found - expected
        print(
            f"{command}: {kills} kills, {expected.total()} images, {found.total()} rows, "
            f"{lost.total()} lost, {duplicated.total()} duplicated",
            flush=True,
        )


def kill_predict(
    bundle: Path, place: Path, pictures: Iterator[bytes], count: int, kills: int, rng: random.Random
) -> tuple[Expected, int]:
    """Kill ``predict`` repeatedly; returns the expected rows, and the number of kills."""
    expected = Expected(put(place, number, next(pictures)) for number in range(count))
    command = [*program("predict", bundle, place), "--denoised", str(place / "denoised"), "--resume"]
    killed = sum(is_killed(command, rng.uniform(0.5, 2.5)) for _ in range(kills))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return expected, killed


def kill_watch(
    bundle: Path, place: Path, pictures: Iterator[bytes], count: int, kills: int, rng: random.Random
) -> tuple[Expected, int]:
    """Kill ``watch`` repeatedly while images arrive; see ``kill_predict``."""
    expected, command, killed = Expected(), program("watch", bundle, place), 0
    for turn in range(kills):
        for number in range(turn * count // kills, (turn + 1) * count // kills):
            expected[put(place, number, next(pictures))] += 1
        killed += is_killed(command, rng.uniform(1.5, 4.0))
    subprocess.run([*command, "--once"], check=True, stdout=subprocess.DEVNULL)
    for number in range(0, count, 10):
        expected[put(place, number, next(pictures) + b"\0")] += 1
    killed += is_killed(command, 3.0)
    subprocess.run([*command, "--once"], check=True, stdout=subprocess.DEVNULL)
    return expected, killed


def program(command: str, bundle: Path, place: Path) -> list[str]:
    """Command line of a program."""
    return [sys.executable, "-c", MAIN, command, str(bundle), str(place / "in"), "--out", str(place / "r.csv")]


def put(place: Path, number: int, data: bytes) -> tuple[str, str]:
    """Write an image as cameras should: rename it when it is complete."""
    path = place / "in" / f"{number:05}.png"
    half = path.with_suffix(".part")
    half.write_bytes(data)
    shutil.move(half, path)
    return path.as_posix(), hashlib.sha256(data).hexdigest()


def is_killed(command: list[str], seconds: float) -> bool:
    """Start a program and kill it; returns False if it ended before."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        time.sleep(seconds)
        process.kill()
        _, error = process.communicate()
    if process.returncode > 0:
        raise RuntimeError(error.decode())
    return process.returncode < 0


def rows_of(results: Path) -> Expected:
    """Count the rows of a results file by path and SHA-256."""
    with results.open(encoding="utf-8", newline="") as file:
        return Expected((row["path"], row["sha256"]) for row in csv.DictReader(file))


if __name__ == "__main__":
    main()
