"""Thresholds of the probability of defect: the choice on validation images, and its rates on test images."""

import numpy as np

from clearcast.checks import require_finite
from clearcast.evaluation.evidence.contract import OperatingCurve, OperatingPoint
from clearcast.evaluation.evidence.figures import figure
from clearcast.evaluation.evidence.tables import Judged
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.statistics.intervals import share_interval
from clearcast.evaluation.statistics.sample import Estimates, Flags, Floats, Sample

CURVE_POINTS = 200


def choose_threshold(probability: Floats, defect: Flags, policy: Wishes) -> float:
    """Choose the threshold with the lowest cost, or the highest with an escape rate within the policy.

    It lies midway between two neighbouring probabilities. Among thresholds of equal cost it is the nearest to the one
    that is optimal for calibrated probabilities, overkill / (escape + overkill) cost (Elkan 2001, "The Foundations of
    Cost-Sensitive Learning").

    Args:
        probability: of defect, above 0 and below 1, shape (images,).
        defect: true labels, shape (images,).
        policy: costs, or the largest share of defects that may escape.

    Raises:
        ModelOutputError: a probability is not finite.
    """
    require_finite("probabilities of defect", probability)
    candidates = _midpoints(probability)
    escapes = np.searchsorted(np.sort(probability[defect]), candidates)
    if policy.max_escape is not None:
        # Tolerance of a millionth of an image, since 0.1 * 30 is more than 3 in floating point.
        return float(candidates[escapes <= policy.max_escape * defect.sum() + 1e-6].max())
    overkills = (~defect).sum() - np.searchsorted(np.sort(probability[~defect]), candidates)
    cost = policy.escape_cost * escapes + policy.overkill_cost * overkills
    best = candidates[cost <= cost.min() * (1 + 1e-12)]
    implied = policy.overkill_cost / (policy.escape_cost + policy.overkill_cost)
    return float(best[np.argmin(np.abs(best - implied))])


def operating_point(test: Judged, predicted: Flags, thresholds: list[float], sample: Sample) -> OperatingPoint:
    """Measure escapes and overkills of predictions on test images."""
    defect = test.defect
    return {
        "thresholds": thresholds,
        "defects": int(defect.sum()),
        "escapes": int((defect & ~predicted).sum()),
        "escape": figure(sample.estimate_ratios(~predicted, defect), share_interval),
        "oks": int((~defect).sum()),
        "overkills": int((predicted & ~defect).sum()),
        "overkill": figure(sample.estimate_ratios(predicted, ~defect), share_interval),
        "accuracy": figure(sample.estimate_ratios(predicted == defect), share_interval),
    }


def operating_curve(test: Judged, sample: Sample) -> OperatingCurve | None:
    """Compute escape and overkill rates at up to 200 thresholds, with pointwise intervals (0..1 for a single part)."""
    if test.defect.all() or not test.defect.any():
        return None
    thresholds = thin(_midpoints(test.probability))
    predicted = test.probability[:, None] >= thresholds  # (images, thresholds)
    defect = np.broadcast_to(test.defect[:, None], predicted.shape)
    escape, overkill = sample.estimate_ratios(~predicted, defect), sample.estimate_ratios(predicted, ~defect)
    (escape_low, escape_high), (overkill_low, overkill_high) = bounds(escape), bounds(overkill)
    return {
        "threshold": thresholds.tolist(),
        "escape": escape.value.tolist(),
        "escape_low": escape_low,
        "escape_high": escape_high,
        "overkill": overkill.value.tolist(),
        "overkill_low": overkill_low,
        "overkill_high": overkill_high,
    }


def bounds(estimates: Estimates) -> tuple[list[float], list[float]]:
    """Compute intervals of shares for a curve: 0 to 1 if the interval is unknown, as for a single part."""
    low, high = share_interval(estimates)
    return np.nan_to_num(low, nan=0.0).tolist(), np.nan_to_num(high, nan=1.0).tolist()


def thin(values: Floats) -> Floats:
    """Thin values to at most 200, evenly by rank, keeping the first and the last."""
    ranks = np.unique(np.linspace(0, len(values) - 1, CURVE_POINTS).round().astype(int))
    thinned: Floats = values[ranks]
    return thinned


def _midpoints(probability: Floats) -> Floats:
    """Midpoints of neighbouring probabilities, and of the ends with 0 and 1; ascending."""
    edges = np.concatenate([[0.0], np.unique(probability), [1.0]])
    midpoints: Floats = (edges[:-1] + edges[1:]) / 2
    return midpoints
