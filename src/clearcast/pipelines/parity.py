"""Parity check: the predictions of a bundle's graphs in ONNX Runtime against those of its networks in PyTorch."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from clearcast.bundle.manifest import ParityResult
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import OutputError
from clearcast.core.numbers import require_finite
from clearcast.inference.model import OnnxModel
from clearcast.inference.prediction import Prediction, with_depth
from clearcast.inference.verification import PROBABILITY_TOLERANCE

_PIXELS = 1e-4  # allowed share of an image's pixels that differ by more than one grey level
_SHAPES = ((64, 64), (65, 97), (211, 300), (600, 484))  # (height, width) of random images, in pixels
_SEED = 7
_REMEDY = "no bundle is written. Train again with another --seed"


PredictFunction = Callable[[ImageArray], Prediction]


def check_parity(
    model: OnnxModel,
    in_tiles: OnnxModel | None,
    threshold: float | None,
    ask: PredictFunction,
    real: Sequence[ImageArray],
) -> ParityResult:
    """Compare the predictions for real and for random images.

    Args:
        model: the graphs.
        in_tiles: the same graphs, processing every image in tiles; None if the bundle has no graphs for tiles.
        threshold: of ``p_defect``, above which the verdict is defect.
        ask: predicts in PyTorch.
        real: images, uint8 (height, width) or (height, width, 3).

    Raises:
        OutputError: a verdict flips, or a probability or a denoised image differs by more than allowed.
        ModelOutputError: the networks or the graphs give an invalid probability.
    """
    found: ParityResult = {"pictures": 0, "flips": 0, "largest_difference": 0.0, "pixels_off": 0.0}
    for pictures, tiled in _trials(real, model.channels.depth, tiles=in_tiles is not None):
        exported = (in_tiles if tiled and in_tiles else model).predict_batch(np.stack([*map(with_depth, pictures)]))
        for picture, prediction in zip(pictures, exported, strict=True):
            _compare(ask(picture), prediction, threshold, found)
    _require_parity(found)
    return found


def random_images(depth: int) -> list[ImageArray]:
    """Return images of several odd sizes, two of each: soft shapes with Gaussian noise; the same each time."""
    rng = np.random.default_rng(_SEED)
    return [_random(rng, *shape, depth) for shape in _SHAPES for _ in range(2)]


def _random(rng: np.random.Generator, height: int, width: int, depth: int) -> ImageArray:
    down, across = np.mgrid[:height, :width] / 40
    soft = 128 + 60 * np.sin(down * rng.uniform(0.5, 2)) + 60 * np.cos(across * rng.uniform(0.5, 2))
    noisy = soft[..., None] + rng.normal(0, rng.uniform(0, 60), (height, width, depth))
    picture = np.asarray(noisy.round().clip(0, 255), np.uint8)
    return picture[..., 0] if depth == 1 else picture


def _trials(real: Sequence[ImageArray], depth: int, *, tiles: bool) -> Iterator[tuple[list[ImageArray], bool]]:
    """Yield batches of images of one size, and whether to process them in tiles."""
    drawn = random_images(depth)
    yield from (([picture], False) for picture in real)
    yield from ((drawn[place : place + 2], False) for place in range(0, len(drawn), 2))
    if tiles:
        yield drawn[-1:], True


def _compare(expected: Prediction, exported: Prediction, threshold: float | None, found: ParityResult) -> None:
    """Update ``found`` with the differences for one image."""
    probabilities = expected.noise.probabilities
    require_finite(
        "the networks' probabilities in PyTorch", [*probabilities.values(), expected.p_defect or 0.0], _REMEDY
    )
    differences = [abs(chance - exported.noise.probabilities[kind]) for kind, chance in probabilities.items()]
    if expected.p_defect is not None:
        assert exported.p_defect is not None
        assert threshold is not None
        differences.append(abs(expected.p_defect - exported.p_defect))
        found["flips"] += (exported.p_defect > threshold) != expected.defect
    assert expected.denoised is not None
    assert exported.denoised is not None
    off = np.abs(expected.denoised.astype(int) - exported.denoised.astype(int)) > 1
    found["pictures"] += 1
    found["largest_difference"] = float(np.max([found["largest_difference"], *differences]))  # keeps NaN, unlike max
    found["pixels_off"] = float(np.max([found["pixels_off"], off.mean()]))


def _require_parity(found: ParityResult) -> None:
    if found["flips"]:
        raise OutputError(
            f"{found['flips']} of {found['pictures']} verdicts flip between PyTorch and ONNX Runtime, even if their "
            f"probabilities lie close to the threshold; {_REMEDY}"
        )
    if not (found["largest_difference"] <= PROBABILITY_TOLERANCE and found["pixels_off"] <= _PIXELS):
        raise OutputError(
            f"ONNX Runtime differs from PyTorch: probabilities by {found['largest_difference']:.2g} (allowed "
            f"{PROBABILITY_TOLERANCE:g}), {found['pixels_off']:.2%} of an image's pixels by more than one grey level "
            f"(allowed "
            f"{_PIXELS:.2%}); no bundle is written. Install the tested versions (constraints.txt) and try again"
        )
