"""Decision rule: from a probability of defect to the verdict ok, defect or retake."""

import math
from dataclasses import dataclass

from clearcast.bundle.manifest import Manifest
from clearcast.core.errors import ModelOutputError
from clearcast.core.numbers import log_odds, require_probability, sigmoid
from clearcast.types import Verdict


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """Decision rule of a bundle.

    Raises:
        ModelOutputError: the threshold is not a probability, or the distance is not finite or negative.

    Attributes:
        threshold: the probability of defect above which the verdict is defect, 0..1.
        retake_distance: the verdict is retake if the log-odds of defect are nearer than this to those of the threshold;
            None: never.
    """

    threshold: float
    retake_distance: float | None = None

    def __post_init__(self) -> None:
        require_probability("threshold", self.threshold)
        if self.retake_distance is not None and not 0 <= self.retake_distance < math.inf:
            raise ModelOutputError(f"retake distance: expected a finite number from 0, got {self.retake_distance}")

    def verdict(self, p_defect: float) -> Verdict:
        """Return the verdict for a probability of defect, 0..1.

        Raises:
            ModelOutputError: it is not a probability.

        >>> rule = DecisionRule(threshold=0.5, retake_distance=1.0)
        >>> [rule.verdict(p).value for p in (0.0, 0.2, 0.3, 0.7, 0.8, 1.0)]
        ['ok', 'ok', 'retake', 'retake', 'defect', 'defect']
        """
        require_probability("p_defect", p_defect)
        if abs(log_odds(p_defect) - log_odds(self.threshold)) < (self.retake_distance or 0.0):
            return Verdict.RETAKE
        return Verdict.DEFECT if p_defect > self.threshold else Verdict.OK

    @property
    def retake_range(self) -> tuple[float, float] | None:
        """The probabilities of defect, 0..1, between which the verdict is retake; None if it never is.

        >>> [round(p, 3) for p in DecisionRule(threshold=0.5, retake_distance=1.0).retake_range]
        [0.269, 0.731]
        """
        if not self.retake_distance:
            return None
        middle = log_odds(self.threshold)
        return sigmoid(middle - self.retake_distance), sigmoid(middle + self.retake_distance)


def read_decision_rule(manifest: Manifest) -> DecisionRule | None:
    """Return the decision rule of a bundle; None if it gives no verdicts."""
    threshold, classifier = manifest["threshold"], manifest["judge"]
    if threshold is None:
        return None
    return DecisionRule(threshold=threshold, retake_distance=classifier.get("retake_distance") if classifier else None)
