"""The wrong verdicts on test pictures, the most confident first."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clearcast.domain import Label
from clearcast.report.numbers import decimal
from clearcast.report.pictures import Record, Thumbnail, triptych
from clearcast.report.sources import VERDICT_STAGES, Run, display_name

MOST = 24  # of each kind; the rest is in predictions.csv
_SIDE = 144


@dataclass(frozen=True)
class Said:
    """What one stage said of a picture: the probability that it shows a defect, and whether the verdict is wrong."""

    stage: str
    p_defect: str
    wrong: bool


@dataclass(frozen=True)
class Mistake:
    """A picture that at least one stage misjudged."""

    row: int
    name: str
    noise: str
    said: tuple[Said, ...]
    pictures: tuple[Thumbnail, ...]


@dataclass(frozen=True)
class Mistakes:
    """Pictures of one kind of mistake: those shown, how many there are, and how many each stage made."""

    title: str
    shown: tuple[Mistake, ...]
    total: int
    by_stage: dict[str, int]


def mistakes(run: Run) -> list[Mistakes]:
    """Missed defects, then false alarms; nothing where no stage said verdicts."""
    if not _stages(run):
        return []
    return [
        _of_kind(run, "Missed defects (escapes)", Label.DEFECT),
        _of_kind(run, "False alarms (overkill)", Label.OK),
    ]


def _of_kind(run: Run, title: str, label: Label) -> Mistakes:
    rows = run.predictions[run.predictions["label"] == label]
    wrong = pd.DataFrame({stage: rows[f"said_{stage}"] != label for stage in _stages(run)})
    p_defect = pd.DataFrame({stage: rows[f"p_defect_{stage}"] for stage in _stages(run)})
    confidence = (1 - p_defect if label is Label.DEFECT else p_defect).where(wrong).max(axis=1).dropna()
    order = confidence.sort_values(ascending=False, kind="stable").index
    shown = rows.loc[order[:MOST]].to_dict("records")
    by_stage = {stage: int(wrong[stage].sum()) for stage in _stages(run)}
    return Mistakes(title, tuple(_mistake(run, record) for record in shown), len(order), by_stage)


def _mistake(run: Run, record: Record) -> Mistake:
    said = tuple(
        Said(stage, decimal(record[f"p_defect_{stage}"], 3), record[f"said_{stage}"] != record["label"])
        for stage in _stages(run)
    )
    name, noise = Path(record["noisy"]).name, display_name(record["noise_type"])
    return Mistake(record["row"], name, noise, said, triptych(run, record, _SIDE))


def _stages(run: Run) -> list[str]:
    return [stage for stage in VERDICT_STAGES if stage in run.metrics["stages"]]
