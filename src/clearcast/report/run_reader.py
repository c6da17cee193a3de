"""Reader of run directorys, and the display names of stages, classes and noise types."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pandas as pd

from clearcast.core.errors import OutputError
from clearcast.core.evidence_schema import Evidence, Stage
from clearcast.core.spreadsheets import restore_table
from clearcast.metrics.results import ClassificationResult, DenoisingResult, StudyMetrics
from clearcast.noise.registry import NoiseType
from clearcast.types import Label


@dataclass(frozen=True)
class RunResults:
    """A run directory in memory: its metrics, and one line of ``predictions`` for each test image.

    ``evidence`` is None for a run that was made without it, or stopped before it.
    """

    folder: Path
    metrics: StudyMetrics
    predictions: pd.DataFrame
    evidence: Evidence | None

    @property
    def root(self) -> Path:
        """Folder that the paths of noisy and reference images are relative to."""
        return Path(self.metrics["run"]["root"])


def read_run_results(folder: Path) -> RunResults:
    """Read a run directory.

    Raises:
        OutputError: the folder is not a run directory, or its metrics, predictions or evidence cannot be read.
    """
    path = folder / "metrics.json"
    try:
        metrics = cast(StudyMetrics, json.loads(path.read_text(encoding="utf-8")))
        path = folder / "predictions.csv"
        predictions = read_run_table(path)
        path = folder / "evidence.json"
        evidence = cast(Evidence, json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    except FileNotFoundError:
        folds = f"; it contains folds that are not all finished: give a finished one, such as {folder / 'fold-1'}"
        raise OutputError(
            f"{folder}: has no {path.name}; expected a run directory that `clearcast study` wrote"
            f"{folds if (folder / 'fold-1').is_dir() else ''}"
        ) from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); run the study again") from None
    return RunResults(folder, metrics, predictions, evidence)


def read_run_table(path: Path) -> pd.DataFrame:
    """Read a CSV file in which only an empty cell is a missing value: an image may be named NA."""
    return restore_table(pd.read_csv(path, keep_default_na=False, na_values=[""]))


def read_history(run: RunResults, stage: str) -> pd.DataFrame | None:
    """Read a stage's losses by epoch; None if the stage was not trained."""
    path = run.folder / stage / "history.csv"
    return read_run_table(path) if path.is_file() else None


def classification_stages(metrics: StudyMetrics) -> dict[str, ClassificationResult]:
    """Select the classification stages, in the order of the study."""
    stages = {stage.value: metrics["stages"][stage] for stage in Stage if stage in metrics["stages"]}
    return {key: stage for key, stage in stages.items() if stage["kind"] == "classification"}


def denoising_stage(metrics: StudyMetrics) -> DenoisingResult | None:
    """Select the denoising stage; None if it was not run."""
    return cast(DenoisingResult | None, metrics["stages"].get("denoising"))


def short_stage_title(title: str) -> str:
    """Strip the number from a stage's title, and capitalise it.

    >>> short_stage_title("Stage 2: noise type"), short_stage_title("Stage 1: ok or defect on noisy images")
    ('Noise type', 'OK or defect on noisy images')
    """
    words = title.partition(": ")[2] or title
    first, *others = words.split(" ")
    return " ".join([display_name(first) if first == Label.OK else first[0].upper() + first[1:], *others])


def display_name(value: str) -> str:
    """Translate a class, noise type or subset to its display name.

    >>> display_name("salt_and_pepper"), display_name("ok"), display_name("all")
    ('Salt-and-pepper', 'OK', 'All')
    """
    if value == Label.OK:
        return "OK"
    return NoiseType(value).display_name if value in set(NoiseType) else value.capitalize()
