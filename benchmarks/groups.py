"""How well, and how fast, pictures of one part are found: rendered disks, where the truth is known.

Run with nothing else on the machine::

    .venv/bin/python benchmarks/groups.py --images 1000 3000 10000
    .venv/bin/python benchmarks/groups.py --images 1000 --noisy
"""

import argparse
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from clearcast.data.corrupt import NOISY_FOLDER, corrupt_folder
from clearcast.data.groups import find_groups
from clearcast.disks import write_disks

VIEWS = (2, 6)  # pictures of a part: four on average


def main() -> None:
    """Print one line a size: pairwise precision and recall, and seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000])
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--noisy", action="store_true", help="look at the noisy pictures alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="render into this folder, or take what an earlier run rendered")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        paths, parts = _render(folder, max(asked.images), asked.size, asked.seed, noisy=asked.noisy)
        print(f"{os.cpu_count()} cores, {asked.size} pixels a side, {'noisy' if asked.noisy else 'noise-free'}")
        for count in asked.images:
            _measure(paths[:count], parts[:count], noisy=asked.noisy)


def _render(folder: Path, images: int, size: int, seed: int, *, noisy: bool) -> tuple[list[Path], list[str]]:
    """At least ``images`` pictures, copies of a part one after the other, and the part of each."""
    disks, spoilt = folder / "disks", folder / "noisy"
    if not (disks / "parts.csv").exists():
        write_disks(disks, parts=-(-2 * images // sum(VIEWS)) + 25, seed=seed, size=size, views=VIEWS)
    if noisy and not (spoilt / "Labels.xlsx").exists():
        corrupt_folder(disks, spoilt, seed=seed)
    listed = pd.read_csv(disks / "parts.csv")
    places = [spoilt / NOISY_FOLDER / path if noisy else disks / path for path in listed["path"]]
    return places, listed["part"].tolist()


def _measure(paths: Sequence[Path], parts: Sequence[str], *, noisy: bool) -> None:
    start, start_of_work = time.perf_counter(), time.process_time()
    found = find_groups(paths, noisy=[noisy] * len(paths)).groups
    seconds, work = time.perf_counter() - start, time.process_time() - start_of_work
    both, said, true = (_pairs(Counter(names)) for names in (zip(parts, found, strict=True), found, parts))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{len(paths):6} images of {len(set(parts)):5} parts: precision {both / max(said, 1):.4f}, "
        f"recall {both / max(true, 1):.4f}, {len(set(found)):5} groups, {seconds:7.1f} s ({work:.1f} s of processor), "
        f"{memory:.0f} MB at most",
        flush=True,
    )


def _pairs(sizes: "Counter[object]") -> int:
    """How many pairs of pictures are together."""
    return sum(size * (size - 1) // 2 for size in sizes.values())


if __name__ == "__main__":
    main()
