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
    images = [path.read_bytes() for path in find_image_files(args.folder)]
    for command, kill_repeatedly in (("predict", kill_predict), ("watch", kill_watch)):
        with tempfile.TemporaryDirectory() as name:
            folder, rng = Path(name), random.Random(args.seed)
            (folder / "in").mkdir()
            expected, kills = kill_repeatedly(
                args.bundle, folder, itertools.cycle(images), args.pictures, args.kills, rng
            )
            found = count_rows(folder / "r.csv")
        lost, duplicated = expected - found, found - expected
        print(
            f"{command}: {kills} kills, {expected.total()} images, {found.total()} rows, "
            f"{lost.total()} lost, {duplicated.total()} duplicated",
            flush=True,
        )


def kill_predict(
    bundle: Path, folder: Path, images: Iterator[bytes], count: int, kills: int, rng: random.Random
) -> tuple[Expected, int]:
    """Kill ``predict`` repeatedly; returns the expected rows, and the number of kills."""
    expected = Expected(write_image(folder, number, next(images)) for number in range(count))
    command = [*command_line("predict", bundle, folder), "--denoised", str(folder / "denoised"), "--resume"]
    killed = sum(run_and_kill(command, rng.uniform(0.5, 2.5)) for _ in range(kills))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return expected, killed


def kill_watch(
    bundle: Path, folder: Path, images: Iterator[bytes], count: int, kills: int, rng: random.Random
) -> tuple[Expected, int]:
    """Kill ``watch`` repeatedly while images arrive; see ``kill_predict``."""
    expected, command, killed = Expected(), command_line("watch", bundle, folder), 0
    for turn in range(kills):
        for number in range(turn * count // kills, (turn + 1) * count // kills):
            expected[write_image(folder, number, next(images))] += 1
        killed += run_and_kill(command, rng.uniform(1.5, 4.0))
    subprocess.run([*command, "--once"], check=True, stdout=subprocess.DEVNULL)
    for number in range(0, count, 10):
        expected[write_image(folder, number, next(images) + b"\0")] += 1
    killed += run_and_kill(command, 3.0)
    subprocess.run([*command, "--once"], check=True, stdout=subprocess.DEVNULL)
    return expected, killed


def command_line(command: str, bundle: Path, folder: Path) -> list[str]:
    """Command line of a program."""
    return [sys.executable, "-c", MAIN, command, str(bundle), str(folder / "in"), "--out", str(folder / "r.csv")]


def write_image(folder: Path, number: int, data: bytes) -> tuple[str, str]:
    """Write an image as cameras should: rename it when it is complete."""
    path = folder / "in" / f"{number:05}.png"
    incomplete = path.with_suffix(".part")
    incomplete.write_bytes(data)
    shutil.move(incomplete, path)
    return path.as_posix(), hashlib.sha256(data).hexdigest()


def run_and_kill(command: list[str], seconds: float) -> bool:
    """Start a program and kill it; returns False if it ended before."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        time.sleep(seconds)
        process.kill()
        _, error = process.communicate()
    if process.returncode > 0:
        raise RuntimeError(error.decode())
    return process.returncode < 0


def count_rows(results: Path) -> Expected:
    """Count the rows of a results file by path and SHA-256."""
    with results.open(encoding="utf-8", newline="") as file:
        return Expected((row["path"], row["sha256"]) for row in csv.DictReader(file))


if __name__ == "__main__":
    main()
