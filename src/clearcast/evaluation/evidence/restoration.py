"""Image quality with intervals: noisy images, denoised images, and the paired gain of denoising."""

from functools import partial
from typing import cast

import numpy as np
import pandas as pd

from clearcast.domain import NoiseType
from clearcast.evaluation.evidence.contract import Figure
from clearcast.evaluation.evidence.figures import UNDEFINED, figure
from clearcast.evaluation.measures import QUALITY_MEASURES
from clearcast.evaluation.results import FidelityMeasure
from clearcast.evaluation.statistics.intervals import mean_interval
from clearcast.evaluation.statistics.sample import Flags, Floats, Sample


def restoration_figures(test: pd.DataFrame, sample: Sample) -> dict[str, dict[str, dict[str, Figure]]]:
    """Average each measure over images: noisy | denoised -> all | noise type -> measure; without infinite PSNR."""
    return {
        which: {
            name: {measure: mean_figure(test, f"{measure}_{which}", rows, sample) for measure in QUALITY_MEASURES}
            for name, rows in _subsets(test).items()
        }
        for which in ("noisy", "denoised")
        if f"psnr_{which}" in test
    }


def gain_figures(test: pd.DataFrame, sample: Sample) -> dict[str, dict[str, Figure]]:
    """Average the paired gain of denoising over images: all | noise type -> measure (PSNR in dB)."""
    gains = {
        measure: column(test, f"{measure}_denoised") - column(test, f"{measure}_noisy")
        for measure in QUALITY_MEASURES
        if {f"{measure}_denoised", f"{measure}_noisy"} <= set(test)
    }
    return {
        name: {
            measure: figure(sample.estimate_ratios(gain, rows & np.isfinite(gain)), mean_interval)
            for measure, gain in gains.items()
        }
        for name, rows in _subsets(test).items()
    }


def mean_figure(table: pd.DataFrame, name: str, rows: Flags, sample: Sample) -> Figure:
    """Average a column such as ``psnr_noisy`` over some images; undefined if the table lacks the column."""
    if name not in table:
        return UNDEFINED
    values, info = column(table, name), QUALITY_MEASURES[cast(FidelityMeasure, name.split("_")[0])]
    interval = partial(mean_interval, lowest=info.lowest, highest=info.highest)
    return figure(sample.estimate_ratios(values, rows & np.isfinite(values)), interval)


def column(table: pd.DataFrame, name: str) -> Floats:
    """Read a column as numbers, NaN for cells without one."""
    return np.asarray(pd.to_numeric(table[name], errors="coerce"), float)


def _subsets(test: pd.DataFrame) -> dict[str, Flags]:
    subsets = {"all": np.ones(len(test), bool)}
    for noise in NoiseType:
        rows = (test["noise_type"] == noise).to_numpy(bool)
        if rows.any():
            subsets[noise.value] = rows
    return subsets
