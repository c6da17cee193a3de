"""Outcome of a decision rule on labelled images, including the verdict retake for images near the threshold.

``OperatingPoint`` gives every image a verdict. An outcome is what happens on the line: a defect that is retaken does
not escape.
"""

from dataclasses import dataclass

from clearcast.evaluation.evidence.contract import Figure
from clearcast.evaluation.evidence.figures import figure
from clearcast.evaluation.evidence.retake import confidence
from clearcast.evaluation.evidence.tables import Judged
from clearcast.evaluation.statistics.intervals import share_interval
from clearcast.evaluation.statistics.sample import Flags, Sample


@dataclass(frozen=True, kw_only=True)
class Tally:
    """A count among a number of images, and the share with its interval."""

    count: int
    images: int
    share: Figure


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Rates of a decision rule.

    Attributes:
        escapes: defects called ok, of all defects.
        overkills: ok images called defect, of all ok images.
        retaken: retaken images, of all images.
        wrong: wrong verdicts, of the verdicts ok and defect.
    """

    escapes: Tally
    overkills: Tally
    retaken: Tally
    wrong: Tally


def outcome(scores: Judged, threshold: float, retake_distance: float, sample: Sample) -> Outcome:
    """Measure the decision rule of a threshold and a retake distance.

    Args:
        scores: the images; with calibrated log-odds if ``threshold`` is a calibrated probability.
        threshold: probability above which an image is a defect, above 0 and below 1.
        retake_distance: images whose log-odds are nearer to those of the threshold are retaken, at least 0.
        sample: of the same images.
    """
    given = confidence(scores, dict.fromkeys(scores.folds, threshold)) >= retake_distance
    predicted, defect = scores.probability > threshold, scores.defect
    return Outcome(
        escapes=_tally(given & ~predicted, defect, sample),
        overkills=_tally(given & predicted, ~defect, sample),
        retaken=_tally(~given, given | ~given, sample),
        wrong=_tally(predicted != defect, given, sample),
    )


def _tally(counted: Flags, among: Flags, sample: Sample) -> Tally:
    share = figure(sample.estimate_ratios(counted, among), share_interval)
    return Tally(count=int((counted & among).sum()), images=int(among.sum()), share=share)
