"""Calibration of the probability of defect: temperature scaling, expected calibration error, reliability bins."""

import numpy as np
from scipy.optimize import minimize_scalar

from clearcast.core.evidence_schema import CalibrationResult, ReliabilityBin, ValueWithCI
from clearcast.core.numbers import require_finite
from clearcast.metrics.bootstrap import (
    BoolArray,
    ClassIndices,
    ClusterBootstrap,
    FloatArray,
    WeightedMeasure,
    share_interval,
)
from clearcast.metrics.evidence.scores import StageScores, value_with_ci

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0  # temperatures outside mean that there was too little data
_TOLERANCE = 1e-6  # of the logarithm of the temperature
CALIBRATION_BINS = 10  # of equal width


def fit_logit_temperature(logits: FloatArray, defect: BoolArray, weights: FloatArray) -> float:
    """Fit the temperature T that maximises the likelihood of the labels under sigmoid(logit / T).

    Guo et al. 2017, "On Calibration of Modern Neural Networks", with weighted images.

    Args:
        logits: log-odds of defect, shape (images,).
        defect: labels, shape (images,).
        weights: of the images, shape (images,).

    Returns:
        A temperature from 0.05 to 20; 1, which changes nothing, if a label is missing or every image is classified
        correctly: then the likelihood grows without bound as T falls.

    Raises:
        ModelOutputError: a log-odds is not finite.
    """
    require_finite("log-odds of defect", logits)
    if defect.all() or not defect.any() or ((logits > 0) == defect).all():
        return 1.0
    margins = np.where(defect, logits, -logits)
    shares = weights / weights.sum()

    def loss(log_temperature: float) -> float:
        return float(shares @ np.logaddexp(0, -margins / np.exp(log_temperature)))

    bounds = (np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": _TOLERANCE})
    return float(np.exp(best.x))


def fit_grouped_temperature(logits: FloatArray, defect: BoolArray, groups: ClassIndices) -> float:
    """Fit a temperature as ``fit_logit_temperature`` does, with weights by group.

    Within a label every group has the same weight, however many images it has: copies of one part are nearly one
    observation. A label has the weight of its number of images.

    Args:
        logits: log-odds of defect, shape (images,).
        defect: true labels, shape (images,).
        groups: index of each image's group, shape (images,).
    """
    return fit_logit_temperature(logits, defect, _group_weights(defect, groups))


def _group_weights(defect: BoolArray, groups: ClassIndices) -> FloatArray:
    """Weight of each image, so that the groups within a label weigh the same."""
    weights = np.empty(len(defect))
    for label in np.unique(defect):
        rows = defect == label
        _, inverse, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
        weights[rows] = rows.mean() / len(sizes) / sizes[inverse]
    return weights


def fit_fold_temperatures(validation: StageScores) -> dict[int, float]:
    """Fit the temperature of each fold on its own validation images."""
    return {fold: _fit_temperature(validation.of_fold(fold)) for fold in validation.folds}


def _fit_temperature(validation: StageScores) -> float:
    return fit_grouped_temperature(
        validation.logits, validation.defect, np.unique(validation.part, return_inverse=True)[1]
    )


def calibration_error_measure(probability: FloatArray, defect: BoolArray) -> WeightedMeasure:
    """Make a measure of the expected calibration error: sum over bins of share * |mean probability - share of defects|.

    Ten bins of equal width over the probability of the positive class (Naeini et al. 2015, "Obtaining Well Calibrated
    Probabilities Using Bayesian Binning"). With few images it is above 0 even for a perfect calibration.

    Returns:
        a function from weights to the shape (resamples, 1).
    """
    excess = np.eye(CALIBRATION_BINS)[bin_indices(probability)] * (probability - defect)[:, None]  # (images, bins)

    def measure(weights: FloatArray) -> FloatArray:
        error: FloatArray = np.abs(weights @ excess).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
        return error

    return measure


def bin_indices(probability: FloatArray) -> ClassIndices:
    """Assign each probability in 0..1 to its bin, 0..9; 1 is in the last."""
    # A decimal such as 0.3 belongs to the bin that begins there, though 0.3 * 10 may round to less.
    return np.clip(np.floor(probability * CALIBRATION_BINS + 1e-9), 0, CALIBRATION_BINS - 1).astype(np.int64)


def measure_calibration(
    test: StageScores, validation: StageScores, temperatures: dict[int, float], sample: ClusterBootstrap
) -> CalibrationResult:
    """Measure temperature scaling on test images. The intervals treat the temperatures as fixed."""
    after = test.calibrated(temperatures)
    return {
        "temperatures": list(temperatures.values()),
        "validation_images": len(validation.part),
        "error_before": _calibration_error(test, sample),
        "error_after": _calibration_error(after, sample),
        "bins_before": _reliability_bins(test),
        "bins_after": _reliability_bins(after),
    }


def _calibration_error(scores: StageScores, sample: ClusterBootstrap) -> ValueWithCI:
    return value_with_ci(sample.estimate(calibration_error_measure(scores.probability, scores.defect)), share_interval)


def _reliability_bins(scores: StageScores) -> list[ReliabilityBin]:
    numbers = bin_indices(scores.probability)
    bins: list[ReliabilityBin] = []
    for number in range(CALIBRATION_BINS):
        rows = numbers == number
        bins.append(
            {
                "low": number / CALIBRATION_BINS,
                "high": (number + 1) / CALIBRATION_BINS,
                "images": int(rows.sum()),
                "said": float(scores.probability[rows].mean()) if rows.any() else None,
                "true": float(scores.defect[rows].mean()) if rows.any() else None,
            }
        )
    return bins
