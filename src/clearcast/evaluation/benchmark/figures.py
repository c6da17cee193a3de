"""From measured rows to figures with intervals over parts, one line a contender, measure and noise type."""

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
    """What a patient user could do by hand who is told the noise type: for each the best method, and all rows so made.

    The best is that of the highest mean PSNR on these very rows, which favours it.

    Args:
        tables: the rows of each method that needs no training, by its name.
    """
    kinds = next(iter(tables.values()))["noise_type"].unique().tolist()
    chosen = {
        kind: max(tables, key=lambda name: float(tables[name].loc[tables[name]["noise_type"] == kind, "psnr"].mean()))
        for kind in kinds
    }
    rows = [tables[name][tables[name]["noise_type"] == kind] for kind, name in chosen.items()]
    return pd.concat(rows).sort_values("row", ignore_index=True), chosen


def restored_figures(name: str, table: pd.DataFrame, seed: int) -> list[dict[str, object]]:
    """PSNR (dB; identical pictures, which have none, are left out) and SSIM of a denoiser's rows."""
    sample = Sample(table["part"].to_numpy(str), seed=seed)
    return [
        _line(name, measure, kind, mean_figure(table, measure, rows, sample), table[rows])
        for measure in ("psnr", "ssim")
        for kind, rows in _sets(table)
    ]


def judged_figures(name: str, table: pd.DataFrame, seed: int) -> list[dict[str, object]]:
    """Area under the ROC curve, and at a probability of 0.5 accuracy, sensitivity and specificity of a judge's rows."""
    probability = table["p_defect"].to_numpy(float)
    require_finite(f"{name}: probabilities of defect", probability)
    said = np.where(probability > 0.5, Label.DEFECT.value, Label.OK.value)
    asked = table.assign(**{f"logit_{Stage.NOISY}": log_odds(probability.clip(0, 1)), f"said_{Stage.NOISY}": said})
    lines: list[dict[str, object]] = []
    for kind, rows in _sets(table):
        found = classification_figures(asked[rows], seed)[Stage.NOISY.value]
        lines += [_line(name, measure, kind, found[measure], table[rows]) for measure in VERDICT]
    return lines


def as_table(lines: Sequence[dict[str, object]]) -> pd.DataFrame:
    """The lines as one tidy table."""
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


def _sets(table: pd.DataFrame) -> Iterator[tuple[str, Flags]]:
    yield ALL, np.ones(len(table), bool)
    for kind in NoiseType:
        rows = (table["noise_type"] == kind.value).to_numpy(bool)
        if rows.any():
            yield kind.value, rows
