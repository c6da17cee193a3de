"""What a bundle's graphs say of pictures, checked as it enters: what cannot be is an error, never a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.checks import require_finite, require_shares
from clearcast.domain import NoiseType
from clearcast.errors import ModelOutputError
from clearcast.noise import estimated_noises

_SUM = 1e-3  # by which the probabilities of the noise types may miss 1
_WAVES_SIDE = 128

Floats = NDArray[np.float32]
Shape = tuple[int | None, ...]  # None: any size


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the graphs say of n pictures of one size; None where the bundle does not say it.

    Attributes:
        p_defect: float32 (n,), calibrated probability of defect, 0..1.
        p_noise: float32 (n, types), probabilities in the order of ``noise_types``, adding up to 1.
        levels: float32 (n, levels), such as the standard deviation of Gaussian noise and the density of impulses, 0..1,
            in the order of ``estimated_noises(noise_types)``.
        waves: float32 (n, 128, 128), what periodic noise added, on the 0..1 scale; see ``noise.strongest_wave``.
        wave: float32 (n, 3), in place of ``waves``: of the strongest one amplitude, cycles down and cycles across.
        evidence: float32 (n, h, w), log-odds of defect by place.
        restored: uint8 (n, height, width, depth), the pictures without noise; None also where nobody asked for them.
        noise_types: the bundle's classes of noise.
    """

    p_noise: Floats
    p_defect: Floats | None = None
    levels: Floats | None = None
    waves: Floats | None = None
    wave: Floats | None = None
    evidence: Floats | None = None
    restored: NDArray[np.uint8] | None = None
    noise_types: tuple[NoiseType, ...] = tuple(NoiseType)


def check_answers(
    said: Mapping[str, object], pictures: tuple[int, ...], noise_types: tuple[NoiseType, ...] = tuple(NoiseType)
) -> Answers:
    """The outputs of a bundle's graphs as ``Answers``; outputs of other names are left out.

    Args:
        said: the outputs by name.
        pictures: the shape of the pictures that were asked about, (n, height, width, depth).
        noise_types: the bundle's classes of noise.

    Raises:
        ModelOutputError: ``p_noise`` is missing, or an output has another type or shape than ``Answers`` says, is not
            finite, or lies outside its range.
    """
    count = pictures[0]
    p_noise = _shares(said, "p_noise", (count, len(noise_types)))
    if p_noise is None:
        raise ModelOutputError("p_noise: expected probabilities of the noise types, got no such output")
    sums = p_noise.sum(axis=1)
    wrong = sums[np.abs(sums - 1) > _SUM]
    if wrong.size:
        raise ModelOutputError(f"p_noise: expected probabilities that add up to 1, got a sum of {wrong[0]}")
    return Answers(
        p_noise=p_noise,
        p_defect=_shares(said, "p_defect", (count,)),
        levels=_shares(said, "levels", (count, len(estimated_noises(noise_types)))),
        waves=_floats(said, "waves", (count, _WAVES_SIDE, _WAVES_SIDE)),
        wave=_floats(said, "wave", (count, 3)),
        evidence=_floats(said, "evidence", (count, None, None)),
        restored=None if said.get("restored") is None else pixels("restored", said["restored"], pictures),
        noise_types=noise_types,
    )


def pixels(name: str, value: object, shape: Shape) -> NDArray[np.uint8]:
    """An output of pixels, uint8 of a shape.

    Raises:
        ModelOutputError: it is of another type or shape.
    """
    _require_array(name, value, np.dtype(np.uint8), shape)
    assert isinstance(value, np.ndarray)
    return value


def _shares(said: Mapping[str, object], name: str, shape: Shape) -> Floats | None:
    values = _floats(said, name, shape)
    return None if values is None else require_shares(name, values)


def _floats(said: Mapping[str, object], name: str, shape: Shape) -> Floats | None:
    value = said.get(name)
    if value is None:
        return None
    _require_array(name, value, np.dtype(np.float32), shape)
    assert isinstance(value, np.ndarray)
    require_finite(name, value)
    return value


def _require_array(name: str, value: object, dtype: np.dtype[np.generic], shape: Shape) -> None:
    """Refuse what is no array of a type and shape, or one without elements."""
    expected = f"{dtype} ({', '.join('any' if size is None else str(size) for size in shape)})"
    if not isinstance(value, np.ndarray):
        raise ModelOutputError(f"{name}: expected {expected}, got {type(value).__name__}")
    fits = len(value.shape) == len(shape) and all(
        size > 0 if wanted is None else size == wanted for size, wanted in zip(value.shape, shape, strict=True)
    )
    if value.dtype != dtype or not fits:
        raise ModelOutputError(f"{name}: expected {expected}, got {value.dtype} {value.shape}")
