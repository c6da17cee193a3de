"""Checks that numbers can be what they claim to be: a comparison with NaN is never true, so it refuses nothing."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearcast.errors import ModelOutputError

ROUNDING = 1e-6  # by which a float32 probability may leave 0..1


def require_finite(name: str, values: ArrayLike, cure: str = "") -> None:
    """Refuse numbers that are not finite.

    Args:
        name: of the numbers, for the message.
        values: numbers of any shape.
        cure: what to do about it; appended to the message.

    Raises:
        ModelOutputError: one of them is NaN or infinite.
    """
    numbers = np.asarray(values, np.float64)
    wrong = numbers[~np.isfinite(numbers)]
    if wrong.size:
        raise ModelOutputError(f"{name}: expected finite numbers, got {wrong.flat[0]}{f'; {cure}' if cure else ''}")


def require_shares(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Numbers from 0 to 1, such as probabilities; what rounding moved outside is clipped.

    >>> require_shares("p_defect", np.array([0.25, 1.0000001], np.float32)).tolist()
    [0.25, 1.0]

    Args:
        name: of the numbers, for the message.
        values: float32 of any shape.

    Raises:
        ModelOutputError: one is not finite, or outside 0..1 by more than ``ROUNDING``.
    """
    wrong = values[~((values >= -ROUNDING) & (values <= 1 + ROUNDING))]  # NaN is not within
    if wrong.size:
        raise ModelOutputError(f"{name}: expected numbers from 0 to 1, got {wrong.flat[0]}")
    return np.clip(values, 0, 1)
