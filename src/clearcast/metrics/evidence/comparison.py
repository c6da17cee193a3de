"""Paired comparisons on the same test images: of two stages of a run, and of two bundles (A and B)."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np
import pandas as pd

from clearcast.core.evidence_schema import Stage, StageComparison, ValueWithCI
from clearcast.core.numbers import format_count
from clearcast.metrics.bootstrap import (
    BoolArray,
    ClusterBootstrap,
    ConfidenceInterval,
    Estimates,
    FloatArray,
    WeightedMeasure,
    difference_interval,
    mcnemar_p_value,
    mean_interval,
    roc_area_measure,
    share_interval,
)
from clearcast.metrics.evidence.estimates import read_number_column
from clearcast.metrics.evidence.scores import format_interval, value_with_ci
from clearcast.metrics.measures import CLASSIFICATION_MEASURES, DECISION_MEASURES, QUALITY_MEASURES, MeasureInfo
from clearcast.noise.registry import NoiseType
from clearcast.types import Label, Verdict

_STAGE_PAIRS = (
    (Stage.NOISY, Stage.DENOISED),
    (Stage.NOISY, Stage.TRANSFER),
    (Stage.NOISY, Stage.REFERENCE),
    (Stage.DENOISED, Stage.REFERENCE),
)
_STAGE_SUBJECTS = {Stage.DENOISED: "denoising", Stage.TRANSFER: "denoising without retraining stage 1's network"}
ALL_NOISE_TYPES = "all"
_BUNDLE_SUFFIXES = ("a", "b")
_IntervalFunction = Callable[[Estimates], ConfidenceInterval]
_SHARE_INTERVALS = share_interval, difference_interval


def compare_stages(test: pd.DataFrame, seed: int) -> list[StageComparison]:
    """Compare accuracies of the pairs of stages, as far as both were run."""
    return [
        _compare_pair(rows, first, second, seed)
        for first, second in _STAGE_PAIRS
        if {f"said_{first}", f"said_{second}"} <= set(test)
        and not (rows := test.dropna(subset=[f"said_{first}", f"said_{second}"])).empty
    ]


def _compare_pair(rows: pd.DataFrame, first: Stage, second: Stage, seed: int) -> StageComparison:
    before, after = ((rows[f"said_{stage}"] == rows["label"]).to_numpy(bool) for stage in (first, second))
    sample = ClusterBootstrap(rows["part"].to_numpy(str), seed=seed)
    difference = value_with_ci(sample.estimate_ratios(after.astype(float) - before), difference_interval)
    corrected, broken = int((after & ~before).sum()), int((before & ~after).sum())
    low, high = difference["low"], difference["high"]
    established = low is not None and high is not None and (low > 0 or high < 0)
    return {
        "first": first.value,
        "second": second.value,
        "images": sample.images,
        "parts": sample.groups,
        "difference": difference,
        "mended": corrected,
        "spoiled": broken,
        "mcnemar_p": mcnemar_p_value(corrected, broken),
        "established": established,
        "sentence": f"{_change_text(first, second, difference)}: {_certainty_text(established, sample.groups)}",
    }


def _change_text(first: Stage, second: Stage, difference: ValueWithCI) -> str:
    value = difference["value"] or 0.0
    interval = (
        format_interval(difference) if value >= 0 else format_interval(difference).replace("95%", "95% of the change")
    )
    points = f"{abs(100 * value):.1f} points ({interval})"
    if second is Stage.REFERENCE:
        relation = f"{points} {'above' if value > 0 else 'below'}" if value else f"the same ({interval}) as"
        return f"accuracy on noise-free images is {relation} that on {first} ones"
    if not value:
        return f"{_STAGE_SUBJECTS[second]} did not change accuracy ({interval})"
    return f"{_STAGE_SUBJECTS[second]} {'raised' if value > 0 else 'lowered'} accuracy by {points}"


def _certainty_text(established: bool, parts: int) -> str:
    return f"{'established' if established else 'not established'} on {format_count(parts, 'part')}"


class ComparisonAspect(StrEnum):
    """Aspect in which bundles are compared; the values stand in the table of differences."""

    VERDICTS = "verdicts"
    NOISE_TYPES = "noise types"
    DENOISED_IMAGES = "restored pictures"

    @property
    def display_name(self) -> str:
        """Name for people."""
        return "denoised images" if self is ComparisonAspect.DENOISED_IMAGES else self.value


@dataclass(frozen=True, kw_only=True)
class BundleDifference:
    """One measure of two bundles on the same images.

    Attributes:
        aspect: what is compared.
        info: the measure: accuracy (correct verdicts of all images), escapes (of defects), overkills (of ok images),
            retakes, ROC area; PSNR, SSIM.
        noise: which images: all, or those of a noise type.
        images, parts: how many images and parts the measure is taken over.
        first, second: value of each bundle; shares in 0..1, PSNR in dB.
        difference: second minus first.
    """

    aspect: ComparisonAspect
    info: MeasureInfo
    noise: str = ALL_NOISE_TYPES
    images: int
    parts: int
    first: ValueWithCI
    second: ValueWithCI
    difference: ValueWithCI

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


_DECISIVE_MEASURES = {
    # Not the ROC area: it does not depend on the threshold in use.
    ComparisonAspect.VERDICTS: (
        CLASSIFICATION_MEASURES["accuracy"],
        *(DECISION_MEASURES[key] for key in ("escape", "overkill", "retake")),
    ),
    ComparisonAspect.NOISE_TYPES: (CLASSIFICATION_MEASURES["accuracy"],),
    ComparisonAspect.DENOISED_IMAGES: (QUALITY_MEASURES["psnr"], QUALITY_MEASURES["ssim"]),
}


def measure_differences(table: pd.DataFrame, seed: int) -> list[BundleDifference]:
    """Compare all measures that are defined, with intervals over parts.

    Args:
        table: one row for each image, at least one, with the columns of ``predictions.csv`` of a comparison.
        seed: of the resamples.
    """
    sample = ClusterBootstrap(table["part"].to_numpy(str), seed=seed)
    differences = [
        *_verdict_differences(table, sample),
        _noise_type_difference(table, sample),
        *_quality_differences(table, sample),
    ]
    return [each for each in differences if each.difference["value"] is not None]


def list_changed_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """List the images whose verdict differs: ``row, noisy, label, part``, both verdicts, and the right one, if any.

    It is empty if one of the bundles gives no verdicts.
    """
    verdict_columns = [f"{what}_{x}" for x in _BUNDLE_SUFFIXES for what in ("p_defect", "said")]
    names = ["row", "noisy", "label", "part", *verdict_columns]
    if not _both_give_verdicts(table):
        return pd.DataFrame(columns=[*names, "right"])
    rows = table.loc[table["said_a"] != table["said_b"], names]
    right = np.where(rows["said_a"] == rows["label"], "A", np.where(rows["said_b"] == rows["label"], "B", ""))
    return rows.assign(right=right)


def _both_give_verdicts(table: pd.DataFrame) -> bool:
    """Check whether both bundles give verdicts."""
    return {"said_a", "said_b"} <= set(table)


def _verdict_differences(table: pd.DataFrame, sample: ClusterBootstrap) -> list[BundleDifference]:
    if not _both_give_verdicts(table):
        return []
    defect = (table["label"] == Label.DEFECT).to_numpy(bool)

    def predicted(verdict: Verdict) -> list[BoolArray]:
        return [(table[f"said_{x}"] == verdict).to_numpy(bool) for x in _BUNDLE_SUFFIXES]

    correct = [(table[f"said_{x}"] == table["label"]).to_numpy(bool) for x in _BUNDLE_SUFFIXES]
    share = partial(_paired_difference, sample, ComparisonAspect.VERDICTS, intervals=_SHARE_INTERVALS)
    differences = [
        share(CLASSIFICATION_MEASURES["accuracy"], correct),
        share(DECISION_MEASURES["escape"], predicted(Verdict.OK), among=defect),
        share(DECISION_MEASURES["overkill"], predicted(Verdict.DEFECT), among=~defect),
    ]
    retaken = predicted(Verdict.RETAKE)
    if np.any(retaken):
        differences.append(share(DECISION_MEASURES["retake"], retaken))
    if defect.any() and not defect.all():
        differences.append(
            _roc_area_difference(defect, [read_number_column(table, f"logit_{x}") for x in _BUNDLE_SUFFIXES], sample)
        )
    return differences


def _noise_type_difference(table: pd.DataFrame, sample: ClusterBootstrap) -> BundleDifference:
    correct = [(table[f"said_noise_type_{x}"] == table["noise_type"]).to_numpy(bool) for x in _BUNDLE_SUFFIXES]
    accuracy = CLASSIFICATION_MEASURES["accuracy"]
    return _paired_difference(sample, ComparisonAspect.NOISE_TYPES, accuracy, correct, intervals=_SHARE_INTERVALS)


def _quality_differences(table: pd.DataFrame, sample: ClusterBootstrap) -> list[BundleDifference]:
    """Compare PSNR and SSIM; images with an infinite PSNR of either bundle are left out."""
    kinds = {ALL_NOISE_TYPES: np.ones(len(table), bool)}
    kinds |= {kind.value: (table["noise_type"] == kind).to_numpy(bool) for kind in NoiseType}
    differences = []
    for noise, rows in kinds.items():
        for key in ("psnr", "ssim") if rows.any() else ():
            info = QUALITY_MEASURES[key]
            values = [read_number_column(table, f"{key}_{x}") for x in _BUNDLE_SUFFIXES]
            finite = rows & np.isfinite(values[0]) & np.isfinite(values[1])
            means = partial(mean_interval, lowest=info.lowest, highest=info.highest), mean_interval
            differences.append(
                _paired_difference(
                    sample, ComparisonAspect.DENOISED_IMAGES, info, values, among=finite, noise=noise, intervals=means
                )
            )
    return differences


def _paired_difference(
    sample: ClusterBootstrap,
    aspect: ComparisonAspect,
    info: MeasureInfo,
    values: list[BoolArray] | list[FloatArray],
    *,
    intervals: tuple[_IntervalFunction, _IntervalFunction],
    among: BoolArray | None = None,
    noise: str = ALL_NOISE_TYPES,
) -> BundleDifference:
    """Average the values of each bundle and their differences over images."""
    value_interval, paired_interval = intervals
    first, second = (np.asarray(each, float) for each in values)
    if among is not None:
        first, second = (np.where(among, each, 0.0) for each in (first, second))  # infinite values have no difference
    estimates = sample.estimate_ratios(second - first, among)
    return BundleDifference(
        aspect=aspect,
        info=info,
        noise=noise,
        images=int(estimates.images[0]),
        parts=int(estimates.groups[0]),
        first=value_with_ci(sample.estimate_ratios(first, among), value_interval),
        second=value_with_ci(sample.estimate_ratios(second, among), value_interval),
        difference=value_with_ci(estimates, paired_interval),
    )


def _roc_area_difference(defect: BoolArray, logits: list[FloatArray], sample: ClusterBootstrap) -> BundleDifference:
    areas: list[WeightedMeasure] = [roc_area_measure(defect[:, None], each[:, None]) for each in logits]
    among = [defect, ~defect]
    first, second = (value_with_ci(sample.estimate(area, among), share_interval) for area in areas)
    difference = sample.estimate(lambda weights: areas[1](weights) - areas[0](weights), among)
    return BundleDifference(
        aspect=ComparisonAspect.VERDICTS,
        info=CLASSIFICATION_MEASURES["roc_area"],
        images=sample.images,
        parts=int(difference.groups[0]),
        first=first,
        second=second,
        difference=value_with_ci(difference, difference_interval),
    )


def describe_differences(differences: list[BundleDifference], changes: pd.DataFrame) -> list[str]:
    """Write one sentence for each compared aspect, and one on the changed verdicts; each difference is B minus A.

    Args:
        differences: see ``measure_differences``.
        changes: see ``list_changed_verdicts``.
    """
    sentences = []
    for aspect, measures in _DECISIVE_MEASURES.items():
        decisive = [
            each
            for each in differences
            if each.aspect is aspect and each.noise == ALL_NOISE_TYPES and each.info in measures
        ]
        if decisive:
            sentences.append(f"{aspect.display_name.capitalize()}: {_better_bundle_text(decisive)}.")
        if decisive and aspect is ComparisonAspect.VERDICTS:
            sentences.append(_changed_verdicts_text(decisive[0].images, changes))
    return sentences


def _better_bundle_text(decisive: list[BundleDifference]) -> str:
    """Name the better bundle, by all measures whose difference is beyond chance."""
    first = decisive[0]
    images = f"on {format_count(first.images, 'image')} of {format_count(first.parts, 'part')}"
    if first.parts < 2:
        return f"no difference can be established, since all images show one part ({_difference_text(first)})"
    established = {side: [each for each in decisive if each.better == side] for side in ("A", "B")}
    if established["A"] and established["B"]:
        sides = "; ".join(
            f"{side} is better in {_join_differences(measures)}" for side, measures in established.items()
        )
        return f"neither is better throughout: {sides}, {images}; choose by the cost of each mistake"
    for side, measures in established.items():
        if measures:
            return f"{side} is better: {_join_differences(measures)}, {images}"
    return f"no difference beyond chance: {_difference_text(first)}, {images}"


def _join_differences(measures: list[BundleDifference]) -> str:
    return ", ".join(map(_difference_text, measures))


def _difference_text(difference: BundleDifference) -> str:
    """Write a difference such as "accuracy +3.1 points (95%: +1.0 to +5.2)"."""
    info = difference.info
    factor, digits = (100.0, 1) if info.is_share else (1.0, info.decimals)
    unit = " points" if info.is_share else f" {info.unit}".rstrip()
    value, low, high = (
        None if bound is None else f"{factor * bound + 0.0:+.{digits}f}"
        for bound in (difference.difference["value"], difference.difference["low"], difference.difference["high"])
    )
    ends = "" if low is None or high is None else f" (95%: {low} to {high})"
    return f"{difference.measure} {value}{unit}{ends}"


def _changed_verdicts_text(images: int, changes: pd.DataFrame) -> str:
    if changes.empty:
        return f"No verdict changes: A and B agree on all {format_count(images, 'image')}."
    retaken = (changes["said_a"] == Verdict.RETAKE) | (changes["said_b"] == Verdict.RETAKE)
    corrected, broken = (int((~retaken & (changes["right"] == side)).sum()) for side in ("B", "A"))
    retakes = f", {int(retaken.sum()):,} to or from retake" if retaken.any() else ""
    return (
        f"{len(changes):,} of {format_count(images, 'verdict')} would change from A to B: {corrected:,} from wrong to "
        f"right, {broken:,} from right to wrong{retakes}."
    )
