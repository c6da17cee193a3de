"""Paired differences between two bundles on the same images.

The table has one line an image: ``row, noisy, reference, part, label, noise_type``; of each bundle (X: a, b) ``psnr_X,
ssim_X, said_noise_type_X``; of each bundle that gives verdicts ``p_defect_X, logit_X`` and the verdict ``said_X``. The
verdict retake is neither right, nor an escape or an overkill.
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
from clearcast.evaluation.measures import CLASSIFICATION_MEASURES, DECISION_MEASURES, QUALITY_MEASURES, MeasureInfo
from clearcast.evaluation.statistics.intervals import Interval, difference_interval, mean_interval, share_interval
from clearcast.evaluation.statistics.measures import roc_measure
from clearcast.evaluation.statistics.sample import Estimates, Flags, Floats, Measure, Sample

ALL = "all"
_SUFFIXES = ("a", "b")
_Intervals = Callable[[Estimates], Interval]
_SHARE_INTERVALS = share_interval, difference_interval


class Aspect(StrEnum):
    """Aspect in which bundles are compared; the values stand in the table of differences."""

    VERDICTS = "verdicts"
    NOISE_TYPES = "noise types"
    RESTORING = "restored pictures"

    @property
    def display_name(self) -> str:
        """Name for people."""
        return "denoised images" if self is Aspect.RESTORING else self.value


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One measure of two bundles on the same images.

    Attributes:
        aspect: what is compared.
        info: the measure: accuracy (right verdicts of all images), escapes (of defects), overkills (of ok images),
            retakes, ROC area; PSNR, SSIM.
        noise: which images: all, or those of a noise type.
        images, parts: how many images and parts the measure is taken over.
        first, second: value of each bundle; shares in 0..1, PSNR in dB.
        difference: second minus first.
    """

    aspect: Aspect
    info: MeasureInfo
    noise: str = ALL
    images: int
    parts: int
    first: Figure
    second: Figure
    difference: Figure

    @property
    def measure(self) -> str:
        """Name of the measure."""
        return self.info.name

    @property
    def better(self) -> str | None:
        """A (the first) or B (the second); None if the interval of the difference contains 0 or is missing."""
        low, high = self.difference["low"], self.difference["high"]
        if low is None or high is None or low <= 0 <= high:
            return None
        return "B" if (low > 0) is self.info.higher_is_better else "A"


def differences(table: pd.DataFrame, seed: int) -> list[Difference]:
    """Compare all measures that are defined, with intervals over parts.

    Args:
        table: see the module; at least one line.
        seed: of the resamples.
    """
    sample = Sample(table["part"].to_numpy(str), seed=seed)
    found = [*_verdicts(table, sample), *_noise_types(table, sample), *_denoised_images(table, sample)]
    return [each for each in found if each.difference["value"] is not None]


def changed(table: pd.DataFrame) -> pd.DataFrame:
    """List the images whose verdict differs: ``row, noisy, label, part``, both verdicts, and which is right, if any.

    It is empty if one of the bundles gives no verdicts.
    """
    names = ["row", "noisy", "label", "part", *(f"{what}_{x}" for x in _SUFFIXES for what in ("p_defect", "said"))]
    if not judged_by_both(table):
        return pd.DataFrame(columns=[*names, "right"])
    rows = table.loc[table["said_a"] != table["said_b"], names]
    right = np.where(rows["said_a"] == rows["label"], "A", np.where(rows["said_b"] == rows["label"], "B", ""))
    return rows.assign(right=right)


def judged_by_both(table: pd.DataFrame) -> bool:
    """Check whether both bundles give verdicts."""
    return {"said_a", "said_b"} <= set(table)


def _verdicts(table: pd.DataFrame, sample: Sample) -> list[Difference]:
    if not judged_by_both(table):
        return []
    defect = (table["label"] == Label.DEFECT).to_numpy(bool)

    def predicted(verdict: Verdict) -> list[Flags]:
        return [(table[f"said_{x}"] == verdict).to_numpy(bool) for x in _SUFFIXES]

    right = [(table[f"said_{x}"] == table["label"]).to_numpy(bool) for x in _SUFFIXES]
    share = partial(_paired, sample, Aspect.VERDICTS, intervals=_SHARE_INTERVALS)
    found = [
        share(CLASSIFICATION_MEASURES["accuracy"], right),
        share(DECISION_MEASURES["escape"], predicted(Verdict.OK), among=defect),
        share(DECISION_MEASURES["overkill"], predicted(Verdict.DEFECT), among=~defect),
    ]
    retaken = predicted(Verdict.RETAKE)
    if np.any(retaken):
        found.append(share(DECISION_MEASURES["retake"], retaken))
    if defect.any() and not defect.all():
        found.append(_roc(defect, [column(table, f"logit_{x}") for x in _SUFFIXES], sample))
    return found


def _noise_types(table: pd.DataFrame, sample: Sample) -> list[Difference]:
    right = [(table[f"said_noise_type_{x}"] == table["noise_type"]).to_numpy(bool) for x in _SUFFIXES]
    return [_paired(sample, Aspect.NOISE_TYPES, CLASSIFICATION_MEASURES["accuracy"], right, intervals=_SHARE_INTERVALS)]


def _denoised_images(table: pd.DataFrame, sample: Sample) -> list[Difference]:
    """Compare PSNR and SSIM; images with an infinite PSNR of either bundle are left out."""
    kinds = {ALL: np.ones(len(table), bool)}
    kinds |= {kind.value: (table["noise_type"] == kind).to_numpy(bool) for kind in NoiseType}
    found = []
    for noise, rows in kinds.items():
        for key in ("psnr", "ssim") if rows.any() else ():
            info = QUALITY_MEASURES[key]
            both = [column(table, f"{key}_{x}") for x in _SUFFIXES]
            finite = rows & np.isfinite(both[0]) & np.isfinite(both[1])
            means = partial(mean_interval, lowest=info.lowest, highest=info.highest), mean_interval
            found.append(_paired(sample, Aspect.RESTORING, info, both, among=finite, noise=noise, intervals=means))
    return found


def _paired(
    sample: Sample,
    aspect: Aspect,
    info: MeasureInfo,
    both: list[Flags] | list[Floats],
    *,
    intervals: tuple[_Intervals, _Intervals],
    among: Flags | None = None,
    noise: str = ALL,
) -> Difference:
    """Average the values of each bundle and their differences over images."""
    value_interval, paired_interval = intervals
    first, second = (np.asarray(each, float) for each in both)
    if among is not None:
        first, second = (np.where(among, each, 0.0) for each in (first, second))  # infinite values have no difference
    estimates = sample.estimate_ratios(second - first, among)
    return Difference(
        aspect=aspect,
        info=info,
        noise=noise,
        images=int(estimates.images[0]),
        parts=int(estimates.groups[0]),
        first=figure(sample.estimate_ratios(first, among), value_interval),
        second=figure(sample.estimate_ratios(second, among), value_interval),
        difference=figure(estimates, paired_interval),
    )


def _roc(defect: Flags, logits: list[Floats], sample: Sample) -> Difference:
    areas: list[Measure] = [roc_measure(defect[:, None], each[:, None]) for each in logits]
    among = [defect, ~defect]
    first, second = (figure(sample.estimate(area, among), share_interval) for area in areas)
    both = sample.estimate(lambda weights: areas[1](weights) - areas[0](weights), among)
    return Difference(
        aspect=Aspect.VERDICTS,
        info=CLASSIFICATION_MEASURES["roc_area"],
        images=sample.images,
        parts=int(both.groups[0]),
        first=first,
        second=second,
        difference=figure(both, difference_interval),
    )
