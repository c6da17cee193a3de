"""Cluster bootstrap and intervals against closed forms, scipy, and invariances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clearcast.metrics.bootstrap import (
    ClusterBootstrap,
    ConfidenceInterval,
    FloatArray,
    difference_interval,
    mcnemar_p_value,
    mean_interval,
    share_interval,
    wilson_interval,
)

SIZES = st.lists(st.integers(1, 28), min_size=2, max_size=30)


def grouped(sizes: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make part names, and whether images are correct; images of one part are mostly so together."""
    rng = np.random.default_rng(seed)
    part = np.repeat(np.arange(len(sizes)), sizes)
    return part, rng.random(len(part)) < rng.beta(1, 0.5, len(sizes))[part]


def bounds_of(interval: ConfidenceInterval) -> tuple[float, float]:
    return float(interval.low[0]), float(interval.high[0])


def test_standard_error_equals_that_of_the_scipy_bootstrap_over_parts() -> None:
    part, right = grouped([1, 2, 20, 7, 3, 9, 28, 4, 1, 1, 12, 6], seed=3)
    sums, sizes = np.bincount(part, right), np.bincount(part).astype(float)

    def ratio(top: FloatArray, bottom: FloatArray, axis: int) -> FloatArray:
        value: FloatArray = top.sum(axis=axis) / bottom.sum(axis=axis)
        return value

    expected = stats.bootstrap(
        (sums, sizes), ratio, paired=True, vectorized=True, n_resamples=20_000, rng=np.random.default_rng(1)
    )
    ours = ClusterBootstrap(part, resamples=20_000).estimate_ratios(right)

    assert ours.value[0] == pytest.approx(right.mean())
    assert math.sqrt(ours.variance[0] * 11 / 12) == pytest.approx(expected.standard_error, rel=0.03)


def test_variance_of_single_images_equals_the_textbook() -> None:
    values = np.random.default_rng(2).normal(5, 2, 40)
    estimates = ClusterBootstrap(np.arange(40), resamples=40_000).estimate_ratios(values)

    assert estimates.variance[0] == pytest.approx(values.var(ddof=1) / 40, rel=0.03)
    low, high = bounds_of(mean_interval(estimates))
    textbook = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(textbook, rel=0.01)


@pytest.mark.parametrize(("right", "images"), [(9, 10), (50, 50), (0, 7), (33, 100)])
def test_single_images_have_the_wilson_interval(right: int, images: int) -> None:
    interval = share_interval(ClusterBootstrap(np.arange(images)).estimate_ratios(np.arange(images) < right))
    expected = stats.binomtest(right, images).proportion_ci(method="wilson")

    assert bounds_of(interval) == pytest.approx((expected.low, expected.high))
    assert bounds_of(wilson_interval(np.array([right / images]), np.array([images]))) == pytest.approx(
        (expected.low, expected.high)
    )


def test_interval_has_a_width_if_all_images_are_correct() -> None:
    part = np.repeat(np.arange(20), 10)
    low, high = bounds_of(share_interval(ClusterBootstrap(part).estimate_ratios(np.ones(200))))

    assert high == 1
    assert 0.7 < low < 1 - 3 / 200  # there are twenty parts, not two hundred independent images
    assert low == pytest.approx(1 - 3 / 20, abs=0.06)  # about the rule of three for twenty parts


def test_difference_interval_has_a_width_if_no_image_changes() -> None:
    low, high = bounds_of(
        difference_interval(ClusterBootstrap(np.repeat(np.arange(20), 10)).estimate_ratios(np.zeros(200)))
    )

    assert low < 0 < high
    assert low == -high


def test_copies_do_not_narrow_the_interval_and_single_images_do() -> None:
    right = np.arange(60) % 4 > 0
    alone = share_interval(ClusterBootstrap(np.arange(60)).estimate_ratios(right))
    copied = share_interval(ClusterBootstrap(np.repeat(np.arange(60), 5)).estimate_ratios(np.repeat(right, 5)))
    mistaken = share_interval(ClusterBootstrap(np.arange(300)).estimate_ratios(np.repeat(right, 5)))

    width, copied_width, mistaken_width = (float((each.high - each.low)[0]) for each in (alone, copied, mistaken))
    assert copied_width == pytest.approx(width, rel=0.1)
    assert mistaken_width < 0.6 * width


def test_one_part_has_no_interval_and_no_image_has_no_value() -> None:
    one = ClusterBootstrap(["a", "a"]).estimate_ratios([1, 0])
    assert one.value[0] == 0.5
    assert all(math.isnan(bound) for each in (share_interval, difference_interval) for bound in bounds_of(each(one)))

    none = ClusterBootstrap(["a", "b"]).estimate_ratios([1, 1], [0, 0])
    assert math.isnan(none.value[0])
    assert all(math.isnan(bound) for bound in bounds_of(share_interval(none)))
    with pytest.raises(ValueError, match="at least one image"):
        ClusterBootstrap([])


@given(SIZES, st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_intervals_contain_the_estimate_and_stay_within_bounds(sizes: list[int], seed: int) -> None:
    part, right = grouped(sizes, seed)
    sample = ClusterBootstrap(part, resamples=200)

    low, high = bounds_of(share_interval(sample.estimate_ratios(right)))
    assert 0 <= low <= right.mean() <= high <= 1
    assert low < high
    change = right.astype(float) - (np.arange(len(part)) % 2)
    low, high = bounds_of(difference_interval(sample.estimate_ratios(change)))
    assert -1 <= low <= change.mean() <= high <= 1


@given(SIZES, st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_order_and_names_of_groups_do_not_matter(sizes: list[int], seed: int) -> None:
    part, right = grouped(sizes, seed)
    order = np.random.default_rng(seed).permutation(len(part))
    before = bounds_of(share_interval(ClusterBootstrap(part, resamples=1000).estimate_ratios(right)))

    assert bounds_of(
        share_interval(ClusterBootstrap(part[order], resamples=1000).estimate_ratios(right[order]))
    ) == pytest.approx(before)
    names = np.array([f"part {hash((number, seed)) % 10**9}" for number in range(len(sizes))])
    renamed = bounds_of(share_interval(ClusterBootstrap(names[part], resamples=1000).estimate_ratios(right)))
    assert renamed == pytest.approx(before, abs=0.03)


@given(SIZES, st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_duplicated_images_hardly_change_the_interval(sizes: list[int], seed: int) -> None:
    part, right = grouped([size + 1 for size in sizes], seed)
    before = bounds_of(share_interval(ClusterBootstrap(part).estimate_ratios(right)))
    duplicated = bounds_of(share_interval(ClusterBootstrap(np.tile(part, 2)).estimate_ratios(np.tile(right, 2))))

    assert duplicated == pytest.approx(before, abs=0.02)


def test_the_same_seed_gives_the_same_variance() -> None:
    part, right = grouped([5] * 12, seed=1)
    first, again, other = (ClusterBootstrap(part, seed=seed).estimate_ratios(right).variance[0] for seed in (7, 7, 8))

    assert first == again != other


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_the_binomial_test(corrected: int, broken: int) -> None:
    expected = stats.binomtest(corrected, corrected + broken).pvalue if corrected + broken else 1.0

    assert mcnemar_p_value(corrected, broken) == pytest.approx(expected)
