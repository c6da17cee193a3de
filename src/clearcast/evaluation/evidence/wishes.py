"""Decision policy: costs of mistakes and operating targets that a user asks for."""

import math
from dataclasses import dataclass

from clearcast.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Wishes:
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
