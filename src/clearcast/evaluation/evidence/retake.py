"""A third verdict, retake, for pictures that lie too near the threshold."""

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


def confidence(judged: Judged, thresholds: dict[int, float]) -> Floats:
    """How far the log-odds of each image are from those of its fold's threshold, shape (images,), at least 0."""
    return np.abs(judged.logits - log_odds(by_fold(thresholds, judged.fold)))


def risk_curve(confidence: Floats, wrong: Flags, sample: Sample) -> RiskCurve:
    """What is wrong among the surest images, for up to 200 shares of them, ascending (El-Yaniv and Wiener 2010)."""
    cutoffs = thin(np.unique(confidence)[::-1])
    judged = confidence[:, None] >= cutoffs  # (images, cutoffs)
    risk = sample.ratios(np.broadcast_to(wrong[:, None], judged.shape), judged)
    low, high = bounds(risk)
    return {
        "coverage": judged.mean(axis=0).tolist(),
        "risk": risk.value.tolist(),
        "risk_low": low,
        "risk_high": high,
    }


def choose_cutoff(confidence: Floats, wrong: Flags, wishes: Wishes) -> float:
    """The confidence below which pictures are retaken, so that the wish is met on validation images.

    For ``max_risk`` the lowest that meets it, so that as many as can be get a verdict; above all confidences where none
    does. For ``min_coverage`` the highest. It lies in the middle between two neighbouring confidences.
    """
    levels = np.unique(confidence)
    cutoffs = np.concatenate([[0.0], (levels[:-1] + levels[1:]) / 2])
    order = np.argsort(confidence)
    first = np.searchsorted(confidence[order], cutoffs)  # how many are retaken
    given = len(confidence) - first
    if wishes.min_coverage is not None:
        return float(cutoffs[given >= wishes.min_coverage * len(confidence) - 1e-6].max())
    assert wishes.max_risk is not None
    mistakes = wrong.sum() - np.concatenate([[0], np.cumsum(wrong[order])])[first]
    meets = cutoffs[mistakes <= wishes.max_risk * given + 1e-6]
    return float(meets.min()) if len(meets) else float(levels[-1] + 1)


def retake(
    confidence: Floats, wrong: Flags, cutoffs: dict[int, float], test: Judged, wishes: Wishes, sample: Sample
) -> Retake:
    """What retaking the pictures below their fold's cut-off does on test images."""
    judged = confidence >= by_fold(cutoffs, test.fold)
    risk = figure(sample.ratios(wrong, judged), share_interval)
    return {
        "asked": _asked(wishes),
        "cutoffs": list(cutoffs.values()),
        "retaken": int((~judged).sum()),
        "coverage": figure(sample.ratios(judged), share_interval),
        "risk": risk,
        "sentence": f"Asked for: {_asked(wishes)}. {_effect(wrong, judged, risk)}",
    }


def _effect(wrong: Flags, judged: Flags, risk: Figure) -> str:
    if not judged.any():
        return "No image is judged surely enough: all would be retaken."
    retaken = f"{counted(int((~judged).sum()), 'test image')} of {len(wrong):,} would be retaken"
    remaining = f"of the {counted(int(judged.sum()), 'verdict')} given, {int(wrong[judged].sum()):,} would be wrong"
    without = f"{int(wrong.sum()):,} of {len(wrong):,} without retaking"
    return f"{retaken}; {remaining} ({figure_text(risk)}), against {without}."


def _asked(wishes: Wishes) -> str:
    if wishes.max_risk is not None:
        return f"at most {limit(wishes.max_risk)} wrong verdicts among those given"
    assert wishes.min_coverage is not None
    return f"a verdict for at least {limit(wishes.min_coverage)} of the images"
