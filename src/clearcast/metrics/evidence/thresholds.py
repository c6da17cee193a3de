"""Thresholds and retake cut-offs: the choice on validation images, and rates and curves on test images."""

import numpy as np

from clearcast.core.evidence_schema import OperatingCurve, OperatingPoint, RetakeResult, RiskCoverageCurve, ValueWithCI
from clearcast.core.numbers import format_count, log_odds, require_finite
from clearcast.metrics.bootstrap import BoolArray, ClusterBootstrap, Estimates, FloatArray, share_interval
from clearcast.metrics.evidence.scores import (
    DecisionPolicy,
    StageScores,
    format_limit,
    format_share,
    value_with_ci,
    values_by_fold,
)

_CURVE_POINTS = 200


def choose_threshold(probability: FloatArray, defect: BoolArray, policy: DecisionPolicy) -> float:
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
    cheapest = candidates[cost <= cost.min() * (1 + 1e-12)]
    optimal = policy.overkill_cost / (policy.escape_cost + policy.overkill_cost)
    return float(cheapest[np.argmin(np.abs(cheapest - optimal))])


def measure_operating_point(
    test: StageScores, predicted: BoolArray, thresholds: list[float], sample: ClusterBootstrap
) -> OperatingPoint:
    """Measure escapes and overkills of predictions on test images."""
    defect = test.defect
    return {
        "thresholds": thresholds,
        "defects": int(defect.sum()),
        "escapes": int((defect & ~predicted).sum()),
        "escape": value_with_ci(sample.estimate_ratios(~predicted, defect), share_interval),
        "oks": int((~defect).sum()),
        "overkills": int((predicted & ~defect).sum()),
        "overkill": value_with_ci(sample.estimate_ratios(predicted, ~defect), share_interval),
        "accuracy": value_with_ci(sample.estimate_ratios(predicted == defect), share_interval),
    }


def compute_operating_curve(test: StageScores, sample: ClusterBootstrap) -> OperatingCurve | None:
    """Compute escape and overkill rates at up to 200 thresholds, with pointwise intervals (0..1 for a single part)."""
    if test.defect.all() or not test.defect.any():
        return None
    thresholds = _thin_values(_midpoints(test.probability))
    predicted = test.probability[:, None] >= thresholds  # (images, thresholds)
    defect = np.broadcast_to(test.defect[:, None], predicted.shape)
    escape, overkill = sample.estimate_ratios(~predicted, defect), sample.estimate_ratios(predicted, ~defect)
    (escape_low, escape_high), (overkill_low, overkill_high) = _curve_bounds(escape), _curve_bounds(overkill)
    return {
        "threshold": thresholds.tolist(),
        "escape": escape.value.tolist(),
        "escape_low": escape_low,
        "escape_high": escape_high,
        "overkill": overkill.value.tolist(),
        "overkill_low": overkill_low,
        "overkill_high": overkill_high,
    }


def _curve_bounds(estimates: Estimates) -> tuple[list[float], list[float]]:
    """Compute intervals of shares for a curve: 0 to 1 if the interval is unknown, as for a single part."""
    low, high = share_interval(estimates)
    return np.nan_to_num(low, nan=0.0).tolist(), np.nan_to_num(high, nan=1.0).tolist()


def _thin_values(values: FloatArray) -> FloatArray:
    """Thin values to at most 200, evenly by rank, keeping the first and the last."""
    ranks = np.unique(np.linspace(0, len(values) - 1, _CURVE_POINTS).round().astype(int))
    thinned: FloatArray = values[ranks]
    return thinned


def _midpoints(probability: FloatArray) -> FloatArray:
    """Midpoints of neighbouring probabilities, and of the ends with 0 and 1; ascending."""
    edges = np.concatenate([[0.0], np.unique(probability), [1.0]])
    midpoints: FloatArray = (edges[:-1] + edges[1:]) / 2
    return midpoints


