"""Survival of fine defects in denoising: pinholes and scratches on rendered disks, detected before and after.

    .venv/bin/python benchmarks/defect_survival.py BUNDLE [--parts 80] [--size 512]

A defect is detected in an image if its pixels differ from a ring around it by at least 6 grey levels and by 3 times the
ring's own spread (both by medians), with the same sign as in the reference image. For the bundle and for a median
filter (three passes of 3 x 3) there are two shares, each with the number of defects:

- again: of the defects detected in the reference image, those detected in the denoised one (noise and denoiser);
- kept: of those detected in the noisy image too, those detected in the denoised one (the denoiser alone).

Noise is drawn from the default ranges, then JPEG of quality 90 follows.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.evaluation.benchmark.classical import CLASSICAL_DENOISERS
from clearcast.nn.restorer import denoise_tiled
from clearcast.noise import DEFAULT_NOISE_RANGES, compress_as_jpeg, corrupt_image, sample_noise
from clearcast.pipelines.networks import load_networks
from clearcast.synth.disks import write_disks

FINE = {"pinhole", "scratch"}
LEAST, SPREADS = 6.0, 3.0  # grey levels; times the ring's spread
Mask = NDArray[np.bool_]


def main() -> None:
    """Render, add noise, denoise, count."""
    options = arguments()
    networks, _ = load_networks(options.bundle)
    methods: dict[str, Callable[[ImageArray], ImageArray]] = {
        "noisy": lambda image: image,
        "bundle": lambda image: denoise_tiled(networks.denoiser, image)[0],
        "median": CLASSICAL_DENOISERS["median"],
    }
    found: dict[tuple[str, str], list[tuple[bool, bool]]] = {}  # of each visible defect: in noisy, in denoised
    with tempfile.TemporaryDirectory() as folder:
        write_disks(Path(folder), parts=options.parts, size=options.size, seed=options.seed)
        for number, (image, defects) in enumerate(fine_defects(Path(folder))):
            visible = [(defect, side) for defect in defects if (side := contrast(image, defect, defects))]
            for kind, levels in DEFAULT_NOISE_RANGES.items():
                rng = np.random.default_rng((options.seed, number))
                noisy = compress_as_jpeg(corrupt_image(image, sample_noise(levels, rng, image.shape), rng), 90)
                before = [contrast(noisy, defect, defects) == side for defect, side in visible]
                for name, method in methods.items():
                    denoised = method(noisy)
                    after = [contrast(denoised, defect, defects) == side for defect, side in visible]
                    for noise in ("all", kind.value):
                        found.setdefault((name, noise), []).extend(zip(before, after, strict=True))
    for (name, noise), hits in sorted(found.items()):
        again, kept = [after for _, after in hits], [after for before, after in hits if before]
        print(f"{name}, {noise}: again {share(again)}, kept {share(kept)}")


def share(hits: list[bool]) -> str:
    """Such as "0.750 of 4"."""
    return f"{np.mean(hits):.3f} of {len(hits)}" if hits else "none of 0"


def contrast(image: ImageArray, defect: Mask, defects: list[Mask]) -> int:
    """Detect a defect: 1 if it is brighter than its surroundings, -1 if it is darker, 0 if it is not detected."""
    marked = np.any(defects, axis=0).astype(np.uint8)
    ring = dilated(defect.astype(np.uint8), 8) & ~dilated(marked, 2)
    if not ring.any():
        return 0
    around = image[ring].astype(float)
    middle = np.median(around)
    difference = float(np.median(image[defect]) - middle)
    spread = 1.4826 * float(np.median(np.abs(around - middle)))
    return int(np.sign(difference)) if abs(difference) >= max(LEAST, SPREADS * spread) else 0


def dilated(mask: NDArray[np.uint8], pixels: int) -> Mask:
    """Dilate a mask by a number of pixels."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.dilate(mask, kernel) > 0, np.bool_)


def fine_defects(folder: Path) -> Iterator[tuple[ImageArray, list[Mask]]]:
    """Grey images whose defects are all fine, with a mask of each connected defect."""
    with (folder / "parts.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            kinds = {defect.split()[0] for defect in row["defects"].split(";") if defect.strip()}
            if row["mask"] and kinds and kinds <= FINE:
                mask = imaging.load_image(folder / row["mask"], Channels.GREY) > 127
                count, labels = cv2.connectedComponents(mask.astype(np.uint8))
                masks = [labels == label for label in range(1, count)]
                yield (
                    imaging.load_image(folder / row["path"], Channels.GREY),
                    [mask for mask in masks if mask.sum() >= 4],
                )


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--parts", type=int, default=80)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
