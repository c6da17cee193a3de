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

_MAX_PIXEL_SHARE = 1e-4  # allowed share of an image's pixels that differ by more than one grey level
_RANDOM_SHAPES = ((64, 64), (65, 97), (211, 300), (600, 484))  # (height, width) of random images, in pixels
_SEED = 7
_REMEDY = "no bundle is written. Train again with another --seed"

PredictFunction = Callable[[ImageArray], Prediction]


def check_parity(
    model: OnnxModel,
    in_tiles: OnnxModel | None,
    threshold: float | None,
    predict: PredictFunction,
    real: Sequence[ImageArray],
) -> ParityResult:
    """Compare the predictions for real and for random images.

    Args:
        model: the graphs.
        in_tiles: the same graphs, processing every image in tiles; None if the bundle has no graphs for tiles.
        threshold: of ``p_defect``, above which the verdict is defect.
        predict: with the networks in PyTorch.
        real: uint8 (height, width) or (height, width, 3).

    Raises:
        OutputError: a verdict flips, or a probability or a denoised image differs by more than allowed.
        ModelOutputError: the networks or the graphs give an invalid probability.
    """
    result: ParityResult = {"pictures": 0, "flips": 0, "largest_difference": 0.0, "pixels_off": 0.0}
    for images, tiled in _image_batches(real, model.channels.depth, tiles=in_tiles is not None):
        exported = (in_tiles if tiled and in_tiles else model).predict_batch(np.stack([*map(with_depth, images)]))
        for image, prediction in zip(images, exported, strict=True):
            _compare(predict(image), prediction, threshold, result)
    _require_parity(result)
    return result


def random_images(depth: int) -> list[ImageArray]:
    """Return images of several odd sizes, two of each: soft shapes with Gaussian noise; the same each time."""
    rng = np.random.default_rng(_SEED)
    return [_random_image(rng, *shape, depth) for shape in _RANDOM_SHAPES for _ in range(2)]


def _random_image(rng: np.random.Generator, height: int, width: int, depth: int) -> ImageArray:
    down, across = np.mgrid[:height, :width] / 40
    soft = 128 + 60 * np.sin(down * rng.uniform(0.5, 2)) + 60 * np.cos(across * rng.uniform(0.5, 2))
    noisy = soft[..., None] + rng.normal(0, rng.uniform(0, 60), (height, width, depth))
    image = np.asarray(noisy.round().clip(0, 255), np.uint8)
    return image[..., 0] if depth == 1 else image


def _image_batches(real: Sequence[ImageArray], depth: int, *, tiles: bool) -> Iterator[tuple[list[ImageArray], bool]]:
    """Yield batches of images of one size, and whether to process them in tiles."""
    random = random_images(depth)
    yield from (([image], False) for image in real)
    yield from ((random[first : first + 2], False) for first in range(0, len(random), 2))
    if tiles:
        yield random[-1:], True


def _compare(expected: Prediction, exported: Prediction, threshold: float | None, result: ParityResult) -> None:
    """Update ``result`` with the differences for one image."""
    probabilities = expected.noise.probabilities
    require_finite(
        "the networks' probabilities in PyTorch", [*probabilities.values(), expected.p_defect or 0.0], _REMEDY
    )
    differences = [abs(value - exported.noise.probabilities[kind]) for kind, value in probabilities.items()]
    if expected.p_defect is not None:
        assert exported.p_defect is not None
        assert threshold is not None
        differences.append(abs(expected.p_defect - exported.p_defect))
        result["flips"] += (exported.p_defect > threshold) != expected.defect
    assert expected.denoised is not None
    assert exported.denoised is not None
    off = np.abs(expected.denoised.astype(int) - exported.denoised.astype(int)) > 1
    result["pictures"] += 1
    result["largest_difference"] = float(np.max([result["largest_difference"], *differences]))  # keeps NaN, unlike max
    result["pixels_off"] = float(np.max([result["pixels_off"], off.mean()]))


def _require_parity(result: ParityResult) -> None:
    if result["flips"]:
        raise OutputError(
            f"{result['flips']} of {result['pictures']} verdicts flip between PyTorch and ONNX Runtime; {_REMEDY}"
        )
    if not (result["largest_difference"] <= PROBABILITY_TOLERANCE and result["pixels_off"] <= _MAX_PIXEL_SHARE):
        raise OutputError(
            f"ONNX Runtime differs from PyTorch: probabilities by {result['largest_difference']:.2g} (allowed "
            f"{PROBABILITY_TOLERANCE:g}), {result['pixels_off']:.2%} of an image's pixels by more than one grey level "
            f"(allowed {_MAX_PIXEL_SHARE:.2%}); no bundle is written. Install the tested versions (constraints.txt) "
            "and try again"
        )
