"""Model prediction for one image: decoded from the outputs of a bundle's graphs, and checked before use."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import ModelOutputError
from clearcast.core.numbers import FLOAT32_PROBABILITY_CLAMP, log_odds, require_finite, require_shares
from clearcast.noise import noise_types_with_level
from clearcast.noise.estimation import NoiseEstimate, to_noise_estimate
from clearcast.noise.registry import NoiseType

_SUM_TOLERANCE = 1e-3  # by how much the sum of the noise-type probabilities may differ from 1
_WAVES_SIDE = 128  # values a side

_Floats = NDArray[np.float32]
_Shape = tuple[int | None, ...]  # None: any size


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Prediction of a model, ONNX or PyTorch, for one image; None: the model has no such output.

    Attributes:
        noise: noise type with probabilities, levels and the strongest wave.
        has_noise_levels: whether the model estimates noise levels; if not, those in ``noise`` mean nothing.
        p_defect: calibrated probability of defect, 0..1.
        log_odds: calibrated log-odds of defect, finite; from graphs, whose probabilities are float32, within 16.2 of 0.
        defect: whether ``log_odds`` exceed the model's threshold.
        evidence: float32 (h, w), calibrated log-odds of defect by position.
        denoised: uint8 of the image's shape, (height, width) or (height, width, 3); None also if it was not requested.
    """

    noise: NoiseEstimate
    has_noise_levels: bool = True
    p_defect: float | None = None
    log_odds: float | None = None
    defect: bool | None = None
    evidence: _Floats | None = None
    denoised: ImageArray | None = None


def decode_predictions(
    outputs: Mapping[str, object],
    shape: tuple[int, ...],
    *,
    threshold: float | None,
    noise_types: tuple[NoiseType, ...] = tuple(NoiseType),
) -> list[Prediction]:
    """Check the outputs of a bundle's graphs for n images of one size, and decode them; other outputs are ignored.

    Args:
        outputs: by name; None or a missing name for an output that the bundle does not have. ``p_noise`` float32
            (n, types), probabilities in the order of ``noise_types``; ``levels`` float32 (n, levels), 0..1, in the
            order of ``noise_types_with_level(noise_types)``; ``waves`` float32 (n, 128, 128), the periodic noise that
            was added, on the 0..1 scale, or ``wave`` float32 (n, 3), amplitude, cycles down and cycles across of the
            strongest wave; ``p_defect`` float32 (n,), 0..1; ``evidence`` float32 (n, h, w); ``restored`` uint8 (n,
            height, width, depth), the denoised images.
        shape: of the input images, (n, height, width, depth).
        threshold: the bundle's, of ``p_defect``, 0..1; None: it has none.
        noise_types: the bundle's classes of noise.

    Returns:
        A prediction for each image.

    Raises:
        ModelOutputError: ``p_noise`` is missing, or an output has another dtype or shape, is not finite, or is out of
            range.
    """
    count, height, width, _ = shape
    p_noise = _noise_probabilities(outputs, count, len(noise_types))
    p_defect = _shares(outputs, "p_defect", (count,))
    levels = _shares(outputs, "levels", (count, len(noise_types_with_level(noise_types))))
    waves = _floats(outputs, "waves", (count, _WAVES_SIDE, _WAVES_SIDE))
    wave = _floats(outputs, "wave", (count, 3))
    evidence = _floats(outputs, "evidence", (count, None, None))
    denoised = outputs.get("restored")
    images = None if denoised is None else _without_depth(require_pixels("restored", denoised, shape))

    def decode_noise(index: int) -> NoiseEstimate:
        noise_type = noise_types[int(p_noise[index].argmax())]
        no_levels = [0.0] * len(noise_types_with_level(noise_types))
        return to_noise_estimate(
            p_noise[index].tolist(),
            no_levels if levels is None else levels[index].tolist(),
            _periodic_noise(noise_type, waves, wave, index),
            height,
            width,
            noise_types=noise_types,
        )

    def decode(index: int) -> Prediction:
        probability = None if p_defect is None else float(p_defect[index])
        return Prediction(
            noise=decode_noise(index),
            has_noise_levels=levels is not None,
            p_defect=probability,
            log_odds=None if probability is None else log_odds(probability, FLOAT32_PROBABILITY_CLAMP),
            defect=None if probability is None or threshold is None else probability > threshold,
            evidence=None if evidence is None else evidence[index],
            denoised=None if images is None else images[index],
        )

    return [decode(index) for index in range(count)]


def require_pixels(name: str, value: object, shape: _Shape) -> NDArray[np.uint8]:
    """Return an output of pixels, uint8 of a shape.

    Raises:
        ModelOutputError: it has another dtype or shape.
    """
    _require_array(name, value, np.dtype(np.uint8), shape)
    assert isinstance(value, np.ndarray)
    return value


def with_depth(image: ImageArray) -> ImageArray:
    """Return a uint8 image as (height, width, depth)."""
    return image.reshape(*image.shape[:2], -1)


def _without_depth(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 (..., depth) images as they are for colour, or without the last axis for grey (depth 1)."""
    return images[..., 0] if images.shape[-1] == 1 else images


def _noise_probabilities(outputs: Mapping[str, object], count: int, types: int) -> _Floats:
    p_noise = _shares(outputs, "p_noise", (count, types))
    if p_noise is None:
        raise ModelOutputError("p_noise: expected probabilities of the noise types, got no such output")
    sums = p_noise.sum(axis=1)
    wrong = sums[np.abs(sums - 1) > _SUM_TOLERANCE]
    if wrong.size:
        raise ModelOutputError(f"p_noise: expected probabilities that add up to 1, got a sum of {wrong[0]}")
    return p_noise


def _periodic_noise(
    noise_type: NoiseType, waves: _Floats | None, wave: _Floats | None, index: int
) -> _Floats | list[float] | None:
    """Return an image's waves or its strongest wave, for ``to_noise_estimate``; None unless its noise is periodic."""
    if noise_type is not NoiseType.PERIODIC:
        return None  # finding the strongest wave takes a millisecond
    if waves is not None:
        return np.asarray(waves[index], np.float32)
    return None if wave is None else list(map(float, wave[index]))


def _shares(outputs: Mapping[str, object], name: str, shape: _Shape) -> _Floats | None:
    values = _floats(outputs, name, shape)
    return None if values is None else require_shares(name, values)


def _floats(outputs: Mapping[str, object], name: str, shape: _Shape) -> _Floats | None:
    value = outputs.get(name)
    if value is None:
        return None
    _require_array(name, value, np.dtype(np.float32), shape)
    assert isinstance(value, np.ndarray)
    require_finite(name, value)
    return value


def _require_array(name: str, value: object, dtype: np.dtype[np.generic], shape: _Shape) -> None:
    """Reject anything but a non-empty array of a dtype and shape."""
    expected = f"{dtype} ({', '.join('any' if size is None else str(size) for size in shape)})"
    if not isinstance(value, np.ndarray):
        raise ModelOutputError(f"{name}: expected {expected}, got {type(value).__name__}")
    fits = len(value.shape) == len(shape) and all(
        size > 0 if allowed is None else size == allowed for size, allowed in zip(value.shape, shape, strict=True)
    )
    if value.dtype != dtype or not fits:
        raise ModelOutputError(f"{name}: expected {expected}, got {value.dtype} {value.shape}")
