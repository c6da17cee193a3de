"""Range and finiteness checks for model outputs; a comparison with NaN is never true, so it rejects nothing."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearcast.errors import ModelOutputError

ROUNDING = 1e-6  # by how much rounding may move a float32 probability outside 0..1


def require_finite(name: str, values: ArrayLike, remedy: str = "") -> None:
    """Reject numbers that are not finite.

    Args:
        name: of the numbers, for the message.
        values: numbers of any shape.
        remedy: what the user can do; appended to the message.

    Raises:
        ModelOutputError: one of them is NaN or infinite.
    """
    numbers = np.asarray(values, np.float64)
    wrong = numbers[~np.isfinite(numbers)]
    if wrong.size:
        raise ModelOutputError(f"{name}: expected finite numbers, got {wrong.flat[0]}{f'; {remedy}' if remedy else ''}")


def require_probability(name: str, values: ArrayLike) -> None:
    """Reject numbers that are not probabilities.

    Args:
        name: of the numbers, for the message.
        values: numbers of any shape.

    Raises:
        ModelOutputError: one of them is NaN, or outside 0..1.
    """
    numbers = np.asarray(values, np.float64)
    wrong = numbers[~((numbers >= 0) & (numbers <= 1))]  # true for NaN
    if wrong.size:
        raise ModelOutputError(f"{name}: expected a probability from 0 to 1, got {wrong.flat[0]}")


def require_shares(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 numbers from 0 to 1, such as probabilities, with rounding errors clipped.

    >>> require_shares("p_defect", np.array([0.25, 1.0000001], np.float32)).tolist()
    [0.25, 1.0]

    Args:
        name: of the numbers, for the message.
        values: float32 of any shape.

    Raises:
        ModelOutputError: one is not finite, or outside 0..1 by more than ``ROUNDING``.
    """
    wrong = values[~((values >= -ROUNDING) & (values <= 1 + ROUNDING))]  # true for NaN
    if wrong.size:
        raise ModelOutputError(f"{name}: expected numbers from 0 to 1, got {wrong.flat[0]}")
    return np.clip(values, 0, 1)
