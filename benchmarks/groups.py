"""Precision, recall and speed of group detection, on rendered disks with known groups.

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

from clearcast.data.groups import detect_groups
from clearcast.synth.corruption import NOISY_FOLDER, degrade_folder
from clearcast.synth.disks import write_disks

VIEWS = (2, 6)  # images of a part: four on average


def main() -> None:
    """Print pairwise precision, recall and seconds for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000])
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--noisy", action="store_true", help="use the noisy images only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="render into this folder, or reuse what an earlier run rendered")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        paths, parts = _render(folder, max(options.images), options.size, options.seed, noisy=options.noisy)
        print(f"{os.cpu_count()} cores, {options.size} pixels a side, {'noisy' if options.noisy else 'noise-free'}")
        for count in options.images:
            _measure_detection(paths[:count], parts[:count], noisy=options.noisy)


def _render(folder: Path, images: int, size: int, seed: int, *, noisy: bool) -> tuple[list[Path], list[str]]:
    """Render at least ``images`` images, those of a part in sequence, and list their parts."""
    disks, degraded = folder / "disks", folder / "noisy"
    if not (disks / "parts.csv").exists():
        write_disks(disks, parts=-(-2 * images // sum(VIEWS)) + 25, seed=seed, size=size, views=VIEWS)
    if noisy and not (degraded / "Labels.xlsx").exists():
        degrade_folder(disks, degraded, seed=seed)
    table = pd.read_csv(disks / "parts.csv")
    image_paths = [degraded / NOISY_FOLDER / path if noisy else disks / path for path in table["path"]]
    return image_paths, table["part"].tolist()


def _measure_detection(paths: Sequence[Path], parts: Sequence[str], *, noisy: bool) -> None:
    start, cpu_start = time.perf_counter(), time.process_time()
    groups = detect_groups(paths, noisy=[noisy] * len(paths)).groups
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    correct, found_pairs, true_pairs = (
        _count_pairs(Counter(names)) for names in (zip(parts, groups, strict=True), groups, parts)
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{len(paths):6} images of {len(set(parts)):5} parts: precision {correct / max(found_pairs, 1):.4f}, "
        f"recall {correct / max(true_pairs, 1):.4f}, {len(set(groups)):5} groups, "
        f"{seconds:7.1f} s ({cpu_seconds:.1f} s of CPU time), peak memory {memory:.0f} MB",
        flush=True,
    )


def _count_pairs(sizes: "Counter[object]") -> int:
    """Count the pairs of images within groups of these sizes."""
    return sum(size * (size - 1) // 2 for size in sizes.values())


if __name__ == "__main__":
    main()
