"""Scores of one stage, read from a run's tables into arrays."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from clearcast.domain import Label
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.statistics.measures import Targets
from clearcast.evaluation.statistics.sample import Flags, Floats
from clearcast.log_odds import sigmoid

VERDICTS = (Stage.REFERENCE, Stage.NOISY, Stage.DENOISED, Stage.TRANSFER)
_MAX_LOGIT = 27.0  # beyond it the probability is 0 or 1 to twelve digits; log-odds are clipped for probabilities
_MAX_STORED_LOGIT = 1e4  # larger log-odds, including infinite ones, are clipped


@dataclass(frozen=True)
class Judged:
    """Scores of one stage; every array has the shape (images,).

    Attributes:
        part: name of each image's part.
        fold: fold of each image, from 1.
        defect: true labels.
        logits: log-odds of defect.
        predicted: whether the study's verdict is defect.
    """

    part: np.ndarray
    fold: Targets
    defect: Flags
    logits: Floats
    predicted: Flags

    @property
    def probability(self) -> Floats:
        """Probability of defect, above 0 and below 1."""
        return sigmoid(np.clip(self.logits, -_MAX_LOGIT, _MAX_LOGIT))

    @property
    def folds(self) -> list[int]:
        """Folds that occur, ascending."""
        return [int(fold) for fold in np.unique(self.fold)]

    def calibrated(self, temperatures: dict[int, float]) -> "Judged":
        """Divide the log-odds by the temperature of each image's fold."""
        return replace(self, logits=self.logits / by_fold(temperatures, self.fold))

    def of_fold(self, fold: int) -> "Judged":
        """Select the images of one fold."""
        return self.only_folds([fold])

    def only_folds(self, folds: list[int]) -> "Judged":
        """Select the images of some folds."""
        rows = np.isin(self.fold, folds)
        return Judged(self.part[rows], self.fold[rows], self.defect[rows], self.logits[rows], self.predicted[rows])

    def parts_of(self, rows: Flags) -> int:
        """Count the distinct parts among the selected images."""
        return len(np.unique(self.part[rows]))


def judged(table: pd.DataFrame, stage: Stage) -> Judged | None:
    """Read the scores of a stage from a table; None if the stage has none."""
    if f"logit_{stage}" not in table:
        return None
    rows = table[table[f"logit_{stage}"].notna()]
    if rows.empty:
        return None
    return Judged(
        part=rows["part"].to_numpy(str),
        fold=rows["fold"].to_numpy(np.int64) if "fold" in rows else np.ones(len(rows), np.int64),
        defect=(rows["label"] == Label.DEFECT).to_numpy(bool),
        logits=np.clip(rows[f"logit_{stage}"].to_numpy(float), -_MAX_STORED_LOGIT, _MAX_STORED_LOGIT),
        predicted=(rows[f"said_{stage}"] == Label.DEFECT).to_numpy(bool),
    )


def by_fold(values: dict[int, float], fold: Targets) -> Floats:
    """Look up the value of each image's fold, shape (images,)."""
    return np.array([values[int(number)] for number in fold])
