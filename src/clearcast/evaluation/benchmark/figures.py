"""Benchmark metrics with confidence intervals over parts, one line for each entrant, metric and noise type."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from clearcast.checks import require_finite
from clearcast.domain import Label, NoiseType
from clearcast.evaluation.evidence.classification import classification_figures
from clearcast.evaluation.evidence.contract import Figure
from clearcast.evaluation.evidence.restoration import mean_figure
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.statistics.sample import Flags, Sample
from clearcast.log_odds import log_odds

ALL = "all"
BY_TYPE = "best by type"
COLUMNS = ("contender", "measure", "noise_type", "value", "low", "high", "images", "parts", "ms")
VERDICT = ("roc_area", "accuracy", "sensitivity", "specificity")


def best_by_type(tables: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Choose the best untrained method for each noise type, as a user who knows the noise type could.

    The best has the highest mean PSNR on these same rows, which favours it.

    Args:
        tables: the rows of each untrained method, by its name.

    Returns:
        The rows of the chosen methods, and the name of the method by noise type.
    """
    kinds = next(iter(tables.values()))["noise_type"].unique().tolist()
    chosen = {
        kind: max(tables, key=lambda name: float(tables[name].loc[tables[name]["noise_type"] == kind, "psnr"].mean()))
        for kind in kinds
    }
    rows = [tables[name][tables[name]["noise_type"] == kind] for kind, name in chosen.items()]
    return pd.concat(rows).sort_values("row", ignore_index=True), chosen


def restored_figures(name: str, table: pd.DataFrame, seed: int) -> list[dict[str, object]]:
    """Compute PSNR (dB; identical images, which have none, are left out) and SSIM of a denoiser's rows."""
    sample = Sample(table["part"].to_numpy(str), seed=seed)
    return [
        _line(name, measure, kind, mean_figure(table, measure, rows, sample), table[rows])
        for measure in ("psnr", "ssim")
        for kind, rows in _by_noise_type(table)
    ]


def judged_figures(name: str, table: pd.DataFrame, seed: int) -> list[dict[str, object]]:
    """Compute ROC area, and at a threshold of 0.5 accuracy, sensitivity and specificity of a classifier's rows."""
    probability = table["p_defect"].to_numpy(float)
    require_finite(f"{name}: probabilities of defect", probability)
    predicted = np.where(probability > 0.5, Label.DEFECT.value, Label.OK.value)
    logits = log_odds(probability.clip(0, 1))
    predictions = table.assign(**{f"logit_{Stage.NOISY}": logits, f"said_{Stage.NOISY}": predicted})
    lines: list[dict[str, object]] = []
    for kind, rows in _by_noise_type(table):
        metrics = classification_figures(predictions[rows], seed)[Stage.NOISY.value]
        lines += [_line(name, measure, kind, metrics[measure], table[rows]) for measure in VERDICT]
    return lines


def as_table(lines: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Make a tidy table of lines."""
    return pd.DataFrame(lines, columns=COLUMNS)


def _line(name: str, measure: str, kind: str, figure: Figure, rows: pd.DataFrame) -> dict[str, object]:
    return {
        "contender": name,
        "measure": measure,
        "noise_type": kind,
        **figure,
        "images": len(rows),
        "parts": rows["part"].nunique(),
        "ms": round(float(rows["ms"].median()), 3),
    }


def _by_noise_type(table: pd.DataFrame) -> Iterator[tuple[str, Flags]]:
    """Select all rows, and the rows of each noise type that has any."""
    yield ALL, np.ones(len(table), bool)
    for kind in NoiseType:
        rows = (table["noise_type"] == kind.value).to_numpy(bool)
        if rows.any():
            yield kind.value, rows
