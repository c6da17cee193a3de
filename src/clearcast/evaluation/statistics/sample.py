"""Images that come in parts, and the cluster bootstrap over these parts.

Images of one part are right or wrong together, so parts are drawn with replacement, each with all of its images
(Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8). A resample is a weight for each
image, and so every measure is written as a function of weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
_EFFORT = 10_000_000  # resamples * images; beyond 5,000 images there are fewer resamples, at least 200
_WEIGHTS = 4_000_000  # at most so many weights of images are spread out at a time

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Measure = Callable[[Floats], Floats]
"""From weights, shape (resamples, images), to values, (resamples, measures); NaN where a measure is not defined."""


@dataclass(frozen=True)
class Estimates:
    """Measured values and how much they vary; every array has the shape (measures,).

    Attributes:
        value: the measure of all images; NaN where it is not defined.
        variance: of the value, from the spread over resamples; NaN with fewer than two parts.
        images: how many images stand behind it.
        parts: how many parts stand behind it.
        effective: how many parts of equal size would tell as much: (sum n)^2 / sum n^2 (Kish 1965, "Survey Sampling").
        counted: whether the values are sums over images divided by sums over images.
    """

    value: Floats
    variance: Floats
    images: Floats
    parts: Floats
    effective: Floats
    counted: bool


class Sample:
    """Some images, the parts that they show, and resamples of these parts, the same for every measure."""

    def __init__(self, names: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> None:
        """Draw resamples for images whose parts have these names, shape (images,).

        Raises:
            ValueError: there is no image.
        """
        known, self.part = np.unique(np.asarray(names).astype(str), return_inverse=True)
        if not len(known):
            raise ValueError("a sample needs at least one image")
        self.images, self.parts = len(self.part), len(known)
        rng = np.random.default_rng(seed)
        self.resamples = min(resamples, max(_EFFORT // self.images, 200))
        shape = self.resamples, self.parts
        drawn = rng.integers(self.parts, size=shape) + self.parts * np.arange(self.resamples)[:, None]
        self._draws = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(shape).astype(float)  # times drawn

    @property
    def independent(self) -> bool:
        """Whether no part has two images."""
        return self.images == self.parts

    def ratios(self, top: ArrayLike, bottom: ArrayLike | None = None) -> Estimates:
        """Estimate sums over images divided by sums over images, such as right images / images.

        What is estimated is the ratio of expectations over parts, E[sum of top in a part] / E[sum of bottom in a part]:
        of the accuracy, the share of right images among all images of very many parts, where a part with more images
        counts for more.

        Args:
            top: shape (images,) or (images, measures); counted only where ``bottom`` is not 0.
            bottom: the same shape, 0 or 1: which images stand behind a measure; None for all.
        """
        upper = np.asarray(top, float).reshape(self.images, -1)
        among = np.ones_like(upper) if bottom is None else np.asarray(bottom, float).reshape(self.images, -1)
        above, below = self._sums(np.where(among > 0, upper, 0.0)), self._sums(among)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = above.sum(axis=0) / below.sum(axis=0)
            drawn = (self._draws @ above) / (self._draws @ below)
        parts = (below > 0).sum(axis=0).astype(float)
        variance = _variance(value, drawn, parts)
        return Estimates(value, variance, below.sum(axis=0), parts, _effective(below), counted=True)

    def measures(self, measure: Measure, among: Sequence[Flags] = ()) -> Estimates:
        """Estimate any function of weights.

        Args:
            measure: what to estimate.
            among: sets of images, shape (images,), such as the defects and the oks where the two are compared; the
                fewest parts of one stand behind the measure. All images where there are none.
        """
        value = measure(np.ones((1, self.images)))[0]
        step = max(1, _WEIGHTS // self.images)
        chunks = [self._draws[start : start + step] for start in range(0, len(self._draws), step)]
        drawn = np.concatenate([measure(chunk[:, self.part]) for chunk in chunks])
        ones = np.ones(len(value))
        parts = min((len(np.unique(self.part[rows])) for rows in among), default=self.parts) * ones
        effective = _effective(self._sums(np.ones((self.images, 1)))) * ones
        return Estimates(value, _variance(value, drawn, parts), self.images * ones, parts, effective, counted=False)

    def _sums(self, values: Floats) -> Floats:
        """Sums over the images of each part, shape (parts, measures)."""
        sums = np.zeros((self.parts, values.shape[1]))
        np.add.at(sums, self.part, values)
        return sums


def _variance(value: Floats, drawn: Floats, parts: Floats) -> Floats:
    defined = np.isfinite(drawn)
    enough = (parts >= 2) & (2 * defined.sum(axis=0) > len(drawn)) & np.isfinite(value)
    spread = np.where(defined & enough, drawn, 0.0).var(axis=0, where=defined | ~enough)
    # Drawn with replacement, n parts vary by a factor (n - 1) / n too little.
    variance: Floats = np.where(enough, spread * parts / np.maximum(parts - 1, 1), np.nan)
    return variance


def _effective(sums: Floats) -> Floats:
    squares = (sums**2).sum(axis=0)
    effective: Floats = np.divide(sums.sum(axis=0) ** 2, squares, out=np.zeros(sums.shape[1]), where=squares > 0)
    return effective
