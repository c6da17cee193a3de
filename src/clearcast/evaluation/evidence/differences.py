"""Which of two bundles is better: what they said of the same images, compared image by image.

The table has one line an image: ``row, noisy, reference, part, label, noise_type``; of each bundle (X: a, b) ``psnr_X,
ssim_X, said_noise_type_X``; of each that judges ``p_defect_X, logit_X`` and ``said_X``, a verdict: one that says retake
is neither right, nor an escape or an overkill.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np
import pandas as pd

from clearcast.domain import Label, NoiseType, Verdict
from clearcast.evaluation.evidence.contract import Figure
from clearcast.evaluation.evidence.figures import figure
from clearcast.evaluation.evidence.restoration import column
from clearcast.evaluation.statistics.intervals import Interval, difference_interval, mean_interval, share_interval
from clearcast.evaluation.statistics.measures import roc_measure
from clearcast.evaluation.statistics.sample import Estimates, Flags, Floats, Measure, Sample

ALL = "all"
_SUFFIXES = ("a", "b")
_Intervals = Callable[[Estimates], Interval]
_OF_SHARES = share_interval, difference_interval


class Aspect(StrEnum):
    """What bundles are compared in."""

    VERDICTS = "verdicts"
    NOISE_TYPES = "noise types"
    RESTORING = "restored pictures"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One measure of two bundles on the same images.

    Attributes:
        aspect: what is measured.
        measure: its name: accuracy (right verdicts of all images), escapes (of defects), overkills (of ok images),
            retakes, ROC area; PSNR, SSIM.
        noise: of which images: all, or a noise type.
        images, parts: how many stand behind it.
        first, second: of each bundle; shares in 0..1, PSNR in dB.
        difference: second minus first.
        more_is_better: whether a larger value is.
    """

    aspect: Aspect
    measure: str
    noise: str = ALL
    images: int
    parts: int
    first: Figure
    second: Figure
    difference: Figure
    more_is_better: bool = True

    @property
    def better(self) -> str | None:
        """A (the first) or B (the second); None where the interval of the difference holds 0, or there is none."""
        low, high = self.difference["low"], self.difference["high"]
        if low is None or high is None or low <= 0 <= high:
            return None
        return "B" if (low > 0) is self.more_is_better else "A"


def differences(table: pd.DataFrame, seed: int) -> list[Difference]:
    """All that can be compared, with intervals over parts; what is not defined, as of one label only, is left out.

    Args:
        table: see above; at least one line.
        seed: of the resamples.
    """
    sample = Sample(table["part"].to_numpy(str), seed=seed)
    found = [*_of_verdicts(table, sample), *_of_noise_types(table, sample), *_of_restoring(table, sample)]
    return [each for each in found if each.difference["value"] is not None]


def changed(table: pd.DataFrame) -> pd.DataFrame:
    """The images whose verdict differs: ``row, noisy, label, part``, what each bundle said, and which is right, if any.

    Empty where one of the bundles gives no verdicts.
    """
    names = ["row", "noisy", "label", "part", *(f"{what}_{x}" for x in _SUFFIXES for what in ("p_defect", "said"))]
    if not judged_by_both(table):
        return pd.DataFrame(columns=[*names, "right"])
    rows = table.loc[table["said_a"] != table["said_b"], names]
    right = np.where(rows["said_a"] == rows["label"], "A", np.where(rows["said_b"] == rows["label"], "B", ""))
    return rows.assign(right=right)


def judged_by_both(table: pd.DataFrame) -> bool:
    """Whether both bundles give verdicts."""
    return {"said_a", "said_b"} <= set(table)


def _of_verdicts(table: pd.DataFrame, sample: Sample) -> list[Difference]:
    if not judged_by_both(table):
        return []
    defect = (table["label"] == Label.DEFECT).to_numpy(bool)

    def said(what: Verdict) -> list[Flags]:
        return [(table[f"said_{x}"] == what).to_numpy(bool) for x in _SUFFIXES]

    right = [(table[f"said_{x}"] == table["label"]).to_numpy(bool) for x in _SUFFIXES]
    share = partial(_paired, sample, Aspect.VERDICTS, intervals=_OF_SHARES)
    found = [
        share("accuracy", right),
        share("escapes", said(Verdict.OK), among=defect, more_is_better=False),
        share("overkills", said(Verdict.DEFECT), among=~defect, more_is_better=False),
    ]
    retaken = said(Verdict.RETAKE)
    if np.any(retaken):
        found.append(share("retakes", retaken, more_is_better=False))
    if defect.any() and not defect.all():
        found.append(_roc(defect, [column(table, f"logit_{x}") for x in _SUFFIXES], sample))
    return found


def _of_noise_types(table: pd.DataFrame, sample: Sample) -> list[Difference]:
    right = [(table[f"said_noise_type_{x}"] == table["noise_type"]).to_numpy(bool) for x in _SUFFIXES]
    return [_paired(sample, Aspect.NOISE_TYPES, "accuracy", right, intervals=_OF_SHARES)]


def _of_restoring(table: pd.DataFrame, sample: Sample) -> list[Difference]:
    """Images that one of the two restored without any error have no finite PSNR, and are left out of it."""
    kinds = {ALL: np.ones(len(table), bool)}
    kinds |= {kind.value: (table["noise_type"] == kind).to_numpy(bool) for kind in NoiseType}
    found = []
    for noise, rows in kinds.items():
        for measure in ("PSNR", "SSIM") if rows.any() else ():
            both = [column(table, f"{measure.lower()}_{x}") for x in _SUFFIXES]
            finite = rows & np.isfinite(both[0]) & np.isfinite(both[1])
            bounded = partial(mean_interval, lowest=-1.0, highest=1.0) if measure == "SSIM" else mean_interval
            means = bounded, mean_interval
            found.append(_paired(sample, Aspect.RESTORING, measure, both, among=finite, noise=noise, intervals=means))
    return found


def _paired(
    sample: Sample,
    aspect: Aspect,
    measure: str,
    both: list[Flags] | list[Floats],
    *,
    intervals: tuple[_Intervals, _Intervals],
    among: Flags | None = None,
    noise: str = ALL,
    more_is_better: bool = True,
) -> Difference:
    """Means over images of what each bundle has, and of the difference."""
    of_one, of_difference = intervals
    first, second = (np.asarray(each, float) for each in both)
    if among is not None:
        first, second = (np.where(among, each, 0.0) for each in (first, second))  # infinite ones give no difference
    estimates = sample.ratios(second - first, among)
    return Difference(
        aspect=aspect,
        measure=measure,
        noise=noise,
        images=int(estimates.images[0]),
        parts=int(estimates.parts[0]),
        first=figure(sample.ratios(first, among), of_one),
        second=figure(sample.ratios(second, among), of_one),
        difference=figure(estimates, of_difference),
        more_is_better=more_is_better,
    )


def _roc(defect: Flags, logits: list[Floats], sample: Sample) -> Difference:
    areas: list[Measure] = [roc_measure(defect[:, None], each[:, None]) for each in logits]
    among = [defect, ~defect]
    first, second = (figure(sample.measures(area, among), share_interval) for area in areas)
    both = sample.measures(lambda weights: areas[1](weights) - areas[0](weights), among)
    return Difference(
        aspect=Aspect.VERDICTS,
        measure="ROC area",
        images=sample.images,
        parts=int(both.parts[0]),
        first=first,
        second=second,
        difference=figure(both, difference_interval),
    )
