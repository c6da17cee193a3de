"""Significance test for two classifiers on the same images."""

from scipy import stats


def mcnemar(corrected: int, broken: int) -> float:
    """Compute the exact two-sided p-value of McNemar's test (1947) of two classifiers on the same images.

    Args:
        corrected: number of images that only the second classifies correctly.
        broken: number of images that only the first classifies correctly.

    >>> mcnemar(0, 5)
    0.0625
    """
    if corrected + broken == 0:
        return 1.0
    return min(1.0, float(2 * stats.binom.cdf(min(corrected, broken), corrected + broken, 0.5)))
