"""The cluster bootstrap and its intervals against closed forms, scipy, and what must not matter."""

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
    """Part names, and whether images are right: images of one part mostly together."""
    rng = np.random.default_rng(seed)
    part = np.repeat(np.arange(len(sizes)), sizes)
    return part, rng.random(len(part)) < rng.beta(1, 0.5, len(sizes))[part]


def single(interval: ConfidenceInterval) -> tuple[float, float]:
    return float(interval.low[0]), float(interval.high[0])


def test_the_spread_is_that_of_scipys_bootstrap_over_parts() -> None:
    part, right = grouped([1, 2, 20, 7, 3, 9, 28, 4, 1, 1, 12, 6], seed=3)
    sums, sizes = np.bincount(part, right), np.bincount(part).astype(float)

    def ratio(top: FloatArray, bottom: FloatArray, axis: int) -> FloatArray:
        value: FloatArray = top.sum(axis=axis) / bottom.sum(axis=axis)
        return value

    scipys = stats.bootstrap(
        (sums, sizes), ratio, paired=True, vectorized=True, n_resamples=20_000, rng=np.random.default_rng(1)
    )
    ours = ClusterBootstrap(part, resamples=20_000).estimate_ratios(right)

    assert ours.value[0] == pytest.approx(right.mean())
    assert math.sqrt(ours.variance[0] * 11 / 12) == pytest.approx(scipys.standard_error, rel=0.03)


def test_the_spread_of_single_images_is_the_textbooks() -> None:
    values = np.random.default_rng(2).normal(5, 2, 40)
    estimates = ClusterBootstrap(np.arange(40), resamples=40_000).estimate_ratios(values)

    assert estimates.variance[0] == pytest.approx(values.var(ddof=1) / 40, rel=0.03)
    low, high = single(mean_interval(estimates))
    textbook = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(textbook, rel=0.01)


@pytest.mark.parametrize(("right", "images"), [(9, 10), (50, 50), (0, 7), (33, 100)])
def test_single_images_have_wilsons_interval(right: int, images: int) -> None:
    interval = share_interval(ClusterBootstrap(np.arange(images)).estimate_ratios(np.arange(images) < right))
    theirs = stats.binomtest(right, images).proportion_ci(method="wilson")

    assert single(interval) == pytest.approx((theirs.low, theirs.high))
    assert single(wilson_interval(np.array([right / images]), np.array([images]))) == pytest.approx(
        (theirs.low, theirs.high)
    )


def test_all_right_leaves_room_for_parts_never_seen() -> None:
    part = np.repeat(np.arange(20), 10)
    low, high = single(share_interval(ClusterBootstrap(part).estimate_ratios(np.ones(200))))

    assert high == 1
    assert 0.7 < low < 1 - 3 / 200  # twenty parts and not two hundred images stand behind it
    assert low == pytest.approx(1 - 3 / 20, abs=0.06)  # about what the rule of three says of twenty parts


def test_no_change_leaves_room_too() -> None:
    low, high = single(
        difference_interval(ClusterBootstrap(np.repeat(np.arange(20), 10)).estimate_ratios(np.zeros(200)))
    )

    assert low < 0 < high
    assert low == -high


def test_copies_are_no_evidence_and_single_images_are() -> None:
    right = np.arange(60) % 4 > 0
    alone = share_interval(ClusterBootstrap(np.arange(60)).estimate_ratios(right))
    copied = share_interval(ClusterBootstrap(np.repeat(np.arange(60), 5)).estimate_ratios(np.repeat(right, 5)))
    mistaken = share_interval(ClusterBootstrap(np.arange(300)).estimate_ratios(np.repeat(right, 5)))

    width, copied_width, mistaken_width = (float((each.high - each.low)[0]) for each in (alone, copied, mistaken))
    assert copied_width == pytest.approx(width, rel=0.1)
    assert mistaken_width < 0.6 * width


def test_one_part_has_no_interval_and_nothing_has_no_value() -> None:
    one = ClusterBootstrap(["a", "a"]).estimate_ratios([1, 0])
    assert one.value[0] == 0.5
    assert all(math.isnan(bound) for each in (share_interval, difference_interval) for bound in single(each(one)))

    none = ClusterBootstrap(["a", "b"]).estimate_ratios([1, 1], [0, 0])
    assert math.isnan(none.value[0])
    assert all(math.isnan(bound) for bound in single(share_interval(none)))
    with pytest.raises(ValueError, match="at least one image"):
        ClusterBootstrap([])


@given(SIZES, st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_intervals_hold_their_estimate_and_stay_within_bounds(sizes: list[int], seed: int) -> None:
    part, right = grouped(sizes, seed)
    sample = ClusterBootstrap(part, resamples=200)

    low, high = single(share_interval(sample.estimate_ratios(right)))
    assert 0 <= low <= right.mean() <= high <= 1
    assert low < high
    change = right.astype(float) - (np.arange(len(part)) % 2)
    low, high = single(difference_interval(sample.estimate_ratios(change)))
    assert -1 <= low <= change.mean() <= high <= 1


@given(SIZES, st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_neither_order_nor_names_matter(sizes: list[int], seed: int) -> None:
    part, right = grouped(sizes, seed)
    order = np.random.default_rng(seed).permutation(len(part))
    before = single(share_interval(ClusterBootstrap(part, resamples=1000).estimate_ratios(right)))

    assert single(
        share_interval(ClusterBootstrap(part[order], resamples=1000).estimate_ratios(right[order]))
    ) == pytest.approx(before)
    names = np.array([f"part {hash((number, seed)) % 10**9}" for number in range(len(sizes))])
    renamed = single(share_interval(ClusterBootstrap(names[part], resamples=1000).estimate_ratios(right)))
    assert renamed == pytest.approx(before, abs=0.03)


@given(SIZES, st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_doubling_every_image_changes_hardly_anything(sizes: list[int], seed: int) -> None:
    part, right = grouped([size + 1 for size in sizes], seed)
    before = single(share_interval(ClusterBootstrap(part).estimate_ratios(right)))
    twice = single(share_interval(ClusterBootstrap(np.tile(part, 2)).estimate_ratios(np.tile(right, 2))))

    assert twice == pytest.approx(before, abs=0.02)


def test_the_same_seed_gives_the_same() -> None:
    part, right = grouped([5] * 12, seed=1)
    first, again, other = (ClusterBootstrap(part, seed=seed).estimate_ratios(right).variance[0] for seed in (7, 7, 8))

    assert first == again != other


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test(mended: int, spoiled: int) -> None:
    expected = stats.binomtest(mended, mended + spoiled).pvalue if mended + spoiled else 1.0

    assert mcnemar_p_value(mended, spoiled) == pytest.approx(expected)
