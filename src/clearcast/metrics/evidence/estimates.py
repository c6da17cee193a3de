"""Measures of a run's tables with intervals: classification, image quality and robustness to noise."""

from functools import partial
from typing import cast

import numpy as np
import pandas as pd

from clearcast.core.evidence_schema import RobustnessCurve, RobustnessPoint, Stage, ValueWithCI
from clearcast.metrics.bootstrap import (
    BoolArray,
    ClassIndices,
    ClusterBootstrap,
    FloatArray,
    f1_measure,
    mean_interval,
    precision_recall_f1_measure,
    roc_area_measure,
    share_interval,
)
from clearcast.metrics.evidence.scores import (
    UNDEFINED_VALUE,
    VERDICT_STAGES,
    StageScores,
    format_percent,
    read_stage_scores,
    value_with_ci,
    values_with_ci,
)
from clearcast.metrics.measures import QUALITY_MEASURES
from clearcast.metrics.results import QualityMeasure
from clearcast.noise import NOISES
from clearcast.noise.registry import NoiseType
from clearcast.types import Label

ACCURACY_TOLERANCE = 0.05  # largest loss of accuracy, compared with that without noise, that counts as robust
_INPUTS = {"noisy": "On noisy images", "denoised": "On denoised images"}


def estimate_classification(test: pd.DataFrame, seed: int) -> dict[str, dict[str, ValueWithCI]]:
    """Measure each classification stage of a test table, with intervals: stage -> measure -> value."""
    stages: dict[str, dict[str, ValueWithCI]] = {}
    for stage in Stage:
        if stage in VERDICT_STAGES and (scores := read_stage_scores(test, stage)):
            stages[stage.value] = _estimate_verdicts(scores, ClusterBootstrap(scores.part, seed=seed))
        elif stage is Stage.NOISE_TYPE and "said_noise_type" in test:
            stages[stage.value] = _estimate_noise_types(test[test["said_noise_type"].notna()], seed)
    return stages


def _estimate_verdicts(scores: StageScores, sample: ClusterBootstrap) -> dict[str, ValueWithCI]:
    defect, predicted = scores.defect, scores.predicted
    precision = value_with_ci(sample.estimate_ratios(defect, predicted), share_interval)
    f1 = value_with_ci(sample.estimate(f1_measure(defect, predicted), [defect]), share_interval)
    area = sample.estimate(roc_area_measure(defect[:, None], scores.logits[:, None]), [defect, ~defect])
    return {
        **_estimate_classes(defect.astype(np.int64), predicted.astype(np.int64), sample),
        "roc_area": value_with_ci(area, share_interval),
        "defect_precision": precision,
        "defect_f1": f1,
        "sensitivity": value_with_ci(sample.estimate_ratios(predicted, defect), share_interval),
        "specificity": value_with_ci(sample.estimate_ratios(~predicted, ~defect), share_interval),
    }


def _estimate_noise_types(rows: pd.DataFrame, seed: int) -> dict[str, ValueWithCI]:
    names = [noise for noise in NoiseType if f"p_{noise}" in rows]
    indices = {noise.value: index for index, noise in enumerate(NoiseType)}
    true, predicted = (np.array([indices[name] for name in rows[key]]) for key in ("noise_type", "said_noise_type"))
    sample = ClusterBootstrap(rows["part"].to_numpy(str), seed=seed)
    result = _estimate_classes(true, predicted, sample)
    result["roc_area"] = UNDEFINED_VALUE
    if names:
        positive = np.stack([true == indices[name] for name in names], axis=1)
        scores = rows[[f"p_{name}" for name in names]].to_numpy(float)
        area = sample.estimate(roc_area_measure(positive, scores), list(positive.T))
        result["roc_area"] = value_with_ci(area, share_interval)
    return result


def _estimate_classes(true: ClassIndices, predicted: ClassIndices, sample: ClusterBootstrap) -> dict[str, ValueWithCI]:
    classes = int(max(true.max(), predicted.max())) + 1
    weighted = sample.estimate(precision_recall_f1_measure(true, predicted, classes=classes))
    names = ("precision", "recall", "f1")
    return {
        "accuracy": value_with_ci(sample.estimate_ratios(true == predicted), share_interval),
        **dict(zip(names, values_with_ci(weighted, share_interval), strict=True)),
    }


def estimate_quality(test: pd.DataFrame, sample: ClusterBootstrap) -> dict[str, dict[str, dict[str, ValueWithCI]]]:
    """Average each measure over images: noisy | denoised -> all | noise type -> measure; without infinite PSNR."""
    return {
        which: {
            name: {measure: estimate_mean(test, f"{measure}_{which}", rows, sample) for measure in QUALITY_MEASURES}
            for name, rows in _rows_by_noise_type(test).items()
        }
        for which in ("noisy", "denoised")
        if f"psnr_{which}" in test
    }


