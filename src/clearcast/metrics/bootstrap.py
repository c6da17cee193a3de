"""Cluster bootstrap of test images in groups: resamples, weighted measures, confidence intervals, McNemar's test.

The images of one part form a group. They are right or wrong together, so groups are drawn with replacement, each with
all of its images (Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8). A resample is a
weight for each image, so every measure is written as a function of weights. Intervals use the variance over resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
ClassIndices = NDArray[np.int64]
WeightedMeasure = Callable[[FloatArray], FloatArray]
"""From weights, shape (resamples, images), to values, (resamples, measures); NaN if a measure is not defined."""

RESAMPLES = 2000
_MAX_DRAWS = 10_000_000  # resamples * images; with more than 5,000 images there are fewer resamples, at least 200
_MAX_WEIGHTS = 4_000_000  # weights of images that are held in memory at a time
CONFIDENCE_LEVEL = 0.95
_Z = float(stats.norm.ppf((1 + CONFIDENCE_LEVEL) / 2))
_PSEUDO_GROUPS = 0.25  # pseudo-groups that are entirely right, and as many that are entirely wrong
_CHANGED_PSEUDO_GROUPS = 0.05  # pseudo-groups that change entirely from wrong to right, and as many from right to wrong


@dataclass(frozen=True)
class Estimates:
    """Measured values and their variance; every array has the shape (measures,).

    Attributes:
        value: measure over all images; NaN if it is not defined.
        variance: of the value, over resamples; NaN with fewer than two groups.
        images: number of images that the measure is taken over.
        groups: number of groups that the measure is taken over.
        effective: effective number of groups of equal size: (sum n)^2 / sum n^2 (Kish 1965, "Survey Sampling").
        is_ratio: whether the values are sums over images divided by sums over images.
    """

    value: FloatArray
    variance: FloatArray
    images: FloatArray
    groups: FloatArray
    effective: FloatArray
    is_ratio: bool


class ConfidenceInterval(NamedTuple):
    """Bounds, each of shape (measures,); NaN if the value is not defined or comes from a single group."""

    low: FloatArray
    high: FloatArray


class ClusterBootstrap:
    """Test images with their groups, and resamples of the groups that all measures share."""

    def __init__(self, group_names: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> None:
        """Draw resamples of the groups of these names, one for each image, shape (images,).

        Raises:
            ValueError: there is no image.
        """
        distinct, self.group_index = np.unique(np.asarray(group_names).astype(str), return_inverse=True)
        if not len(distinct):
            raise ValueError("expected at least one image, got none")
        self.images, self.groups = len(self.group_index), len(distinct)
        rng = np.random.default_rng(seed)
        self.resamples = min(resamples, max(_MAX_DRAWS // self.images, 200))
        shape = self.resamples, self.groups
        drawn = rng.integers(self.groups, size=shape) + self.groups * np.arange(self.resamples)[:, None]
        self._draws = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(shape).astype(float)  # times drawn

    @property
    def independent(self) -> bool:
        """Whether no group has two images."""
        return self.images == self.groups

    def estimate_ratios(self, numerator: ArrayLike, denominator: ArrayLike | None = None) -> Estimates:
        """Estimate sums over images divided by sums over images, such as correct images / images.

        The estimand is the ratio of expectations over groups, E[sum of numerators in a group] / E[sum of
        denominators in a group]. For the accuracy it is the share of correct images among all images of very many
        groups, in which a group with more images has more weight.

        Args:
            numerator: shape (images,) or (images, measures); ignored wherever ``denominator`` is 0.
            denominator: the same shape, 0 or 1: which images a measure is taken over; None for all.
        """
        values = np.asarray(numerator, float).reshape(self.images, -1)
        among = np.ones_like(values) if denominator is None else np.asarray(denominator, float).reshape(self.images, -1)
        sums, counts = self._group_sums(np.where(among > 0, values, 0.0)), self._group_sums(among)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = sums.sum(axis=0) / counts.sum(axis=0)
            resampled = (self._draws @ sums) / (self._draws @ counts)
        groups = (counts > 0).sum(axis=0).astype(float)
        variance = _variance(value, resampled, groups)
        return Estimates(value, variance, counts.sum(axis=0), groups, _effective_groups(counts), is_ratio=True)

    def estimate(self, measure: WeightedMeasure, among: Sequence[BoolArray] = ()) -> Estimates:
        """Estimate any function of weights.

        Args:
            measure: what to estimate.
            among: sets of images, shape (images,), such as the defects and the ok images if the measure compares the
                two. The smallest number of groups in one set counts for the measure. Without sets it is all groups.
        """
        value = measure(np.ones((1, self.images)))[0]
        step = max(1, _MAX_WEIGHTS // self.images)
        chunks = [self._draws[start : start + step] for start in range(0, len(self._draws), step)]
        resampled = np.concatenate([measure(chunk[:, self.group_index]) for chunk in chunks])
        ones = np.ones(len(value))
        groups = min((len(np.unique(self.group_index[rows])) for rows in among), default=self.groups) * ones
        effective = _effective_groups(self._group_sums(np.ones((self.images, 1)))) * ones
        variance = _variance(value, resampled, groups)
        return Estimates(value, variance, self.images * ones, groups, effective, is_ratio=False)

    def _group_sums(self, values: FloatArray) -> FloatArray:
        """Sum over the images of each group, shape (groups, measures)."""
        sums = np.zeros((self.groups, values.shape[1]))
        np.add.at(sums, self.group_index, values)
        return sums


def _variance(value: FloatArray, resampled: FloatArray, groups: FloatArray) -> FloatArray:
    """Variance over the resamples in which a measure is defined; NaN if these are not more than half of them."""
    defined = np.isfinite(resampled)
    enough = (groups >= 2) & (2 * defined.sum(axis=0) > len(resampled)) & np.isfinite(value)
    spread = np.where(defined & enough, resampled, 0.0).var(axis=0, where=defined | ~enough)
    # Drawing n groups with replacement underestimates the variance by the factor (n - 1) / n.
    variance: FloatArray = np.where(enough, spread * groups / np.maximum(groups - 1, 1), np.nan)
    return variance


def _effective_groups(counts: FloatArray) -> FloatArray:
    """Effective number of groups (see ``Estimates``) of image counts, shape (groups, measures)."""
    squares = (counts**2).sum(axis=0)
    effective: FloatArray = np.divide(
        counts.sum(axis=0) ** 2, squares, out=np.zeros(counts.shape[1]), where=squares > 0
    )
    return effective


def precision_recall_f1_measure(true: ClassIndices, predicted: ClassIndices, classes: int) -> WeightedMeasure:
    """Make a measure of precision, recall and F1, averaged as by scikit-learn's ``average="weighted"``.

    Args:
        true: true classes, shape (images,), indices.
        predicted: predicted classes, likewise.
        classes: number of classes.

    Returns:
        a function from weights, shape (resamples, images), to the shape (resamples, 3). The precision is NaN if a
        class that occurs is never predicted; classes that do not occur have no weight.
    """

    def measure(weights: FloatArray) -> FloatArray:
        table = _confusion_matrices(weights, true, predicted, classes)
        correct, support, predictions = np.diagonal(table, axis1=1, axis2=2), table.sum(axis=2), table.sum(axis=1)
        total = support.sum(axis=1, keepdims=True)
        by_class = _divide(correct, predictions), _divide(correct, support), _divide(2 * correct, predictions + support)
        weighted = (np.where(support > 0, support * scores, 0.0) for scores in by_class)
        return np.stack([scores.sum(axis=1) / total[:, 0] for scores in weighted], axis=1)

    return measure


def f1_measure(true: BoolArray, predicted: BoolArray) -> WeightedMeasure:
    """Make a measure of the F1 of the positive class, shape (resamples, 1); NaN if no image is positive."""
    numerator, denominator = 2.0 * (true & predicted), true.astype(float) + predicted

    def measure(weights: FloatArray) -> FloatArray:
        return np.where(weights @ true > 0, _divide(weights @ numerator, weights @ denominator), np.nan)[:, None]

    return measure


def roc_area_measure(positive: BoolArray, scores: FloatArray) -> WeightedMeasure:
    """Make a measure of the area under the ROC curve: the mean of the one-against-rest areas; ties count half.

    Args:
        positive: shape (images, scores).
        scores: shape (images, scores); higher means more likely positive.

    Returns:
        a function from weights to the shape (resamples, 1); NaN if a positive or a negative set has no weight.
    """

    def measure(weights: FloatArray) -> FloatArray:
        areas = [_roc_area(weights, positive[:, column], scores[:, column]) for column in range(scores.shape[1])]
        mean: FloatArray = np.mean(areas, axis=0)
        return mean[:, None]

    return measure


def _roc_area(weights: FloatArray, positive: BoolArray, scores: FloatArray) -> FloatArray:
    """Share of pairs of a positive and a negative in the right order (Mann and Whitney 1947), shape (resamples,)."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    positives = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    negatives = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    return _divide((positives * below).sum(axis=1), positives.sum(axis=1) * negatives.sum(axis=1))


