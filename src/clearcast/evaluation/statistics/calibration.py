"""Calibration: expected calibration error, and temperature scaling weighted by group."""

import numpy as np

from clearcast.evaluation.statistics.measures import Targets
from clearcast.evaluation.statistics.sample import Flags, Floats, Measure
from clearcast.training.temperature import best_temperature

BINS = 10


def fit_temperature(logits: Floats, defect: Flags, groups: Targets) -> float:
    """Fit a temperature as ``best_temperature`` does, with weights by group.

    Within a label every group has the same weight, however many images it has: copies of one part are nearly one
    observation. A label has the weight of its number of images.

    Args:
        logits: log-odds of defect, shape (images,).
        defect: true labels, shape (images,).
        groups: index of each image's group, shape (images,).
    """
    return best_temperature(logits, defect, _group_weights(defect, groups))


def calibration_measure(probability: Floats, defect: Flags) -> Measure:
    """Make a measure of the expected calibration error: sum over bins of share * |mean probability - share of defects|.

    Ten bins of equal width over the probability of the positive class (Naeini et al. 2015, "Obtaining Well Calibrated
    Probabilities Using Bayesian Binning"). With few images it is above 0 even for a perfect calibration.

    Returns:
        a function from weights to the shape (resamples, 1).
    """
    excess = np.eye(BINS)[bins_of(probability)] * (probability - defect)[:, None]  # (images, bins)

    def measure(weights: Floats) -> Floats:
        error: Floats = np.abs(weights @ excess).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
        return error

    return measure


def bins_of(probability: Floats) -> Targets:
    """Assign each probability in 0..1 to its bin, 0..9; 1 is in the last."""
    # A decimal such as 0.3 belongs to the bin that begins there, though 0.3 * 10 may round to less.
    return np.clip(np.floor(probability * BINS + 1e-9), 0, BINS - 1).astype(np.int64)


def _group_weights(defect: Flags, groups: Targets) -> Floats:
    weights = np.empty(len(defect))
    for label in np.unique(defect):
        rows = defect == label
        _, inverse, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
        weights[rows] = rows.mean() / len(sizes) / sizes[inverse]
    return weights
