"""Where to call an image a defect: the choice on validation images, and what it does on test images."""

import numpy as np

from clearcast.checks import require_finite
from clearcast.evaluation.evidence.contract import OperatingCurve, OperatingPoint
from clearcast.evaluation.evidence.figures import figure
from clearcast.evaluation.evidence.tables import Judged
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.statistics.intervals import share_interval
from clearcast.evaluation.statistics.sample import Estimates, Flags, Floats, Sample

CURVE_POINTS = 200


def choose_threshold(probability: Floats, defect: Flags, wishes: Wishes) -> float:
    """The threshold of the probability of defect that costs least, or the highest that lets few enough defects escape.

    It lies in the middle between two neighbouring probabilities. Among equally cheap ones it is the nearest to the
    threshold that follows from the costs alone if probabilities are right, overkill / (escape + overkill) cost (Elkan
    2001, "The Foundations of Cost-Sensitive Learning").

    Args:
        probability: of defect, above 0 and below 1, shape (images,).
        defect: what is true, shape (images,).
        wishes: costs, or the largest share of defects that may escape.

    Raises:
        ModelOutputError: a probability is not finite.
    """
    require_finite("probabilities of defect", probability)
    candidates = _between(probability)
    escapes = np.searchsorted(np.sort(probability[defect]), candidates)
    if wishes.max_escape is not None:
        # A millionth of an image: 0.1 * 30 is more than 3 in floating point, and 0.07 * 100 too.
        return float(candidates[escapes <= wishes.max_escape * defect.sum() + 1e-6].max())
    overkills = (~defect).sum() - np.searchsorted(np.sort(probability[~defect]), candidates)
    cost = wishes.escape_cost * escapes + wishes.overkill_cost * overkills
    best = candidates[cost <= cost.min() * (1 + 1e-12)]
    implied = wishes.overkill_cost / (wishes.escape_cost + wishes.overkill_cost)
    return float(best[np.argmin(np.abs(best - implied))])


def operating_point(test: Judged, said: Flags, thresholds: list[float], sample: Sample) -> OperatingPoint:
    """Escapes and overkills of verdicts on test images."""
    defect = test.defect
    return {
        "thresholds": thresholds,
        "defects": int(defect.sum()),
        "escapes": int((defect & ~said).sum()),
        "escape": figure(sample.ratios(~said, defect), share_interval),
        "oks": int((~defect).sum()),
        "overkills": int((said & ~defect).sum()),
        "overkill": figure(sample.ratios(said, ~defect), share_interval),
        "accuracy": figure(sample.ratios(said == defect), share_interval),
    }


def operating_curve(test: Judged, sample: Sample) -> OperatingCurve | None:
    """Escape and overkill at up to 200 thresholds; intervals are those of each point by itself, 0..1 of one part."""
    if test.defect.all() or not test.defect.any():
        return None
    thresholds = thin(_between(test.probability))
    said = test.probability[:, None] >= thresholds  # (images, thresholds)
    defect = np.broadcast_to(test.defect[:, None], said.shape)
    escape, overkill = sample.ratios(~said, defect), sample.ratios(said, ~defect)
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
    """Intervals of shares for a curve: from 0 to 1 where nothing is known, as of one part."""
    low, high = share_interval(estimates)
    return np.nan_to_num(low, nan=0.0).tolist(), np.nan_to_num(high, nan=1.0).tolist()


def thin(values: Floats) -> Floats:
    """At most 200 of some values, evenly by rank, with the first and the last."""
    ranks = np.unique(np.linspace(0, len(values) - 1, CURVE_POINTS).round().astype(int))
    thinned: Floats = values[ranks]
    return thinned


def _between(probability: Floats) -> Floats:
    """The middles between neighbouring probabilities, below the lowest and above the highest; ascending."""
    edges = np.concatenate([[0.0], np.unique(probability), [1.0]])
    middles: Floats = (edges[:-1] + edges[1:]) / 2
    return middles
