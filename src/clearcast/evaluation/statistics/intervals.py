"""95% confidence intervals from estimates over groups. ``benchmarks/interval_coverage.py`` measures their coverage."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from clearcast.evaluation.statistics.sample import Estimates, Floats

LEVEL = 0.95
_Z = float(stats.norm.ppf((1 + LEVEL) / 2))
_PSEUDO = 0.25  # pseudo-groups that are entirely right, and as many that are entirely wrong
_PSEUDO_CHANGED = 0.05  # pseudo-groups that change entirely from wrong to right, and as many from right to wrong


class Interval(NamedTuple):
    """Bounds, each of shape (measures,); NaN if the value is not defined or comes from a single group."""

    low: Floats
    high: Floats


def wilson(share: Floats, count: Floats, quantile: Floats | float = _Z) -> Interval:
    """Compute the score interval (Wilson 1927) of a share of ``count`` independent observations.

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
    """Compute Wilson's interval of measures in 0..1, with the effective number of independent images.

    That number is p (1 - p) / variance, with the quantile of Student's t (Korn and Graubard 1998, "Confidence Intervals
    for Proportions With Small Expected Number of Positive Counts Estimated From Survey Data"). If few groups are wrong,
    the variance over groups is too small: a quarter of an entirely wrong group and a quarter of an entirely right one
    are added. So the interval has a width even if all images are right. With one image a group it is Wilson's own.
    """
    value, groups = estimates.value, np.maximum(estimates.effective, 1)
    smooth = (value * groups + _PSEUDO) / (groups + 2 * _PSEUDO)
    pseudo = _PSEUDO * (smooth**2 + (1 - smooth) ** 2)
    variance = (estimates.variance * groups**2 + pseudo) / (groups + 2 * _PSEUDO) ** 2
    count = np.minimum(smooth * (1 - smooth) / variance, estimates.images)
    independent = (estimates.groups == estimates.images) & estimates.is_ratio
    known = np.isfinite(estimates.variance)
    count = np.where(independent & known, estimates.images, count)
    return wilson(value, np.where(known, count, np.nan), np.where(independent, _Z, _student(estimates.groups)))


def difference_interval(estimates: Estimates) -> Interval:
    """Compute Student's t interval of differences, in -1..1, of two shares on the same images.

    A twentieth of a group that changes entirely to right and one of a group that changes entirely to wrong are added to
    the variance over groups. So the interval has a width even if no image changes.
    """
    groups = np.maximum(estimates.effective, 1)
    variance = (estimates.variance * groups**2 + 2 * _PSEUDO_CHANGED) / (groups + 2 * _PSEUDO_CHANGED) ** 2
    return _symmetric(estimates, _student(estimates.groups) * np.sqrt(variance), -1.0, 1.0)


def mean_interval(estimates: Estimates, lowest: float = -np.inf, highest: float = np.inf) -> Interval:
    """Compute Student's t interval of means of values in ``lowest`` .. ``highest``, with the effective groups."""
    reach = _student(estimates.effective) * np.sqrt(estimates.variance)
    return _symmetric(estimates, reach, lowest, highest)


def _symmetric(estimates: Estimates, reach: Floats, lowest: float, highest: float) -> Interval:
    return Interval(np.maximum(estimates.value - reach, lowest), np.minimum(estimates.value + reach, highest))


def _student(groups: Floats) -> Floats:
    quantile: Floats = stats.t.ppf((1 + LEVEL) / 2, np.maximum(groups - 1, 1))
    return quantile
