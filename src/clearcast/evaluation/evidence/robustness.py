"""How verdicts and pictures fare as noise grows: from ``robustness.csv``."""

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

TOLERANCE = 0.05  # of accuracy below that without noise; less is still trusted
_WAYS = {"noisy": "Judged as they are,", "denoised": "Denoised first,"}


def robustness_curves(robustness: pd.DataFrame, seed: int) -> dict[str, RobustnessCurve]:
    """One curve for each noise type of the table."""
    return {
        noise.value: _curve(rows, noise.specification.robustness.name, seed)
        for noise in NOISES
        if not (rows := robustness[robustness["noise_type"] == noise]).empty
    }


def _curve(rows: pd.DataFrame, level_name: str, seed: int) -> RobustnessCurve:
    points = [_point(level, rows[rows["level"] == level], seed) for level in sorted(set(rows["level"]))]
    kept = [f"{words} {_kept(points, way)}" for way, words in _WAYS.items() if way in points[0]["accuracy"]]
    return {
        "level_name": level_name,
        "points": points,
        "sentence": f"{'. '.join(kept)}. The level is the {level_name}.",
    }


def _point(level: float, rows: pd.DataFrame, seed: int) -> RobustnessPoint:
    sample, defect = Sample(rows["part"].to_numpy(str), seed=seed), (rows["label"] == Label.DEFECT).to_numpy(bool)
    every = np.ones(len(rows), bool)
    accuracy: dict[str, Figure] = {}
    escape: dict[str, Figure] = {}
    for way in _WAYS:
        if f"p_defect_{way}" in rows and rows[f"p_defect_{way}"].notna().all():
            said = (rows[f"p_defect_{way}"] >= 0.5).to_numpy(bool)
            accuracy[way] = figure(sample.ratios(said == defect), share_interval)
            escape[way] = figure(sample.ratios(~said, defect), share_interval)
    likeness = {
        measure: {
            way: mean_figure(rows, f"{measure}_{way}", every, sample) for way in _WAYS if f"{measure}_{way}" in rows
        }
        for measure in ("psnr", "ssim")
    }
    return {
        "level": level,
        "images": len(rows),
        "accuracy": accuracy,
        "escape": escape,
        "psnr": likeness["psnr"] if level > 0 else {},
        "ssim": likeness["ssim"] if level > 0 else {},
    }


def _kept(points: list[RobustnessPoint], way: str) -> str:
    """Up to which level, and no further, the accuracy is nearly that of the first point."""
    levels = [point["level"] for point in points]
    accuracies = [value for point in points if (value := point["accuracy"][way]["value"]) is not None]  # each has one
    within = [accuracy >= accuracies[0] - TOLERANCE - 1e-9 for accuracy in accuracies]
    start = f"the accuracy is {percent(accuracies[0])} without noise"
    if all(within):
        return f"{start} and at most 5 points less at every level measured, up to {levels[-1]:g}"
    last = within.index(False) - 1
    if last == 0:
        return f"{start} and falls by more than 5 points at the first level measured, {levels[1]:g}"
    return f"{start} and at most 5 points less up to level {levels[last]:g}"
