"""Survival of fine defects in denoising: pinholes and scratches on rendered disks, detected before and after.

    .venv/bin/python benchmarks/defect_survival.py BUNDLE [--parts 80] [--size 512]

A defect is detected in an image if its pixels differ from a ring around it by at least 6 grey levels and by 3 times the
ring's own spread (both by medians), with the same sign as in the reference image. For the bundle and for a median
filter (three passes of 3 x 3) there are two shares, each with the number of defects:

- end-to-end: of the defects detected in the reference image, those detected in the denoised one (noise and denoiser);
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
from clearcast.nn.denoiser import denoise_tiled
from clearcast.noise import DEFAULT_NOISE_RANGES, compress_as_jpeg, corrupt_image, sample_noise
from clearcast.pipelines.networks import load_networks
from clearcast.synth.disks import write_disks

FINE_KINDS = {"pinhole", "scratch"}
MIN_CONTRAST, MIN_SPREADS = 6.0, 3.0  # grey levels; times the ring's spread
Mask = NDArray[np.bool_]
Method = Callable[[ImageArray], ImageArray]


def main() -> None:
    """Render parts, add noise, denoise, and print the shares of defects that survive."""
    options = parse_arguments()
    networks, _ = load_networks(options.bundle)
    methods: dict[str, Method] = {
        "noisy": lambda image: image,
        "bundle": lambda image: denoise_tiled(networks.denoiser, image)[0],
        "median": CLASSICAL_DENOISERS["median"],
    }
    detections: dict[tuple[str, str], list[tuple[bool, bool]]] = {}  # by method and noise: in noisy, in denoised
    with tempfile.TemporaryDirectory() as folder:
        write_disks(Path(folder), parts=options.parts, size=options.size, seed=options.seed)
        for number, (image, defects) in enumerate(iterate_fine_defects(Path(folder))):
            for noise_type, levels in DEFAULT_NOISE_RANGES.items():
                rng = np.random.default_rng((options.seed, number))
                noisy = compress_as_jpeg(corrupt_image(image, sample_noise(levels, rng, image.shape), rng), 90)
                for name, method in methods.items():
                    hits = detect_before_and_after(image, noisy, method(noisy), defects)
                    for noise in ("all", noise_type.value):
                        detections.setdefault((name, noise), []).extend(hits)
    for (name, noise), hits in sorted(detections.items()):
        end_to_end, kept = [after for _, after in hits], [after for before, after in hits if before]
        print(f"{name}, {noise}: end-to-end {format_share(end_to_end)}, kept {format_share(kept)}")


def detect_before_and_after(
    reference: ImageArray, noisy: ImageArray, denoised: ImageArray, defects: list[Mask]
) -> list[tuple[bool, bool]]:
    """Detect each defect that is visible in the reference image in the noisy and in the denoised image."""
    visible = [(defect, sign) for defect in defects if (sign := detect_defect(reference, defect, defects))]
    return [
        (detect_defect(noisy, defect, defects) == sign, detect_defect(denoised, defect, defects) == sign)
        for defect, sign in visible
    ]


def format_share(hits: list[bool]) -> str:
    """Format a share and its count, such as "0.750 of 4"."""
    return f"{np.mean(hits):.3f} of {len(hits)}" if hits else "none of 0"


def detect_defect(image: ImageArray, defect: Mask, defects: list[Mask]) -> int:
    """Detect a defect: 1 if it is brighter than its surroundings, -1 if it is darker, 0 if it is not detected."""
    marked = np.any(defects, axis=0).astype(np.uint8)
    ring = dilate(defect.astype(np.uint8), 8) & ~dilate(marked, 2)
    if not ring.any():
        return 0
    surroundings = image[ring].astype(float)
    median = np.median(surroundings)
    difference = float(np.median(image[defect]) - median)
    spread = 1.4826 * float(np.median(np.abs(surroundings - median)))
    return int(np.sign(difference)) if abs(difference) >= max(MIN_CONTRAST, MIN_SPREADS * spread) else 0


def dilate(mask: NDArray[np.uint8], pixels: int) -> Mask:
    """Dilate a mask by a number of pixels."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.dilate(mask, kernel) > 0, np.bool_)


def iterate_fine_defects(folder: Path) -> Iterator[tuple[ImageArray, list[Mask]]]:
    """Iterate over grey images whose defects are all fine, with a mask of each connected defect."""
    with (folder / "parts.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            kinds = {defect.split()[0] for defect in row["defects"].split(";") if defect.strip()}
            if row["mask"] and kinds and kinds <= FINE_KINDS:
                mask = imaging.load_image(folder / row["mask"], Channels.GREY) > 127
                count, labels = cv2.connectedComponents(mask.astype(np.uint8))
                masks = [labels == label for label in range(1, count)]
                yield (
                    imaging.load_image(folder / row["path"], Channels.GREY),
                    [mask for mask in masks if mask.sum() >= 4],
                )


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--parts", type=int, default=80)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
