"""Measures of classifiers as functions of weights. Weights have the shape (resamples, images) and are not negative."""

import numpy as np
from numpy.typing import NDArray

from clearcast.evaluation.statistics.sample import Flags, Floats, Measure

Targets = NDArray[np.int64]


def weighted_measures(true: Targets, said: Targets, classes: int) -> Measure:
    """Precision, recall and F1, each the mean over classes by their weight, as scikit-learn's ``average="weighted"``.

    Args:
        true: shape (images,), indices of classes.
        said: likewise.
        classes: how many there are.

    Returns:
        a function of weights, shape (resamples, images), to the shape (resamples, 3). A precision is NaN where a
        class that occurs is never said; classes that do not occur weigh nothing.
    """

    def measure(weights: Floats) -> Floats:
        table = _confusions(weights, true, said, classes)
        hits, support, named = np.diagonal(table, axis1=1, axis2=2), table.sum(axis=2), table.sum(axis=1)
        total = support.sum(axis=1, keepdims=True)
        each = _divide(hits, named), _divide(hits, support), _divide(2 * hits, named + support)
        counted = (np.where(support > 0, support * scores, 0.0) for scores in each)
        return np.stack([scores.sum(axis=1) / total[:, 0] for scores in counted], axis=1)

    return measure


def f1_measure(true: Flags, said: Flags) -> Measure:
    """F1 of the positive class, shape (resamples, 1); NaN where no image is positive, so that nothing can be found."""
    top, bottom = 2.0 * (true & said), true.astype(float) + said

    def measure(weights: Floats) -> Floats:
        return np.where(weights @ true > 0, _divide(weights @ top, weights @ bottom), np.nan)[:, None]

    return measure


def roc_measure(positive: Flags, scores: Floats) -> Measure:
    """Area under the ROC curve: the mean over scores of the areas of each against the rest; ties count half.

    Args:
        positive: shape (images, scores).
        scores: shape (images, scores); higher means more likely positive.

    Returns:
        a function of weights to the shape (resamples, 1); NaN where a positive or a negative set weighs nothing.
    """

    def measure(weights: Floats) -> Floats:
        areas = [_area(weights, positive[:, column], scores[:, column]) for column in range(scores.shape[1])]
        mean: Floats = np.mean(areas, axis=0)
        return mean[:, None]

    return measure


def _area(weights: Floats, positive: Flags, scores: Floats) -> Floats:
    """The share of pairs, a positive and a negative, in the right order (Mann and Whitney 1947); shape (resamples,)."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    ups = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    downs = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    below = np.cumsum(downs, axis=1) - downs / 2
    return _divide((ups * below).sum(axis=1), ups.sum(axis=1) * downs.sum(axis=1))


def _confusions(weights: Floats, true: Targets, said: Targets, classes: int) -> Floats:
    """Weights of images, shape (resamples, classes, classes): rows are the true classes, columns what was said."""
    cells = np.eye(classes * classes)[true * classes + said]  # (images, classes * classes)
    table: Floats = (weights @ cells).reshape(-1, classes, classes)
    return table


def _divide(top: Floats, bottom: Floats) -> Floats:
    """The quotient; NaN where the denominator is zero."""
    quotient: Floats = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return quotient
