"""From estimates to figures that JSON can hold."""

import math
from collections.abc import Callable

from clearcast.evaluation.evidence.contract import Figure
from clearcast.evaluation.statistics.intervals import Interval
from clearcast.evaluation.statistics.sample import Estimates

UNDEFINED: Figure = {"value": None, "low": None, "high": None}


def figures(estimates: Estimates, interval: Callable[[Estimates], Interval]) -> list[Figure]:
    """One figure for each measure."""
    low, high = interval(estimates)
    return [
        {"value": _number(value), "low": _number(below), "high": _number(above)}
        for value, below, above in zip(estimates.value, low, high, strict=True)
    ]


def figure(estimates: Estimates, interval: Callable[[Estimates], Interval]) -> Figure:
    """The figure of the only measure."""
    (only,) = figures(estimates, interval)
    return only


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
