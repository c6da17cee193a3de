"""Cluster bootstrap: test images in groups, resampled by whole groups.

The images of one part form a group. They are right or wrong together, so groups are drawn with replacement, each with
all of its images (Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8). A resample is a
weight for each image, so every measure is written as a function of weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
_MAX_DRAWS = 10_000_000  # resamples * images; with more than 5,000 images there are fewer resamples, at least 200
_MAX_WEIGHTS = 4_000_000  # weights of images that are held in memory at a time

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Measure = Callable[[Floats], Floats]
"""From weights, shape (resamples, images), to values, (resamples, measures); NaN if a measure is not defined."""


@dataclass(frozen=True)
class Estimates:
    """Measured values and their variance; every array has the shape (measures,).

    Attributes:
        value: measure over all images; NaN if it is not defined.
        variance: of the value, over resamples; NaN with fewer than two groups.
        images: number of images that the measure is taken over.
        groups: number of groups that the measure is taken over.
        effective: effective number of groups of equal size: (sum n)^2 / sum n^2 (Kish 1965, "Survey Sampling").
        is_ratio: whether the values are sums over images divided by sums over images.
    """

    value: Floats
    variance: Floats
    images: Floats
    groups: Floats
    effective: Floats
    is_ratio: bool


class Sample:
    """Test images with their groups, and resamples of the groups that all measures share."""

    def __init__(self, names: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> None:
        """Draw resamples for images whose groups have these names, shape (images,).

        Raises:
            ValueError: there is no image.
        """
        known, self.group_index = np.unique(np.asarray(names).astype(str), return_inverse=True)
        if not len(known):
            raise ValueError("expected at least one image, got none")
        self.images, self.groups = len(self.group_index), len(known)
        rng = np.random.default_rng(seed)
        self.resamples = min(resamples, max(_MAX_DRAWS // self.images, 200))
        shape = self.resamples, self.groups
        drawn = rng.integers(self.groups, size=shape) + self.groups * np.arange(self.resamples)[:, None]
        self._draws = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(shape).astype(float)  # times drawn

    @property
    def independent(self) -> bool:
        """Whether no group has two images."""
        return self.images == self.groups

    def estimate_ratios(self, top: ArrayLike, bottom: ArrayLike | None = None) -> Estimates:
        """Estimate sums over images divided by sums over images, such as right images / images.

        The estimand is the ratio of expectations over groups, E[sum of top in a group] / E[sum of bottom in a group].
        For the accuracy it is the share of right images among all images of very many groups, in which a group with
        more images has more weight.

        Args:
            top: shape (images,) or (images, measures); ignored wherever ``bottom`` is 0.
            bottom: the same shape, 0 or 1: which images a measure is taken over; None for all.
        """
        upper = np.asarray(top, float).reshape(self.images, -1)
        among = np.ones_like(upper) if bottom is None else np.asarray(bottom, float).reshape(self.images, -1)
        above, below = self._group_sums(np.where(among > 0, upper, 0.0)), self._group_sums(among)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = above.sum(axis=0) / below.sum(axis=0)
            drawn = (self._draws @ above) / (self._draws @ below)
        groups = (below > 0).sum(axis=0).astype(float)
        variance = _variance(value, drawn, groups)
        return Estimates(value, variance, below.sum(axis=0), groups, _effective_groups(below), is_ratio=True)

    def estimate(self, measure: Measure, among: Sequence[Flags] = ()) -> Estimates:
        """Estimate any function of weights.

        Args:
            measure: what to estimate.
            among: sets of images, shape (images,), such as the defects and the ok images if the measure compares the
                two. The smallest number of groups in one set counts for the measure. Without sets it is all groups.
        """
        value = measure(np.ones((1, self.images)))[0]
        step = max(1, _MAX_WEIGHTS // self.images)
        chunks = [self._draws[start : start + step] for start in range(0, len(self._draws), step)]
        drawn = np.concatenate([measure(chunk[:, self.group_index]) for chunk in chunks])
        ones = np.ones(len(value))
        groups = min((len(np.unique(self.group_index[rows])) for rows in among), default=self.groups) * ones
        effective = _effective_groups(self._group_sums(np.ones((self.images, 1)))) * ones
        variance = _variance(value, drawn, groups)
        return Estimates(value, variance, self.images * ones, groups, effective, is_ratio=False)

    def _group_sums(self, values: Floats) -> Floats:
        """Sum over the images of each group, shape (groups, measures)."""
        sums = np.zeros((self.groups, values.shape[1]))
        np.add.at(sums, self.group_index, values)
        return sums


def _variance(value: Floats, drawn: Floats, groups: Floats) -> Floats:
    defined = np.isfinite(drawn)
    enough = (groups >= 2) & (2 * defined.sum(axis=0) > len(drawn)) & np.isfinite(value)
    spread = np.where(defined & enough, drawn, 0.0).var(axis=0, where=defined | ~enough)
    # Drawing n groups with replacement underestimates the variance by the factor (n - 1) / n.
    variance: Floats = np.where(enough, spread * groups / np.maximum(groups - 1, 1), np.nan)
    return variance


def _effective_groups(sums: Floats) -> Floats:
    squares = (sums**2).sum(axis=0)
    effective: Floats = np.divide(sums.sum(axis=0) ** 2, squares, out=np.zeros(sums.shape[1]), where=squares > 0)
    return effective
