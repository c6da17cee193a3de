"""Wrong verdicts on test images, the most confident first."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clearcast.domain import Label
from clearcast.evaluation.evidence.tables import VERDICTS
from clearcast.report.numbers import decimal
from clearcast.report.pictures import Record, Thumbnail, triptych
from clearcast.report.sources import Run, display_name

MOST = 24  # of each kind; the others are in predictions.csv
_SIDE = 144


@dataclass(frozen=True)
class Said:
    """Prediction of one stage: the probability of defect, and whether the verdict is wrong."""

    stage: str
    p_defect: str
    wrong: bool


@dataclass(frozen=True)
class Mistake:
    """An image that at least one stage misclassified."""

    row: int
    name: str
    noise: str
    predictions: tuple[Said, ...]
    images: tuple[Thumbnail, ...]


@dataclass(frozen=True)
class Mistakes:
    """Images with one kind of mistake: those shown, their total, and the number of each stage."""

    title: str
    shown: tuple[Mistake, ...]
    total: int
    by_stage: dict[str, int]


def mistakes(run: Run) -> list[Mistakes]:
    """List escapes, then overkills; empty if no stage gives verdicts."""
    if not _stages(run):
        return []
    return [
        _mistakes_of_label(run, "Escapes: defects called ok", Label.DEFECT),
        _mistakes_of_label(run, "Overkills: ok parts called defect", Label.OK),
    ]


def _mistakes_of_label(run: Run, title: str, label: Label) -> Mistakes:
    rows = run.predictions[run.predictions["label"] == label]
    wrong = pd.DataFrame({stage: rows[f"said_{stage}"] != label for stage in _stages(run)})
    p_defect = pd.DataFrame({stage: rows[f"p_defect_{stage}"] for stage in _stages(run)})
    confidence = (1 - p_defect if label is Label.DEFECT else p_defect).where(wrong).max(axis=1).dropna()
    order = confidence.sort_values(ascending=False, kind="stable").index
    shown = rows.loc[order[:MOST]].to_dict("records")
    by_stage = {stage: int(wrong[stage].sum()) for stage in _stages(run)}
    return Mistakes(title, tuple(_mistake(run, record) for record in shown), len(order), by_stage)


def _mistake(run: Run, record: Record) -> Mistake:
    predictions = tuple(
        Said(stage, decimal(record[f"p_defect_{stage}"], 3), record[f"said_{stage}"] != record["label"])
        for stage in _stages(run)
    )
    name, noise = Path(record["noisy"]).name, display_name(record["noise_type"])
    return Mistake(record["row"], name, noise, predictions, triptych(run, record, _SIDE))


def _stages(run: Run) -> list[str]:
    return [stage.value for stage in VERDICTS if stage in run.metrics["stages"]]