def verdict_confidence(scores: StageScores, thresholds: dict[int, float]) -> FloatArray:
    """Compute the distance of each image's log-odds from those of its fold's threshold, shape (images,), at least 0."""
    return np.abs(scores.logits - log_odds(values_by_fold(thresholds, scores.fold)))


def compute_risk_curve(confidence: FloatArray, wrong: BoolArray, sample: ClusterBootstrap) -> RiskCoverageCurve:
    """Compute risk against coverage, most confident images first, at up to 200 points (El-Yaniv and Wiener 2010)."""
    cutoffs = _thin_values(np.unique(confidence)[::-1])
    decided = confidence[:, None] >= cutoffs  # (images, cutoffs)
    risk = sample.estimate_ratios(np.broadcast_to(wrong[:, None], decided.shape), decided)
    low, high = _curve_bounds(risk)
    return {
        "coverage": decided.mean(axis=0).tolist(),
        "risk": risk.value.tolist(),
        "risk_low": low,
        "risk_high": high,
    }


def choose_retake_cutoff(confidence: FloatArray, wrong: BoolArray, policy: DecisionPolicy) -> float:
    """Choose the confidence below which images are retaken, so that validation images meet the policy.

    For ``max_risk`` it is the lowest cut-off that meets the policy, so that as many images as possible get a verdict;
    if none does, it is above all confidences. For ``min_coverage`` it is the highest. A cut-off lies midway between two
    neighbouring confidences.
    """
    levels = np.unique(confidence)
    cutoffs = np.concatenate([[0.0], (levels[:-1] + levels[1:]) / 2])
    order = np.argsort(confidence)
    retaken = np.searchsorted(confidence[order], cutoffs)
    decided = len(confidence) - retaken
    if policy.min_coverage is not None:
        return float(cutoffs[decided >= policy.min_coverage * len(confidence) - 1e-6].max())
    assert policy.max_risk is not None
    mistakes = wrong.sum() - np.concatenate([[0], np.cumsum(wrong[order])])[retaken]
    sufficient = cutoffs[mistakes <= policy.max_risk * decided + 1e-6]
    return float(sufficient.min()) if len(sufficient) else float(levels[-1] + 1)


def measure_retake(
    confidence: FloatArray,
    wrong: BoolArray,
    cutoffs: dict[int, float],
    test: StageScores,
    policy: DecisionPolicy,
    sample: ClusterBootstrap,
) -> RetakeResult:
    """Measure on test images the retaking of images below their fold's cut-off."""
    decided = confidence >= values_by_fold(cutoffs, test.fold)
    risk = value_with_ci(sample.estimate_ratios(wrong, decided), share_interval)
    return {
        "asked": _retake_target_text(policy),
        "cutoffs": list(cutoffs.values()),
        "retaken": int((~decided).sum()),
        "coverage": value_with_ci(sample.estimate_ratios(decided), share_interval),
        "risk": risk,
        "sentence": f"Target: {_retake_target_text(policy)}. {_retake_effect_text(wrong, decided, risk)}",
    }


def _retake_effect_text(wrong: BoolArray, decided: BoolArray, risk: ValueWithCI) -> str:
    if not decided.any():
        return "No image reaches the required confidence: all would be retaken."
    retaken = f"{format_count(int((~decided).sum()), 'test image')} of {len(wrong):,} would be retaken"
    remaining = (
        f"of the {format_count(int(decided.sum()), 'verdict')} given, {int(wrong[decided].sum()):,} would be wrong"
    )
    without = f"{int(wrong.sum()):,} of {len(wrong):,} without retakes"
    return f"{retaken}; {remaining} ({format_share(risk)}), compared with {without}."


def _retake_target_text(policy: DecisionPolicy) -> str:
    if policy.max_risk is not None:
        return f"at most {format_limit(policy.max_risk)} wrong verdicts among those given"
    assert policy.min_coverage is not None
    return f"a verdict for at least {format_limit(policy.min_coverage)} of the images"
