"""What a bundle's verdicts do on images whose truth is known, with the verdict retake for those too near the threshold.

Unlike ``OperatingPoint``, which has every image judged, this is what happens on the line: a defect that is retaken did
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
    """So many of some images, and the share that this is."""

    count: int
    images: int
    share: Figure


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What verdicts do.

    Attributes:
        escapes: defects called ok, of all defects.
        overkills: ok images called defect, of all ok images.
        retaken: of all images.
        wrong: of the verdicts given: ok and defect.
    """

    escapes: Tally
    overkills: Tally
    retaken: Tally
    wrong: Tally


def outcome(judged: Judged, threshold: float, retake_distance: float, sample: Sample) -> Outcome:
    """What verdicts of one threshold do.

    Args:
        judged: the images; their log-odds are of the probabilities that ``threshold`` is one of.
        threshold: the probability above which an image is a defect, above 0 and below 1.
        retake_distance: images whose log-odds are nearer to those of the threshold are retaken, at least 0.
        sample: of the same images.
    """
    given = confidence(judged, dict.fromkeys(judged.folds, threshold)) >= retake_distance
    said, defect = judged.probability > threshold, judged.defect
    return Outcome(
        escapes=_tally(given & ~said, defect, sample),
        overkills=_tally(given & said, ~defect, sample),
        retaken=_tally(~given, given | ~given, sample),
        wrong=_tally(said != defect, given, sample),
    )


def _tally(counted: Flags, among: Flags, sample: Sample) -> Tally:
    share = figure(sample.ratios(counted, among), share_interval)
    return Tally(count=int((counted & among).sum()), images=int(among.sum()), share=share)
