"""95% intervals from estimates over parts. ``benchmarks/interval_coverage.py`` measures how often they hold."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from clearcast.evaluation.statistics.sample import Estimates, Floats

LEVEL = 0.95
_Z = float(stats.norm.ppf((1 + LEVEL) / 2))
_PSEUDO = 0.25  # parts that are thought wholly right, and as many wholly wrong, besides those that were seen
_PSEUDO_CHANGED = 0.05  # parts that are thought wholly mended, and as many wholly spoiled


class Interval(NamedTuple):
    """Bounds, each of shape (measures,); NaN where the value is not defined or only one part stands behind it."""

    low: Floats
    high: Floats


def wilson(share: Floats, count: Floats, quantile: Floats | float = _Z) -> Interval:
    """The score interval (Wilson 1927) of a share among so many independent observations.

    >>> bounds = wilson(np.array([0.9]), np.array([100.0]))
    >>> [round(float(bound[0]), 3) for bound in bounds]
    [0.826, 0.945]
    """
    square = np.square(quantile)
    centre = share + square / (2 * count)
    reach = quantile * np.sqrt(np.maximum(share * (1 - share), 0) / count + square / (4 * count**2))
    scale = 1 + square / count
    return Interval(
        np.minimum(np.maximum((centre - reach) / scale, 0), share),
        np.maximum(np.minimum((centre + reach) / scale, 1), share),
    )


def share_interval(estimates: Estimates) -> Interval:
    """Of measures in 0..1: Wilson's interval for as many independent images as the spread over parts allows.

    That number is p (1 - p) / variance, with the quantile of Student's t (Korn and Graubard 1998, "Confidence Intervals
    for Proportions With Small Expected Number of Positive Counts Estimated From Survey Data"). Where few parts are
    wrong, the spread over parts says too little: a quarter of a wholly wrong part and a quarter of a wholly right one
    are added to it. So the interval has a width where all are right. Where every part has one image it is Wilson's own.
    """
    value, parts = estimates.value, np.maximum(estimates.effective, 1)
    smooth = (value * parts + _PSEUDO) / (parts + 2 * _PSEUDO)
    pseudo = _PSEUDO * (smooth**2 + (1 - smooth) ** 2)
    variance = (estimates.variance * parts**2 + pseudo) / (parts + 2 * _PSEUDO) ** 2
    count = np.minimum(smooth * (1 - smooth) / variance, estimates.images)
    alone = (estimates.parts == estimates.images) & estimates.counted
    known = np.isfinite(estimates.variance)
    count = np.where(alone & known, estimates.images, count)
    return wilson(value, np.where(known, count, np.nan), np.where(alone, _Z, _student(estimates.parts)))


def difference_interval(estimates: Estimates) -> Interval:
    """Of differences of two shares on the same images, in -1..1: Student's t.

    A twentieth of a part that is wholly mended and one of a part that is wholly spoiled are added to the spread over
    parts, so that the interval has a width where no image was judged differently.
    """
    parts = np.maximum(estimates.effective, 1)
    variance = (estimates.variance * parts**2 + 2 * _PSEUDO_CHANGED) / (parts + 2 * _PSEUDO_CHANGED) ** 2
    return _around(estimates, _student(estimates.parts) * np.sqrt(variance), -1.0, 1.0)


def mean_interval(estimates: Estimates, lowest: float = -np.inf, highest: float = np.inf) -> Interval:
    """Of means of measured values, which lie in ``lowest`` .. ``highest``: Student's t for as many equal parts."""
    reach = _student(estimates.effective) * np.sqrt(estimates.variance)
    return _around(estimates, reach, lowest, highest)


def _around(estimates: Estimates, reach: Floats, lowest: float, highest: float) -> Interval:
    return Interval(np.maximum(estimates.value - reach, lowest), np.minimum(estimates.value + reach, highest))


def _student(parts: Floats) -> Floats:
    quantile: Floats = stats.t.ppf((1 + LEVEL) / 2, np.maximum(parts - 1, 1))
    return quantile
