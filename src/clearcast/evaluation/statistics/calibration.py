"""How far a probability can be believed, and how to mend it with one number."""

import numpy as np

from clearcast.evaluation.statistics.measures import Targets
from clearcast.evaluation.statistics.sample import Flags, Floats, Measure
from clearcast.training.temperature import best_temperature

BINS = 10


def fit_temperature(logits: Floats, defect: Flags, parts: Targets) -> float:
    """See ``best_temperature``, where copies of one part are nearly one observation.

    Within a label every part weighs the same, however many images it has, so that a part with many copies does not
    rule; the labels weigh as many images as they have.

    Args:
        logits: log-odds of defect, shape (images,).
        defect: what is true, shape (images,).
        parts: what the images show, shape (images,).
    """
    return best_temperature(logits, defect, _part_weights(defect, parts))


def calibration_measure(probability: Floats, defect: Flags) -> Measure:
    """Expected calibration error of the probability of defect: sum over bins of share * |mean said - share of defects|.

    Ten bins of equal width over the probability of the positive class (Naeini et al. 2015, "Obtaining Well Calibrated
    Probabilities Using Bayesian Binning"). Of few images it is above 0 even where calibration is perfect.

    Returns:
        a function of weights to the shape (resamples, 1).
    """
    excess = np.eye(BINS)[bins_of(probability)] * (probability - defect)[:, None]  # (images, bins)

    def measure(weights: Floats) -> Floats:
        error: Floats = np.abs(weights @ excess).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
        return error

    return measure


def bins_of(probability: Floats) -> Targets:
    """Which bin, 0..9, a probability in 0..1 is in; 1 is in the last."""
    # A decimal such as 0.3 belongs to the bin that begins there, though 0.3 * 10 may round to less.
    return np.clip(np.floor(probability * BINS + 1e-9), 0, BINS - 1).astype(np.int64)


def _part_weights(defect: Flags, parts: Targets) -> Floats:
    weights = np.empty(len(defect))
    for label in np.unique(defect):
        rows = defect == label
        _, inverse, sizes = np.unique(parts[rows], return_inverse=True, return_counts=True)
        weights[rows] = rows.mean() / len(sizes) / sizes[inverse]
    return weights
