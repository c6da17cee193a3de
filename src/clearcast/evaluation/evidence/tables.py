"""The columns of a run's tables as arrays."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from clearcast.domain import Label
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.statistics.measures import Targets
from clearcast.evaluation.statistics.sample import Flags, Floats
from clearcast.log_odds import sigmoid

VERDICTS = (Stage.REFERENCE, Stage.NOISY, Stage.DENOISED, Stage.TRANSFER)
_SUREST = 27.0  # log-odds beyond have the same probability: it would be 0 or 1 to twelve digits
_FINITE = 1e4  # log-odds beyond, infinite ones too, are cut


@dataclass(frozen=True)
class Judged:
    """What one stage said of some images; every array has the shape (images,)."""

    part: np.ndarray  # names
    fold: Targets
    defect: Flags  # what is true
    logits: Floats  # log-odds of defect
    said: Flags  # the study's verdict is defect

    @property
    def probability(self) -> Floats:
        """Of defect, above 0 and below 1."""
        return sigmoid(np.clip(self.logits, -_SUREST, _SUREST))

    @property
    def folds(self) -> list[int]:
        """The folds that occur, ascending."""
        return [int(fold) for fold in np.unique(self.fold)]

    def cooled(self, temperatures: dict[int, float]) -> "Judged":
        """The same with log-odds divided by the temperature of each image's fold."""
        return replace(self, logits=self.logits / by_fold(temperatures, self.fold))

    def of_fold(self, fold: int) -> "Judged":
        """The images of one fold."""
        return self.only_folds([fold])

    def only_folds(self, folds: list[int]) -> "Judged":
        """The images of some folds."""
        rows = np.isin(self.fold, folds)
        return Judged(self.part[rows], self.fold[rows], self.defect[rows], self.logits[rows], self.said[rows])

    def parts_of(self, rows: Flags) -> int:
        """How many parts some of the images show."""
        return len(np.unique(self.part[rows]))


def judged(table: pd.DataFrame, stage: Stage) -> Judged | None:
    """What a stage said of the images of a table; None where it said nothing."""
    if f"logit_{stage}" not in table:
        return None
    rows = table[table[f"logit_{stage}"].notna()]
    if rows.empty:
        return None
    return Judged(
        part=rows["part"].to_numpy(str),
        fold=rows["fold"].to_numpy(np.int64) if "fold" in rows else np.ones(len(rows), np.int64),
        defect=(rows["label"] == Label.DEFECT).to_numpy(bool),
        logits=np.clip(rows[f"logit_{stage}"].to_numpy(float), -_FINITE, _FINITE),
        said=(rows[f"said_{stage}"] == Label.DEFECT).to_numpy(bool),
    )


def by_fold(values: dict[int, float], fold: Targets) -> Floats:
    """The value of each image's fold, shape (images,)."""
    return np.array([values[int(number)] for number in fold])
