"""Classification measures as functions of image weights: shape (resamples, images), not negative."""

import numpy as np
from numpy.typing import NDArray

from clearcast.evaluation.statistics.sample import Flags, Floats, Measure

Targets = NDArray[np.int64]


def weighted_measures(true: Targets, predicted: Targets, classes: int) -> Measure:
    """Make a measure of precision, recall and F1, averaged as by scikit-learn's ``average="weighted"``.

    Args:
        true: true classes, shape (images,), indices.
        predicted: predicted classes, likewise.
        classes: number of classes.

    Returns:
        a function from weights, shape (resamples, images), to the shape (resamples, 3). The precision is NaN if a
        class that occurs is never predicted; classes that do not occur have no weight.
    """

    def measure(weights: Floats) -> Floats:
        table = _confusion_matrices(weights, true, predicted, classes)
        hits, support, predictions = np.diagonal(table, axis1=1, axis2=2), table.sum(axis=2), table.sum(axis=1)
        total = support.sum(axis=1, keepdims=True)
        each = _divide(hits, predictions), _divide(hits, support), _divide(2 * hits, predictions + support)
        counted = (np.where(support > 0, support * scores, 0.0) for scores in each)
        return np.stack([scores.sum(axis=1) / total[:, 0] for scores in counted], axis=1)

    return measure


def f1_measure(true: Flags, predicted: Flags) -> Measure:
    """Make a measure of the F1 of the positive class, shape (resamples, 1); NaN if no image is positive."""
    top, bottom = 2.0 * (true & predicted), true.astype(float) + predicted

    def measure(weights: Floats) -> Floats:
        return np.where(weights @ true > 0, _divide(weights @ top, weights @ bottom), np.nan)[:, None]

    return measure


def roc_measure(positive: Flags, scores: Floats) -> Measure:
    """Make a measure of the area under the ROC curve: the mean of the one-against-rest areas; ties count half.

    Args:
        positive: shape (images, scores).
        scores: shape (images, scores); higher means more likely positive.

    Returns:
        a function from weights to the shape (resamples, 1); NaN if a positive or a negative set has no weight.
    """

    def measure(weights: Floats) -> Floats:
        areas = [_area(weights, positive[:, column], scores[:, column]) for column in range(scores.shape[1])]
        mean: Floats = np.mean(areas, axis=0)
        return mean[:, None]

    return measure


def _area(weights: Floats, positive: Flags, scores: Floats) -> Floats:
    """Share of pairs of a positive and a negative in the right order (Mann and Whitney 1947), shape (resamples,)."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    positives = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    negatives = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    return _divide((positives * below).sum(axis=1), positives.sum(axis=1) * negatives.sum(axis=1))


def _confusion_matrices(weights: Floats, true: Targets, predicted: Targets, classes: int) -> Floats:
    """Weighted confusion matrices, shape (resamples, classes, classes): true classes in rows, predicted in columns."""
    cells = np.eye(classes * classes)[true * classes + predicted]  # (images, classes * classes)
    table: Floats = (weights @ cells).reshape(-1, classes, classes)
    return table


def _divide(top: Floats, bottom: Floats) -> Floats:
    """Divide; NaN if the denominator is zero."""
    quotient: Floats = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return quotient
