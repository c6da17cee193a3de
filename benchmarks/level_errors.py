"""How far off are noise types and levels? Known noise on noise-free pictures that a bundle did not learn from.

    .venv/bin/python benchmarks/level_errors.py BUNDLE SHEET [--images 100]

The pictures are those of the bundle's test rows in the sheet it was trained on. Each gets every noise type, from the
usual ranges, with JPEG of quality 90 after it. Told are the share of noise types that are named rightly, and the median
and the 90th percentile of each level's absolute error. Waves are those of stripes, whose true wave is known.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from clearcast import imaging
from clearcast.data.sheet import read_sheet
from clearcast.domain import NoiseType
from clearcast.imaging import Picture
from clearcast.noise import (
    DEFAULT_RANGES,
    GaussianLevel,
    PeriodicLevel,
    SaltPepperLevel,
    after_jpeg,
    corrupt,
    sample_level,
)
from clearcast.noise.telling import NoiseEstimate
from clearcast.runtime.engine import cores
from clearcast.runtime.model import Model
from clearcast.runtime.package import open_package

Errors = dict[str, list[float]]


def main() -> None:
    """Spoil, look, compare."""
    asked = arguments()
    package = open_package(asked.bundle)
    model = Model(package, threads=cores())
    references = pd.read_csv(asked.bundle / "predictions.csv")["reference"].drop_duplicates()
    sheet = read_sheet(asked.sheet)
    errors: Errors = {}
    named: dict[NoiseType, list[bool]] = {}
    for number, reference in enumerate(references.sample(frac=1, random_state=asked.seed)[: asked.images]):
        picture = imaging.load(sheet.resolve(reference), model.channels)
        named.setdefault(NoiseType.NONE, []).append(seen(model, picture).noise_type is NoiseType.NONE)
        for kind, levels in DEFAULT_RANGES.items():
            rng = np.random.default_rng((asked.seed, number))
            level = sample_level(levels, rng, picture.shape)
            estimate = seen(model, after_jpeg(corrupt(picture, level, rng), 90))
            named.setdefault(kind, []).append(estimate.noise_type is kind)
            compare(level, estimate, errors)
    for kind, right in named.items():
        print(f"{kind.value}: named rightly {np.mean(right):.3f} of {len(right)}")
    for name, values in errors.items():
        print(f"{name}: error {np.median(values):.3g} (median), {np.quantile(values, 0.9):.3g} (90%) of {len(values)}")


def seen(model: Model, picture: Picture) -> NoiseEstimate:
    """What a bundle says of a picture's noise."""
    return model.predict(picture, denoise=False).noise


def compare(level: GaussianLevel | SaltPepperLevel | PeriodicLevel, estimate: NoiseEstimate, errors: Errors) -> None:
    """Add the errors of one estimate, in the units that people are told."""
    found: dict[str, float] = {}
    match level:
        case GaussianLevel():
            found["standard deviation, grey levels"] = 255 * abs(estimate.sigma - level.sigma)
        case SaltPepperLevel():
            found["density, percent of pixels"] = 100 * abs(estimate.density - level.density)
        case PeriodicLevel(waves=(wave,)) if estimate.wave:
            turned = abs(estimate.wave.orientation - wave.orientation) % 180
            found["amplitude, grey levels"] = 255 * abs(estimate.wave.amplitude - wave.amplitude)
            found["period, percent of it"] = 100 * abs(estimate.wave.period / wave.period - 1)
            found["orientation, degrees"] = min(turned, 180 - turned)
    for name, error in found.items():
        errors.setdefault(name, []).append(error)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
