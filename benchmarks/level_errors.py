"""Errors of noise types and noise levels: known noise on reference images that a bundle was not trained on.

    .venv/bin/python benchmarks/level_errors.py BUNDLE SHEET [--images 100]

The images are those of the bundle's test rows in the sheet it was trained on. Each gets every noise type, from the
default ranges, then JPEG of quality 90. The output is the accuracy of the noise types, and the median and the 90th
percentile of each level's absolute error. Waves are measured on stripes, whose true wave is known.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from clearcast.bundle.archive import open_package
from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.data.sheet import read_sheet
from clearcast.inference.inspector import available_cores
from clearcast.inference.model import OnnxModel
from clearcast.noise import (
    DEFAULT_NOISE_RANGES,
    GaussianNoise,
    ImpulseNoise,
    NoiseParameters,
    PeriodicNoise,
    compress_as_jpeg,
    corrupt_image,
    sample_noise,
)
from clearcast.noise.estimation import NoiseEstimate
from clearcast.noise.registry import NoiseType

Errors = dict[str, list[float]]


def main() -> None:
    """Add noise, estimate it, and print the errors."""
    options = parse_arguments()
    package = open_package(options.bundle)
    model = OnnxModel(package, threads=available_cores())
    references = pd.read_csv(options.bundle / "predictions.csv")["reference"].drop_duplicates()
    sheet = read_sheet(options.sheet)
    errors: Errors = {}
    correct: dict[NoiseType, list[bool]] = {}
    for number, reference in enumerate(references.sample(frac=1, random_state=options.seed)[: options.images]):
        image = imaging.load_image(sheet.resolve(reference), model.channels)
        correct.setdefault(NoiseType.NONE, []).append(estimate_noise(model, image).noise_type is NoiseType.NONE)
        for noise_type, levels in DEFAULT_NOISE_RANGES.items():
            rng = np.random.default_rng((options.seed, number))
            level = sample_noise(levels, rng, image.shape)
            estimate = estimate_noise(model, compress_as_jpeg(corrupt_image(image, level, rng), 90))
            correct.setdefault(noise_type, []).append(estimate.noise_type is noise_type)
            add_errors(level, estimate, errors)
    for noise_type, hits in correct.items():
        print(f"{noise_type.value}: accuracy {np.mean(hits):.3f} of {len(hits)}")
    for name, values in errors.items():
        print(f"{name}: error {np.median(values):.3g} (median), {np.quantile(values, 0.9):.3g} (90%) of {len(values)}")


def estimate_noise(model: OnnxModel, image: ImageArray) -> NoiseEstimate:
    """Estimate the noise of an image by a bundle."""
    return model.predict(image, denoise=False).noise


def add_errors(level: NoiseParameters, estimate: NoiseEstimate, errors: Errors) -> None:
    """Add the errors of one estimate, in the units of the report."""
    measured: dict[str, float] = {}
    match level:
        case GaussianNoise():
            measured["standard deviation, grey levels"] = 255 * abs(estimate.sigma - level.sigma)
        case ImpulseNoise():
            measured["density, percent of pixels"] = 100 * abs(estimate.density - level.density)
        case PeriodicNoise(waves=(wave,)) if estimate.wave:
            angle = abs(estimate.wave.orientation - wave.orientation) % 180
            measured["amplitude, grey levels"] = 255 * abs(estimate.wave.amplitude - wave.amplitude)
            measured["period, percent of it"] = 100 * abs(estimate.wave.period / wave.period - 1)
            measured["orientation, degrees"] = min(angle, 180 - angle)
    for name, error in measured.items():
        errors.setdefault(name, []).append(error)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
