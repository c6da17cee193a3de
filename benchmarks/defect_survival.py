"""Do fine defects survive denoising? Pinholes and scratches on rendered disks, found before and after.

    .venv/bin/python benchmarks/defect_survival.py BUNDLE [--parts 80] [--size 512]

A defect is found in a picture if its pixels differ from a ring around it by at least 6 grey levels and by 3 times the
ring's own spread (both by medians), towards the same side as in the noise-free picture. For the bundle and for a median
filter (three passes of 3 x 3) two shares are told, each with the number of defects that it is of:

- again: of the defects found in the noise-free picture, those found in the restored one; noise and denoiser together;
- kept: of those found in the noisy picture too, those found in the restored one; the others the denoiser erased.

Noise is drawn from the usual ranges, with JPEG of quality 90 after it.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast import imaging
from clearcast.bundle.networks import load_networks
from clearcast.disks import write_disks
from clearcast.imaging import Channels, Picture
from clearcast.models.clear.restoring import restore
from clearcast.noise import DEFAULT_RANGES, after_jpeg, corrupt, sample_level
from clearcast.rivals import CLASSICAL

FINE = {"pinhole", "scratch"}
LEAST, SPREADS = 6.0, 3.0  # grey levels; times the ring's spread
Mask = NDArray[np.bool_]


def main() -> None:
    """Render, spoil, restore, count."""
    asked = arguments()
    networks, _ = load_networks(asked.bundle)
    methods: dict[str, Callable[[Picture], Picture]] = {
        "noisy": lambda picture: picture,
        "bundle": lambda picture: restore(networks.restorer, picture)[0],
        "median": CLASSICAL["median"],
    }
    found: dict[tuple[str, str], list[tuple[bool, bool]]] = {}  # of each visible defect: in the noisy, the restored one
    with tempfile.TemporaryDirectory() as folder:
        write_disks(Path(folder), parts=asked.parts, size=asked.size, seed=asked.seed)
        for number, (picture, defects) in enumerate(fine_defects(Path(folder))):
            visible = [(defect, side) for defect in defects if (side := contrast(picture, defect, defects))]
            for kind, levels in DEFAULT_RANGES.items():
                rng = np.random.default_rng((asked.seed, number))
                noisy = after_jpeg(corrupt(picture, sample_level(levels, rng, picture.shape), rng), 90)
                before = [contrast(noisy, defect, defects) == side for defect, side in visible]
                for name, method in methods.items():
                    restored = method(noisy)
                    after = [contrast(restored, defect, defects) == side for defect, side in visible]
                    for noise in ("all", kind.value):
                        found.setdefault((name, noise), []).extend(zip(before, after, strict=True))
    for (name, noise), hits in sorted(found.items()):
        again, kept = [after for _, after in hits], [after for before, after in hits if before]
        print(f"{name}, {noise}: again {share(again)}, kept {share(kept)}")


def share(hits: list[bool]) -> str:
    """Such as "0.750 of 4"."""
    return f"{np.mean(hits):.3f} of {len(hits)}" if hits else "none of 0"


def contrast(picture: Picture, defect: Mask, defects: list[Mask]) -> int:
    """1 if the defect is found as brighter than what is around it, -1 as darker, 0 if it is not found."""
    marked = np.any(defects, axis=0).astype(np.uint8)
    ring = grown(defect.astype(np.uint8), 8) & ~grown(marked, 2)
    if not ring.any():
        return 0
    around = picture[ring].astype(float)
    middle = np.median(around)
    difference = float(np.median(picture[defect]) - middle)
    spread = 1.4826 * float(np.median(np.abs(around - middle)))
    return int(np.sign(difference)) if abs(difference) >= max(LEAST, SPREADS * spread) else 0


def grown(mask: NDArray[np.uint8], pixels: int) -> Mask:
    """The mask with a border of so many pixels."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.dilate(mask, kernel) > 0, np.bool_)


def fine_defects(folder: Path) -> Iterator[tuple[Picture, list[Mask]]]:
    """Grey pictures whose defects are all fine, with a mask of each connected defect."""
    with (folder / "parts.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            kinds = {defect.split()[0] for defect in row["defects"].split(";") if defect.strip()}
            if row["mask"] and kinds and kinds <= FINE:
                mask = imaging.load(folder / row["mask"], Channels.GREY) > 127
                count, labels = cv2.connectedComponents(mask.astype(np.uint8))
                masks = [labels == label for label in range(1, count)]
                yield imaging.load(folder / row["path"], Channels.GREY), [mask for mask in masks if mask.sum() >= 4]


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--parts", type=int, default=80)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
