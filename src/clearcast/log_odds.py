"""Log-odds (logit) of a probability and its inverse, the sigmoid; both finite for probabilities of 0 and 1."""

from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from clearcast.checks import require_probability
from clearcast.errors import ModelOutputError

CLAMP: Final = 1e-12  # probabilities nearer than this to 0 and 1 have the same log-odds, about -28 and 28
FLOAT32_CLAMP: Final = 1e-7  # the same for probabilities in float32, which has no finer steps just below 1

_Floats = NDArray[np.float64]


@overload
def log_odds(probability: float, clamp: float = CLAMP) -> float: ...
@overload
def log_odds(probability: _Floats, clamp: float = CLAMP) -> _Floats: ...
def log_odds(probability: float | _Floats, clamp: float = CLAMP) -> float | _Floats:
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