def _confusion_matrices(weights: FloatArray, true: ClassIndices, predicted: ClassIndices, classes: int) -> FloatArray:
    """Weighted confusion matrices, shape (resamples, classes, classes): true classes in rows, predicted in columns."""
    cells = np.eye(classes * classes)[true * classes + predicted]  # (images, classes * classes)
    table: FloatArray = (weights @ cells).reshape(-1, classes, classes)
    return table


def _divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Divide; NaN if the denominator is zero."""
    quotient: FloatArray = np.divide(
        numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0
    )
    return quotient


def wilson_interval(share: FloatArray, count: FloatArray, quantile: FloatArray | float = _Z) -> ConfidenceInterval:
    """Compute the score interval (Wilson 1927) of a share of ``count`` independent observations.

    >>> bounds = wilson_interval(np.array([0.9]), np.array([100.0]))
    >>> [round(float(bound[0]), 3) for bound in bounds]
    [0.826, 0.945]
    """
    square = np.square(quantile)
    centre = share + square / (2 * count)
    half_width = quantile * np.sqrt(np.maximum(share * (1 - share), 0) / count + square / (4 * count**2))
    scale = 1 + square / count
    return ConfidenceInterval(
        np.minimum(np.maximum((centre - half_width) / scale, 0), share),
        np.maximum(np.minimum((centre + half_width) / scale, 1), share),
    )


def share_interval(estimates: Estimates) -> ConfidenceInterval:
    """Compute Wilson's interval of measures in 0..1, with the effective number of independent images.

    That number is p (1 - p) / variance, with the quantile of Student's t (Korn and Graubard 1998, "Confidence Intervals
    for Proportions With Small Expected Number of Positive Counts Estimated From Survey Data"). If few groups are wrong,
    the variance over groups is too small: a quarter of an entirely wrong group and a quarter of an entirely right one
    are added. So the interval has a width even if all images are right. With one image a group it is Wilson's own.
    """
    value, groups = estimates.value, np.maximum(estimates.effective, 1)
    smoothed = (value * groups + _PSEUDO_GROUPS) / (groups + 2 * _PSEUDO_GROUPS)
    pseudo = _PSEUDO_GROUPS * (smoothed**2 + (1 - smoothed) ** 2)
    variance = (estimates.variance * groups**2 + pseudo) / (groups + 2 * _PSEUDO_GROUPS) ** 2
    count = np.minimum(smoothed * (1 - smoothed) / variance, estimates.images)
    independent = (estimates.groups == estimates.images) & estimates.is_ratio
    known = np.isfinite(estimates.variance)
    count = np.where(independent & known, estimates.images, count)
    return wilson_interval(
        value, np.where(known, count, np.nan), np.where(independent, _Z, _t_quantile(estimates.groups))
    )


def difference_interval(estimates: Estimates) -> ConfidenceInterval:
    """Compute Student's t interval of differences, in -1..1, of two shares on the same images.

    A twentieth of a group that changes entirely to right and one of a group that changes entirely to wrong are added to
    the variance over groups. So the interval has a width even if no image changes.
    """
    groups = np.maximum(estimates.effective, 1)
    variance = (estimates.variance * groups**2 + 2 * _CHANGED_PSEUDO_GROUPS) / (
        groups + 2 * _CHANGED_PSEUDO_GROUPS
    ) ** 2
    return _symmetric_interval(estimates, _t_quantile(estimates.groups) * np.sqrt(variance), -1.0, 1.0)


def mean_interval(estimates: Estimates, lowest: float = -np.inf, highest: float = np.inf) -> ConfidenceInterval:
    """Compute Student's t interval of means of values in ``lowest`` .. ``highest``, with the effective groups."""
    half_width = _t_quantile(estimates.effective) * np.sqrt(estimates.variance)
    return _symmetric_interval(estimates, half_width, lowest, highest)


def _symmetric_interval(
    estimates: Estimates, half_width: FloatArray, lowest: float, highest: float
) -> ConfidenceInterval:
    """Interval of a half-width on both sides of the values, within bounds."""
    low, high = estimates.value - half_width, estimates.value + half_width
    return ConfidenceInterval(np.maximum(low, lowest), np.minimum(high, highest))


def _t_quantile(groups: FloatArray) -> FloatArray:
    """Quantile of Student's t with one degree of freedom fewer than groups."""
    quantile: FloatArray = stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, np.maximum(groups - 1, 1))
    return quantile


def mcnemar_p_value(corrected: int, broken: int) -> float:
    """Compute the exact two-sided p-value of McNemar's test (1947) of two classifiers on the same images.

    Args:
        corrected: number of images that only the second classifies correctly.
        broken: number of images that only the first classifies correctly.

    >>> mcnemar_p_value(0, 5)
    0.0625
    """
    if corrected + broken == 0:
        return 1.0
    return min(1.0, float(2 * stats.binom.cdf(min(corrected, broken), corrected + broken, 0.5)))
