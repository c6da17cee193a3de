"""Checks of the range and finiteness of model outputs, and log-odds of probabilities.

The checks ask what is allowed and negate it, since every comparison with NaN is false.
"""

from typing import Final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearcast.core.errors import ModelOutputError

PROBABILITY_ROUNDING = 1e-6  # by how much rounding may move a float32 probability outside 0..1
PROBABILITY_CLAMP: Final = 1e-12  # probabilities nearer than this to 0 and 1 have the same log-odds, about -28 and 28
FLOAT32_PROBABILITY_CLAMP: Final = 1e-7  # the same for probabilities in float32, which has no finer steps just below 1

_Floats = NDArray[np.float64]


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
        ModelOutputError: one is not finite, or outside 0..1 by more than ``PROBABILITY_ROUNDING``.
    """
    wrong = values[~((values >= -PROBABILITY_ROUNDING) & (values <= 1 + PROBABILITY_ROUNDING))]  # true for NaN
    if wrong.size:
        raise ModelOutputError(f"{name}: expected numbers from 0 to 1, got {wrong.flat[0]}")
    return np.clip(values, 0, 1)


@overload
def log_odds(probability: float, clamp: float = PROBABILITY_CLAMP) -> float: ...
@overload
def log_odds(probability: _Floats, clamp: float = PROBABILITY_CLAMP) -> _Floats: ...
def log_odds(probability: float | _Floats, clamp: float = PROBABILITY_CLAMP) -> float | _Floats:
    """Return log(p / (1 - p)) of a probability p; of 0 and 1 too it is finite.

    >>> round(log_odds(0.5), 3), round(log_odds(0.731), 3), round(log_odds(1.0))
    (0.0, 1.0, 28)

    Args:
        probability: 0..1, a number or a float array of any shape.
        clamp: probabilities nearer than this to 0 and 1 are clipped to this distance.

    Raises:
        ModelOutputError: a value is not finite, or outside 0..1.
    """
    require_probability("log-odds", probability)
    clipped = np.clip(np.asarray(probability, np.float64), clamp, 1 - clamp)
    found = np.log(clipped / (1 - clipped))
    return found if isinstance(probability, np.ndarray) else float(found)


@overload
def sigmoid(log_odds: float) -> float: ...
@overload
def sigmoid(log_odds: _Floats) -> _Floats: ...
def sigmoid(log_odds: float | _Floats) -> float | _Floats:
    """Return the probability 1 / (1 + exp(-x)) of log-odds x, however large; the inverse of ``log_odds``.

    >>> round(sigmoid(1.0), 3), sigmoid(-1e9), sigmoid(1e9)
    (0.731, 0.0, 1.0)

    Args:
        log_odds: a number or a float array of any shape.

    Raises:
        ModelOutputError: a value is NaN.
    """
    values = np.asarray(log_odds, np.float64)
    if np.isnan(values).any():
        raise ModelOutputError("probability: expected log-odds, got nan")
    odds = np.exp(-np.abs(values))  # of the less likely outcome, so that exp never overflows
    found = np.where(values > 0, 1 / (1 + odds), odds / (1 + odds))
    return found if isinstance(log_odds, np.ndarray) else float(found)


def format_count(number: int, noun: str) -> str:
    """Format a count of a noun whose plural ends in s.

    >>> format_count(1, "part"), format_count(1200, "image")
    ('1 part', '1,200 images')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
