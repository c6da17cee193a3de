"""Robustness curves: accuracy, escapes and image quality at rising noise levels, from ``robustness.csv``."""

import numpy as np
import pandas as pd

from clearcast.domain import Label
from clearcast.evaluation.evidence.contract import Figure, RobustnessCurve, RobustnessPoint
from clearcast.evaluation.evidence.figures import figure
from clearcast.evaluation.evidence.restoration import mean_figure
from clearcast.evaluation.evidence.words import percent
from clearcast.evaluation.statistics.intervals import share_interval
from clearcast.evaluation.statistics.sample import Sample
from clearcast.noise import NOISES

TOLERANCE = 0.05  # largest loss of accuracy, compared with that without noise, that counts as robust
_INPUTS = {"noisy": "On noisy images", "denoised": "On denoised images"}


def robustness_curves(robustness: pd.DataFrame, seed: int) -> dict[str, RobustnessCurve]:
    """Make one curve for each noise type of the table."""
    return {
        noise.value: _curve(rows, noise.specification.robustness.name, seed)
        for noise in NOISES
        if not (rows := robustness[robustness["noise_type"] == noise]).empty
    }


def _curve(rows: pd.DataFrame, level_name: str, seed: int) -> RobustnessCurve:
    points = [_point(level, rows[rows["level"] == level], seed) for level in sorted(set(rows["level"]))]
    texts = [
        f"{start} {_range_text(points, which)}" for which, start in _INPUTS.items() if which in points[0]["accuracy"]
    ]
    return {
        "level_name": level_name,
        "points": points,
        "sentence": f"{'. '.join(texts)}. The level is the {level_name}.",
    }


def _point(level: float, rows: pd.DataFrame, seed: int) -> RobustnessPoint:
    sample, defect = Sample(rows["part"].to_numpy(str), seed=seed), (rows["label"] == Label.DEFECT).to_numpy(bool)
    every = np.ones(len(rows), bool)
    accuracy: dict[str, Figure] = {}
    escape: dict[str, Figure] = {}
    for which in _INPUTS:
        if f"p_defect_{which}" in rows and rows[f"p_defect_{which}"].notna().all():
            predicted = (rows[f"p_defect_{which}"] >= 0.5).to_numpy(bool)
            accuracy[which] = figure(sample.estimate_ratios(predicted == defect), share_interval)
            escape[which] = figure(sample.estimate_ratios(~predicted, defect), share_interval)
    quality = {
        measure: {
            which: mean_figure(rows, f"{measure}_{which}", every, sample)
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


def _range_text(points: list[RobustnessPoint], which: str) -> str:
    """Describe the range of levels within which the accuracy stays near that of the first point."""
    levels = [point["level"] for point in points]
    accuracies = [value for point in points if (value := point["accuracy"][which]["value"]) is not None]  # each has one
    within = [accuracy >= accuracies[0] - TOLERANCE - 1e-9 for accuracy in accuracies]
    start = f"the accuracy is {percent(accuracies[0])} without noise"
    if all(within):
        return f"{start} and at most 5 points less at every level measured, up to {levels[-1]:g}"
    last = within.index(False) - 1
    if last == 0:
        return f"{start} and falls by more than 5 points at the first level measured, {levels[1]:g}"
    return f"{start} and at most 5 points less up to level {levels[last]:g}"
