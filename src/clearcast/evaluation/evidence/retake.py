"""The verdict retake: images whose confidence is too low are inspected again."""

import numpy as np

from clearcast.evaluation.evidence.contract import Figure, Retake, RiskCurve
from clearcast.evaluation.evidence.figures import figure
from clearcast.evaluation.evidence.tables import Judged, by_fold
from clearcast.evaluation.evidence.thresholds import bounds, thin
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.evidence.words import counted, figure_text, limit
from clearcast.evaluation.statistics.intervals import share_interval
from clearcast.evaluation.statistics.sample import Flags, Floats, Sample
from clearcast.log_odds import log_odds


def confidence(scores: Judged, thresholds: dict[int, float]) -> Floats:
    """Distance of each image's log-odds from those of its fold's threshold, shape (images,), at least 0."""
    return np.abs(scores.logits - log_odds(by_fold(thresholds, scores.fold)))


def risk_curve(confidence: Floats, wrong: Flags, sample: Sample) -> RiskCurve:
    """Compute risk against coverage, most confident images first, at up to 200 points (El-Yaniv and Wiener 2010)."""
    cutoffs = thin(np.unique(confidence)[::-1])
    decided = confidence[:, None] >= cutoffs  # (images, cutoffs)
    risk = sample.estimate_ratios(np.broadcast_to(wrong[:, None], decided.shape), decided)
    low, high = bounds(risk)
    return {
        "coverage": decided.mean(axis=0).tolist(),
        "risk": risk.value.tolist(),
        "risk_low": low,
        "risk_high": high,
    }


def choose_cutoff(confidence: Floats, wrong: Flags, policy: Wishes) -> float:
    """Choose the confidence below which images are retaken, so that validation images meet the policy.

    For ``max_risk`` it is the lowest cut-off that meets the policy, so that as many images as possible get a verdict;
    if none does, it is above all confidences. For ``min_coverage`` it is the highest. A cut-off lies midway between two
    neighbouring confidences.
    """
    levels = np.unique(confidence)
    cutoffs = np.concatenate([[0.0], (levels[:-1] + levels[1:]) / 2])
    order = np.argsort(confidence)
    retaken = np.searchsorted(confidence[order], cutoffs)
    given = len(confidence) - retaken
    if policy.min_coverage is not None:
        return float(cutoffs[given >= policy.min_coverage * len(confidence) - 1e-6].max())
    assert policy.max_risk is not None
    mistakes = wrong.sum() - np.concatenate([[0], np.cumsum(wrong[order])])[retaken]
    meets = cutoffs[mistakes <= policy.max_risk * given + 1e-6]
    return float(meets.min()) if len(meets) else float(levels[-1] + 1)


def retake(
    confidence: Floats, wrong: Flags, cutoffs: dict[int, float], test: Judged, policy: Wishes, sample: Sample
) -> Retake:
    """Measure on test images the retaking of images below their fold's cut-off."""
    decided = confidence >= by_fold(cutoffs, test.fold)
    risk = figure(sample.estimate_ratios(wrong, decided), share_interval)
    return {
        "asked": _target_text(policy),
        "cutoffs": list(cutoffs.values()),
        "retaken": int((~decided).sum()),
        "coverage": figure(sample.estimate_ratios(decided), share_interval),
        "risk": risk,
        "sentence": f"Target: {_target_text(policy)}. {_effect_text(wrong, decided, risk)}",
    }


def _effect_text(wrong: Flags, decided: Flags, risk: Figure) -> str:
    if not decided.any():
        return "No image reaches the required confidence: all would be retaken."
    retaken = f"{counted(int((~decided).sum()), 'test image')} of {len(wrong):,} would be retaken"
    remaining = f"of the {counted(int(decided.sum()), 'verdict')} given, {int(wrong[decided].sum()):,} would be wrong"
    without = f"{int(wrong.sum()):,} of {len(wrong):,} without retakes"
    return f"{retaken}; {remaining} ({figure_text(risk)}), compared with {without}."


def _target_text(policy: Wishes) -> str:
    if policy.max_risk is not None:
        return f"at most {limit(policy.max_risk)} wrong verdicts among those given"
    assert policy.min_coverage is not None
    return f"a verdict for at least {limit(policy.min_coverage)} of the images"
