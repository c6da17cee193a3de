"""How verdicts and pictures fare as noise grows: from ``robustness.csv``."""

import numpy as np
import pandas as pd

from clearcast.domain import Label, NoiseType
from clearcast.evaluation.evidence.contract import Figure, RobustnessCurve, RobustnessPoint
from clearcast.evaluation.evidence.figures import figure
from clearcast.evaluation.evidence.restoration import mean_figure
from clearcast.evaluation.evidence.words import percent
from clearcast.evaluation.statistics.intervals import share_interval
from clearcast.evaluation.statistics.sample import Sample

TOLERANCE = 0.05  # of accuracy below that without noise; less is still trusted
_LEVELS = {
    NoiseType.GAUSSIAN: "standard deviation (white is 1)",
    NoiseType.SALT_AND_PEPPER: "share of pixels struck",
    NoiseType.PERIODIC: "amplitude (white is 1)",
}
_WAYS = {"noisy": "judged as they are", "denoised": "denoised first"}


def robustness_curves(robustness: pd.DataFrame, seed: int) -> dict[str, RobustnessCurve]:
    """One curve for each noise type of the table."""
    return {
        noise.value: _curve(rows, name, seed)
        for noise, name in _LEVELS.items()
        if not (rows := robustness[robustness["noise_type"] == noise]).empty
    }


def _curve(rows: pd.DataFrame, level_name: str, seed: int) -> RobustnessCurve:
    points = [_point(level, rows[rows["level"] == level], seed) for level in sorted(set(rows["level"]))]
    ways = [way for way in _WAYS if points[0]["accuracy"].get(way)]
    text = "; ".join(f"{_WAYS[way]}, {_trusted(points, way)}" for way in ways)
    sentence = (
        f"Pictures {text}. Trusted means at most 5 points less accuracy than without noise; levels: {level_name}."
    )
    return {"level_name": level_name, "points": points, "sentence": sentence}


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


def _trusted(points: list[RobustnessPoint], way: str) -> str:
    """Up to which level, and no further, accuracy is nearly that of the first point."""
    accuracies = [point["accuracy"][way]["value"] or 0.0 for point in points]
    start = f"from an accuracy of {percent(accuracies[0])} without noise"
    within = [accuracy >= accuracies[0] - TOLERANCE - 1e-9 for accuracy in accuracies]
    if all(within):
        return f"they can be trusted {start} at every level up to {points[-1]['level']:g}"
    last = within.index(False) - 1
    if last == 0:
        return f"they can be trusted only without noise: {start} they fall by more at {points[1]['level']:g}"
    return f"they can be trusted {start} up to {points[last]['level']:g}"
