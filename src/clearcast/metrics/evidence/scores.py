"""Stage scores, decision policy, and values with intervals: for ``evidence.json`` and in sentences."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from clearcast.core.errors import RecipeError
from clearcast.core.evidence_schema import Stage, ValueWithCI
from clearcast.core.numbers import sigmoid
from clearcast.metrics.bootstrap import BoolArray, ClassIndices, ConfidenceInterval, Estimates, FloatArray
from clearcast.types import Label

UNDEFINED_VALUE: ValueWithCI = {"value": None, "low": None, "high": None}
VERDICT_STAGES = (Stage.REFERENCE, Stage.NOISY, Stage.DENOISED, Stage.TRANSFER)
_MAX_LOGIT = 27.0  # beyond it the probability is 0 or 1 to twelve digits; log-odds are clipped for probabilities
_MAX_STORED_LOGIT = 1e4  # larger log-odds, including infinite ones, are clipped


def values_with_ci(estimates: Estimates, interval: Callable[[Estimates], ConfidenceInterval]) -> list[ValueWithCI]:
    """Convert estimates to values with intervals, one for each measure; NaN becomes None."""
    low, high = interval(estimates)
    return [
        {"value": _finite_or_none(value), "low": _finite_or_none(below), "high": _finite_or_none(above)}
        for value, below, above in zip(estimates.value, low, high, strict=True)
    ]


def value_with_ci(estimates: Estimates, interval: Callable[[Estimates], ConfidenceInterval]) -> ValueWithCI:
    """Convert the estimates of a single measure."""
    (value,) = values_with_ci(estimates, interval)
    return value


def _finite_or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def format_percent(share: float) -> str:
    """Format a share as a percentage with one decimal.

    >>> format_percent(0.0254), format_percent(0.01)
    ('2.5%', '1.0%')
    """
    return f"{100 * share:.1f}%"


def format_limit(share: float) -> str:
    """Format a share that a user gave, with as many decimals as it has.

    >>> format_limit(0.01), format_limit(0.005)
    ('1%', '0.5%')
    """
    return f"{100 * share:.6g}%"


def format_share(share: ValueWithCI) -> str:
    """Format a share with its interval.

    >>> format_share({"value": 0.025, "low": 0.008, "high": 0.08})
    '2.5%, 95%: 0.8 to 8.0'
    """
    if share["value"] is None:
        return "not defined"
    return f"{format_percent(share['value'])}, {format_interval(share)}"


def format_interval(share: ValueWithCI) -> str:
    """Format the interval of a share in percent.

    >>> format_interval({"value": 0.04, "low": -0.008, "high": 0.089})
    '95%: -0.8 to 8.9'
    """
    if share["low"] is None or share["high"] is None:
        return "no interval: one part only"
    return f"95%: {100 * share['low'] + 0.0:.1f} to {100 * share['high'] + 0.0:.1f}"


@dataclass(frozen=True, kw_only=True)
class DecisionPolicy:
    """Decision policy: the costs of mistakes, or the largest or smallest allowed rates.

    Attributes:
        escape_cost: cost of a defect called ok, in any unit, above 0.
        overkill_cost: cost of an ok image called defect, in the same unit, above 0.
        max_escape: largest share of defects that may escape, 0..1; if given, the costs are ignored.
        max_risk: images are retaken so that at most this share of the verdicts given is wrong, 0..1.
        min_coverage: images are retaken so that at least this share gets a verdict, above 0 and up to 1.

    Raises:
        RecipeError: a value is outside its range, or both ``max_risk`` and ``min_coverage`` are given.
    """

    escape_cost: float = 1.0
    overkill_cost: float = 1.0
    max_escape: float | None = None
    max_risk: float | None = None
    min_coverage: float | None = None

    def __post_init__(self) -> None:
        for name, cost in (("an escape", self.escape_cost), ("an overkill", self.overkill_cost)):
            if not (math.isfinite(cost) and cost > 0):
                raise RecipeError(f"the cost of {name} is {cost}; expected a number above 0")
        for name, share in (("max escape", self.max_escape), ("max risk", self.max_risk)):
            if share is not None and not 0 <= share <= 1:
                raise RecipeError(f"{name} is {share}; expected a share from 0 to 1, such as 0.01 for 1%")
        if self.min_coverage is not None and not 0 < self.min_coverage <= 1:
            raise RecipeError(
                f"min coverage is {self.min_coverage}; expected a share above 0 and up to 1, such as 0.9 for 90%"
            )
        if self.max_risk is not None and self.min_coverage is not None:
            raise RecipeError("max risk and min coverage are both given, but each follows from the other: give one")


@dataclass(frozen=True)
class StageScores:
    """Scores of one stage; every array has the shape (images,).

    Attributes:
        part: name of each image's part.
        fold: fold of each image, from 1.
        defect: true labels.
        logits: log-odds of defect.
        predicted: whether the study's verdict is defect.
    """

    part: np.ndarray
    fold: ClassIndices
    defect: BoolArray
    logits: FloatArray
    predicted: BoolArray

    @property
    def probability(self) -> FloatArray:
        """Probability of defect, above 0 and below 1."""
        return sigmoid(np.clip(self.logits, -_MAX_LOGIT, _MAX_LOGIT))

    @property
    def folds(self) -> list[int]:
        """Folds that occur, ascending."""
        return [int(fold) for fold in np.unique(self.fold)]

    def calibrated(self, temperatures: dict[int, float]) -> "StageScores":
        """Divide the log-odds by the temperature of each image's fold."""
        return replace(self, logits=self.logits / values_by_fold(temperatures, self.fold))

    def of_fold(self, fold: int) -> "StageScores":
        """Select the images of one fold."""
        return self.only_folds([fold])

    def only_folds(self, folds: list[int]) -> "StageScores":
        """Select the images of some folds."""
        rows = np.isin(self.fold, folds)
        return StageScores(self.part[rows], self.fold[rows], self.defect[rows], self.logits[rows], self.predicted[rows])

    def parts_of(self, rows: BoolArray) -> int:
        """Count the distinct parts among the selected images."""
        return len(np.unique(self.part[rows]))


def read_stage_scores(table: pd.DataFrame, stage: Stage) -> StageScores | None:
    """Read the scores of a stage from a table; None if the stage has none."""
    if f"logit_{stage}" not in table:
        return None
    rows = table[table[f"logit_{stage}"].notna()]
    if rows.empty:
        return None
    return StageScores(
        part=rows["part"].to_numpy(str),
        fold=rows["fold"].to_numpy(np.int64) if "fold" in rows else np.ones(len(rows), np.int64),
        defect=(rows["label"] == Label.DEFECT).to_numpy(bool),
        logits=np.clip(rows[f"logit_{stage}"].to_numpy(float), -_MAX_STORED_LOGIT, _MAX_STORED_LOGIT),
        predicted=(rows[f"said_{stage}"] == Label.DEFECT).to_numpy(bool),
    )


def values_by_fold(values: dict[int, float], fold: ClassIndices) -> FloatArray:
    """Look up the value of each image's fold, shape (images,)."""
    return np.array([values[int(number)] for number in fold])
