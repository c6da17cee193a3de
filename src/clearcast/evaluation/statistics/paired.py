"""Whether two classifiers that judged the same images differ."""

from scipy import stats


def mcnemar(mended: int, spoiled: int) -> float:
    """The exact two-sided p of McNemar (1947): of two classifiers, how unlikely so uneven counts are by chance.

    Args:
        mended: images that only the second judges rightly.
        spoiled: images that only the first judges rightly.

    >>> mcnemar(0, 5)
    0.0625
    """
    if mended + spoiled == 0:
        return 1.0
    return min(1.0, float(2 * stats.binom.cdf(min(mended, spoiled), mended + spoiled, 0.5)))
