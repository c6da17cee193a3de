"""Read what a study left in its run folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pandas as pd

from clearcast.cells import restore_table
from clearcast.domain import Label, NoiseType
from clearcast.errors import OutputError
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.results import ClassificationStage, RestorationStage, StudyMetrics
from clearcast.evaluation.stage import Stage

VERDICT_STAGES = tuple(stage.value for stage in Stage if stage not in {Stage.NOISE_TYPE, Stage.DENOISING})


@dataclass(frozen=True)
class Run:
    """A run folder as read: its metrics, and one line of ``predictions`` for each test picture.

    ``evidence`` is None for a run that was made without it, or stopped before it.
    """

    folder: Path
    metrics: StudyMetrics
    predictions: pd.DataFrame
    evidence: Evidence | None

    @property
    def root(self) -> Path:
        """The folder that the noisy and reference pictures' paths are relative to."""
        return Path(self.metrics["run"]["root"])


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        OutputError: not a run folder, or its metrics, predictions or evidence cannot be read.
    """
    path = folder / "metrics.json"
    try:
        metrics = cast(StudyMetrics, json.loads(path.read_text(encoding="utf-8")))
        path = folder / "predictions.csv"
        predictions = read_table(path)
        path = folder / "evidence.json"
        evidence = cast(Evidence, json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    except FileNotFoundError:
        folds = f"; it holds folds, of which not all are done: see those that are, such as {folder / 'fold-1'}"
        raise OutputError(
            f"{folder}: no {path.name} there; needed is a run folder, as `clearcast study` writes it"
            f"{folds if (folder / 'fold-1').is_dir() else ''}"
        ) from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); run the study again") from None
    return Run(folder, metrics, predictions, evidence)


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file in which only an empty cell means that there is no value: a picture may well be named NA."""
    return restore_table(pd.read_csv(path, keep_default_na=False, na_values=[""]))


def read_history(run: Run, stage: str) -> pd.DataFrame | None:
    """A stage's losses by epoch; None where the stage was not trained."""
    path = run.folder / stage / "history.csv"
    return read_table(path) if path.is_file() else None


def classifications(metrics: StudyMetrics) -> dict[str, ClassificationStage]:
    """The stages whose answer is a class, in the order of the study."""
    stages = {stage.value: metrics["stages"][stage] for stage in Stage if stage in metrics["stages"]}
    return {key: stage for key, stage in stages.items() if stage["kind"] == "classification"}


def restoration(metrics: StudyMetrics) -> RestorationStage | None:
    """The denoising stage; None where it was not run."""
    return cast(RestorationStage | None, metrics["stages"].get("denoising"))


def subject(title: str) -> str:
    """A stage's title without its number, which the page and the tables set apart.

    >>> subject("Stage 2: noise type"), subject("Stage 1: ok or defect on noisy pictures")
    ('Noise type', 'OK or defect on noisy pictures')
    """
    words = title.partition(": ")[2] or title
    first, *others = words.split(" ")
    return " ".join([display_name(first) if first == Label.OK else first[0].upper() + first[1:], *others])


def display_name(value: str) -> str:
    """A class, noise type or group as people read it.

    >>> display_name("salt_and_pepper"), display_name("ok"), display_name("all")
    ('Salt-and-pepper', 'OK', 'All')
    """
    if value == Label.OK:
        return "OK"
    return NoiseType(value).display_name if value in set(NoiseType) else value.capitalize()