def estimate_gain(test: pd.DataFrame, sample: ClusterBootstrap) -> dict[str, dict[str, ValueWithCI]]:
    """Average the paired gain of denoising over images: all | noise type -> measure (PSNR in dB)."""
    gains = {
        measure: read_number_column(test, f"{measure}_denoised") - read_number_column(test, f"{measure}_noisy")
        for measure in QUALITY_MEASURES
        if {f"{measure}_denoised", f"{measure}_noisy"} <= set(test)
    }
    return {
        name: {
            measure: value_with_ci(sample.estimate_ratios(gain, rows & np.isfinite(gain)), mean_interval)
            for measure, gain in gains.items()
        }
        for name, rows in _rows_by_noise_type(test).items()
    }


def estimate_mean(table: pd.DataFrame, name: str, rows: BoolArray, sample: ClusterBootstrap) -> ValueWithCI:
    """Average a column such as ``psnr_noisy`` over some images; undefined if the table lacks the column."""
    if name not in table:
        return UNDEFINED_VALUE
    values, info = read_number_column(table, name), QUALITY_MEASURES[cast(QualityMeasure, name.split("_")[0])]
    interval = partial(mean_interval, lowest=info.lowest, highest=info.highest)
    return value_with_ci(sample.estimate_ratios(values, rows & np.isfinite(values)), interval)


def read_number_column(table: pd.DataFrame, name: str) -> FloatArray:
    """Read a column as numbers, NaN for cells without one."""
    return np.asarray(pd.to_numeric(table[name], errors="coerce"), float)


def _rows_by_noise_type(test: pd.DataFrame) -> dict[str, BoolArray]:
    """Select all rows, and those of each noise type that occurs."""
    subsets = {"all": np.ones(len(test), bool)}
    for noise in NoiseType:
        rows = (test["noise_type"] == noise).to_numpy(bool)
        if rows.any():
            subsets[noise.value] = rows
    return subsets


def build_robustness_curves(robustness: pd.DataFrame, seed: int) -> dict[str, RobustnessCurve]:
    """Make one curve for each noise type of the table."""
    return {
        noise.value: _robustness_curve(rows, noise.specification.robustness.name, seed)
        for noise in NOISES
        if not (rows := robustness[robustness["noise_type"] == noise]).empty
    }


def _robustness_curve(rows: pd.DataFrame, level_name: str, seed: int) -> RobustnessCurve:
    points = [_robustness_point(level, rows[rows["level"] == level], seed) for level in sorted(set(rows["level"]))]
    sentences = [
        f"{start} {_level_range_text(points, which)}"
        for which, start in _INPUTS.items()
        if which in points[0]["accuracy"]
    ]
    return {
        "level_name": level_name,
        "points": points,
        "sentence": f"{'. '.join(sentences)}. The level is the {level_name}.",
    }


def _robustness_point(level: float, rows: pd.DataFrame, seed: int) -> RobustnessPoint:
    sample = ClusterBootstrap(rows["part"].to_numpy(str), seed=seed)
    defect, every_row = (rows["label"] == Label.DEFECT).to_numpy(bool), np.ones(len(rows), bool)
    accuracy: dict[str, ValueWithCI] = {}
    escape: dict[str, ValueWithCI] = {}
    for which in _INPUTS:
        if f"p_defect_{which}" in rows and rows[f"p_defect_{which}"].notna().all():
            predicted = (rows[f"p_defect_{which}"] >= 0.5).to_numpy(bool)
            accuracy[which] = value_with_ci(sample.estimate_ratios(predicted == defect), share_interval)
            escape[which] = value_with_ci(sample.estimate_ratios(~predicted, defect), share_interval)
    quality = {
        measure: {
            which: estimate_mean(rows, f"{measure}_{which}", every_row, sample)
            for which in _INPUTS
            if f"{measure}_{which}" in rows
        }
        for measure in ("psnr", "ssim")
    }
    return {
        "level": level,
        "images": len(rows),
        "accuracy": accuracy,
        "escape": escape,
        "psnr": quality["psnr"] if level > 0 else {},
        "ssim": quality["ssim"] if level > 0 else {},
    }


def _level_range_text(points: list[RobustnessPoint], which: str) -> str:
    """Describe the range of levels within which the accuracy stays near that of the first point."""
    levels = [point["level"] for point in points]
    accuracies = [value for point in points if (value := point["accuracy"][which]["value"]) is not None]  # each has one
    is_robust = [accuracy >= accuracies[0] - ACCURACY_TOLERANCE - 1e-9 for accuracy in accuracies]
    start = f"the accuracy is {format_percent(accuracies[0])} without noise"
    if all(is_robust):
        return f"{start} and at most 5 points less at every level measured, up to {levels[-1]:g}"
    last = is_robust.index(False) - 1
    if last == 0:
        return f"{start} and falls by more than 5 points at the first level measured, {levels[1]:g}"
    return f"{start} and at most 5 points less up to level {levels[last]:g}"
