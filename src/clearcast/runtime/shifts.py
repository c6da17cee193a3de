"""How far numbers and shares of a run of pictures are from those of the reference.

With enough pictures every trifle is "significant", and with few of them chance looks like a change. So a change is told
where both hold: it is too large for chance, and large in itself, measured in the reference's own spread. Pictures of
one part are alike: of what parts differ in, a reference says no more than it has parts.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.runtime.reference import PERCENTILES, Spread

FEWEST = 20  # pictures; fewer say nothing
_CHANCE = 0.002  # of calling a change in one number what is none, at most (Dvoretzky-Kiefer-Wolfowitz)
_FAR = 0.5  # spreads that a number must have moved by
_MIDDLE = np.linspace(0.05, 0.95, 91)  # outliers count as often as they occur, not by how far out they are
_NORMAL_90 = 3.29  # standard deviations between the 5% and the 95% quantile of a normal distribution
_SURE = 3.5  # standard errors that a share must have moved by
_ANGLE = 0.3  # Cohen's h that a share must have moved by: 0.50 to 0.65, or 0.02 to 0.08

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How a number moved.

    Attributes:
        spreads: mean distance of quantiles (Wasserstein, from the 5% to the 95% one) in the reference's spreads.
        moved: the same with signs, so that it is about 0 where the number only varies more, or less.
        now, then: the quantiles at 25, 50 and 75% of this run and of the reference.
        above, below: shares of pictures above the reference's 95% quantile, and below its 5% one.
    """

    spreads: float
    moved: float
    now: Floats
    then: Floats
    above: float
    below: float


def shift_of(values: Floats, reference: Spread, least: float, parts: int | None = None) -> Shift | None:
    """How a number moved; None where that may be chance, or is too little to speak of.

    Args:
        values: of this run's pictures, float (n,).
        reference: what it was.
        least: a spread that is no less than this, where the reference hardly has one.
        parts: how many parts the reference's pictures show, if it is a matter of parts; None: it is not, or each shows
            another.
    """
    if min(len(values), reference["count"]) < FEWEST:
        return None
    quantiles = np.array(reference["quantiles"])
    low, high = np.interp((5, 95), PERCENTILES, quantiles)
    distance = np.quantile(values, _MIDDLE) - np.interp(100 * _MIDDLE, PERCENTILES, quantiles)
    distance /= max((high - low) / _NORMAL_90, least)
    shift = Shift(
        spreads=float(np.abs(distance).mean()),
        moved=float(distance.mean()),
        now=np.quantile(values, (0.25, 0.5, 0.75)),
        then=np.interp((25, 50, 75), PERCENTILES, quantiles),
        above=float((values > high).mean()),
        below=float((values < low).mean()),
    )
    error = math.sqrt(1 / len(values) + 1 / min(reference["count"], parts or reference["count"]))
    beyond_chance = _gap(values, quantiles) > math.sqrt(math.log(2 / _CHANCE) / 2) * error
    return shift if beyond_chance and shift.spreads >= _FAR else None


def share_moved(count: int, pictures: int, reference: float, referenced: int) -> bool:
    """Whether a share differs from the reference's by more than chance, and by much.

    Args:
        count: of this run's pictures that it is a share of.
        pictures: of this run.
        reference: the share that it was, 0..1.
        referenced: pictures of the reference, or parts where the share is one of parts.
    """
    if pictures < FEWEST:
        return False
    moved = abs(_angle(count, pictures) - _angle(reference * referenced, referenced))
    return moved > max(_ANGLE, _SURE * math.sqrt(1 / pictures + 1 / referenced))


def share_interval(share: float, pictures: int) -> tuple[float, float]:
    """95% bounds of a share of so many pictures, by the arcsine of its root; they hold the share.

    >>> [round(bound, 2) for bound in share_interval(0.5, 100)]
    [0.4, 0.6]
    """
    angle, reach = _angle(share * pictures, pictures), 1.96 / math.sqrt(pictures)
    low, high = max(0.0, angle - reach), min(math.pi, angle + reach)
    return min(share, math.sin(low / 2) ** 2), max(share, math.sin(high / 2) ** 2)


def _angle(count: float, pictures: int) -> float:
    """Spreads shares so that each has the same standard error, about 1 / sqrt(pictures) (Anscombe 1948)."""
    return 2 * math.asin(math.sqrt((count + 3 / 8) / (pictures + 3 / 4)))


def _gap(values: Floats, quantiles: Floats) -> float:
    """The largest difference of shares up to a quantile (Kolmogorov and Smirnov), for numbers with or without ties."""
    shares = np.array(PERCENTILES) / 100
    ordered = np.sort(values)
    at_most = np.searchsorted(ordered, quantiles, side="right") / len(values)
    below = np.searchsorted(ordered, quantiles, side="left") / len(values)
    return float(max((shares - at_most).max(), (below - shares).max()))
