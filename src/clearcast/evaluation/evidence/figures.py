"""Conversion of estimates to figures that JSON can hold."""

import math
from collections.abc import Callable

from clearcast.evaluation.evidence.contract import Figure
from clearcast.evaluation.statistics.intervals import Interval
from clearcast.evaluation.statistics.sample import Estimates

UNDEFINED: Figure = {"value": None, "low": None, "high": None}


def figures(estimates: Estimates, interval: Callable[[Estimates], Interval]) -> list[Figure]:
    """Make one figure for each measure of the estimates."""
    low, high = interval(estimates)
    return [
        {"value": _finite_or_none(value), "low": _finite_or_none(below), "high": _finite_or_none(above)}
        for value, below, above in zip(estimates.value, low, high, strict=True)
    ]


def figure(estimates: Estimates, interval: Callable[[Estimates], Interval]) -> Figure:
    """Make the figure of estimates of a single measure."""
    (only,) = figures(estimates, interval)
    return only


def _finite_or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
