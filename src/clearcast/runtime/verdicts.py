"""From a probability of defect to a verdict."""

import math
from dataclasses import dataclass

from clearcast.domain import Verdict
from clearcast.errors import ModelOutputError
from clearcast.runtime.manifest import Manifest

_SUREST = 1e-12  # probabilities nearer to 0 and 1 have the same log-odds, which are finite


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a bundle makes a verdict of a probability of defect.

    Raises:
        ModelOutputError: the threshold is no probability, or the distance not finite or negative.

    Attributes:
        threshold: the probability above which the verdict is defect, 0..1.
        retake_distance: a picture whose log-odds are nearer to those of the threshold is to be retaken; None: none is.
    """

    threshold: float
    retake_distance: float | None = None

    def __post_init__(self) -> None:
        require_probability("threshold", self.threshold)
        if self.retake_distance is not None and not 0 <= self.retake_distance < math.inf:
            raise ModelOutputError(f"retake distance: expected a finite number from 0, got {self.retake_distance}")

    def verdict(self, p_defect: float) -> Verdict:
        """The verdict on a picture of this probability of defect, 0..1.

        Raises:
            ModelOutputError: it is no probability.

        >>> rule = Rule(threshold=0.5, retake_distance=1.0)
        >>> [rule.verdict(chance).value for chance in (0.0, 0.2, 0.3, 0.7, 0.8, 1.0)]
        ['ok', 'ok', 'retake', 'retake', 'defect', 'defect']
        """
        require_probability("p_defect", p_defect)
        if abs(log_odds(p_defect) - log_odds(self.threshold)) < (self.retake_distance or 0.0):
            return Verdict.RETAKE
        return Verdict.DEFECT if p_defect > self.threshold else Verdict.OK

    @property
    def retaken(self) -> tuple[float, float] | None:
        """The probabilities of defect, 0..1, between which pictures are retaken; None where none is.

        >>> [round(chance, 3) for chance in Rule(threshold=0.5, retake_distance=1.0).retaken]
        [0.269, 0.731]
        """
        if not self.retake_distance:
            return None
        middle = log_odds(self.threshold)
        return probability(middle - self.retake_distance), probability(middle + self.retake_distance)


def rule_of(manifest: Manifest) -> Rule | None:
    """The rule of a bundle; None where it judges nothing."""
    threshold, judge = manifest["threshold"], manifest["judge"]
    if threshold is None:
        return None
    return Rule(threshold=threshold, retake_distance=judge.get("retake_distance") if judge else None)


def require_probability(name: str, value: float) -> None:
    """Refuse what is no probability.

    Raises:
        ModelOutputError: the value is not finite, or outside 0..1.
    """
    if not 0 <= value <= 1:  # NaN is not within
        raise ModelOutputError(f"{name}: expected a probability from 0 to 1, got {value}")


def log_odds(probability: float, surest: float = _SUREST) -> float:
    """The log-odds of a probability, 0..1; those of 0 and 1 are finite too, about -28 and 28.

    >>> round(log_odds(0.5), 3), round(log_odds(0.731), 3), round(log_odds(1.0))
    (0.0, 1.0, 28)

    Args:
        probability: 0..1.
        surest: probabilities nearer than this to 0 and 1 have the same log-odds.

    Raises:
        ModelOutputError: it is no probability.
    """
    require_probability("log-odds", probability)
    kept = min(max(probability, surest), 1 - surest)
    return math.log(kept / (1 - kept))


def probability(log_odds: float) -> float:
    """The probability of some log-odds, however large.

    >>> round(probability(1.0), 3), probability(-1e9), probability(1e9)
    (0.731, 0.0, 1.0)

    Raises:
        ModelOutputError: they are NaN.
    """
    if math.isnan(log_odds):
        raise ModelOutputError("probability: expected log-odds, got nan")
    odds = math.exp(-abs(log_odds))  # of the less likely
    return 1 / (1 + odds) if log_odds > 0 else odds / (1 + odds)
