"""Figures of pictures, noisy and denoised, and what denoising added."""

from functools import partial

import numpy as np
import pandas as pd

from clearcast.domain import NoiseType
from clearcast.evaluation.evidence.contract import Figure
from clearcast.evaluation.evidence.figures import UNDEFINED, figure
from clearcast.evaluation.statistics.intervals import mean_interval
from clearcast.evaluation.statistics.sample import Flags, Floats, Sample

_RANGES = {"psnr": (-np.inf, np.inf), "ssim": (-1.0, 1.0), "mse": (0.0, np.inf), "lpips": (0.0, np.inf)}


def restoration_figures(test: pd.DataFrame, sample: Sample) -> dict[str, dict[str, dict[str, Figure]]]:
    """Means over images of each measure: noisy | denoised -> all | noise type -> measure. Infinite PSNR is left out."""
    return {
        which: {
            name: {measure: mean_figure(test, f"{measure}_{which}", rows, sample) for measure in _RANGES}
            for name, rows in _sets(test).items()
        }
        for which in ("noisy", "denoised")
        if f"psnr_{which}" in test
    }


def gain_figures(test: pd.DataFrame, sample: Sample) -> dict[str, dict[str, Figure]]:
    """Means over images of what denoising added: all | noise type -> measure (PSNR in dB)."""
    gains = {
        measure: column(test, f"{measure}_denoised") - column(test, f"{measure}_noisy")
        for measure in _RANGES
        if {f"{measure}_denoised", f"{measure}_noisy"} <= set(test)
    }
    return {
        name: {
            measure: figure(sample.ratios(gain, rows & np.isfinite(gain)), mean_interval)
            for measure, gain in gains.items()
        }
        for name, rows in _sets(test).items()
    }


def mean_figure(table: pd.DataFrame, name: str, rows: Flags, sample: Sample) -> Figure:
    """The mean over some images of a column such as ``psnr_noisy``; undefined where the table does not have it."""
    return _mean(column(table, name), rows, sample, name.split("_")[0]) if name in table else UNDEFINED


def column(table: pd.DataFrame, name: str) -> Floats:
    """A column as numbers, NaN where there is none."""
    return np.asarray(pd.to_numeric(table[name], errors="coerce"), float)


def _mean(values: Floats, rows: Flags, sample: Sample, measure: str) -> Figure:
    lowest, highest = _RANGES[measure]
    interval = partial(mean_interval, lowest=lowest, highest=highest)
    return figure(sample.ratios(values, rows & np.isfinite(values)), interval)


def _sets(test: pd.DataFrame) -> dict[str, Flags]:
    sets = {"all": np.ones(len(test), bool)}
    for noise in NoiseType:
        rows = (test["noise_type"] == noise).to_numpy(bool)
        if rows.any():
            sets[noise.value] = rows
    return sets
