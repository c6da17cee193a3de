"""What a user asks of decisions."""

import math
from dataclasses import dataclass

from clearcast.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What mistakes cost, or how many are allowed.

    Attributes:
        escape_cost: of a defect called ok, in any unit, above 0.
        overkill_cost: of an ok image called defect, in the same unit, above 0.
        max_escape: the share of defects, 0..1, that may escape; where it is given, costs are not asked.
        max_risk: pictures are retaken so that at most this share of the verdicts given is wrong, 0..1.
        min_coverage: pictures are retaken so that at least this share gets a verdict, above 0 and up to 1.

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
                raise RecipeError(f"the cost of {name} is {cost}; it must be a number above 0")
        for name, share in (("max escape", self.max_escape), ("max risk", self.max_risk)):
            if share is not None and not 0 <= share <= 1:
                raise RecipeError(f"{name} is {share}; it is a share, from 0 to 1: 1 percent is 0.01")
        if self.min_coverage is not None and not 0 < self.min_coverage <= 1:
            raise RecipeError(
                f"min coverage is {self.min_coverage}; it is a share, above 0 and up to 1: 0.9 is 90 percent"
            )
        if self.max_risk is not None and self.min_coverage is not None:
            raise RecipeError("both max risk and min coverage are given; either follows from the other: give one")
