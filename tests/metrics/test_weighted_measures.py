"""Measures as functions of weights: an integer weight is a repeated image, so scikit-learn on repeated rows agrees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from clearcast.metrics.bootstrap import f1_measure, precision_recall_f1_measure, roc_area_measure
from clearcast.metrics.calibration import (
    CALIBRATION_BINS,
    bin_indices,
    calibration_error_measure,
    fit_grouped_temperature,
)

SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(2, 4))
def test_weighted_precision_recall_and_f1(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    true, predicted = rng.integers(0, classes, (2, 30))
    weights = rng.integers(0, 4, (3, 30)) + np.eye(1, 30, dtype=int)

    ours = precision_recall_f1_measure(true, predicted, classes)(weights.astype(float))

    for row, repeats in zip(ours, weights, strict=True):
        repeated_true, repeated_predictions = np.repeat(true, repeats), np.repeat(predicted, repeats)
        precision, *others, _ = metrics.precision_recall_fscore_support(
            repeated_true, repeated_predictions, average="weighted", zero_division=0.0
        )
        assert row[1:] == pytest.approx(others)
        assert (
            row[0] == pytest.approx(precision) if set(repeated_true) <= set(repeated_predictions) else np.isnan(row[0])
        )


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_f1_of_the_defect_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, predicted = rng.random((2, 30)) < 0.5
    true[0] = True
    repeats = rng.integers(0, 4, 30) + np.eye(1, 30, dtype=int)[0]

    ours = f1_measure(true, predicted)(repeats[None].astype(float))

    assert ours[0, 0] == pytest.approx(metrics.f1_score(np.repeat(true, repeats), np.repeat(predicted, repeats)))


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.sampled_from([2, 1000]))
def test_roc_area_with_ties(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    positive, scores = rng.random(30) < 0.5, rng.integers(0, levels, 30) / levels
    positive[:2] = True, False
    repeats = rng.integers(0, 4, 30)
    repeats[:2] = 1

    ours = roc_area_measure(positive[:, None], scores[:, None])(repeats[None].astype(float))

    assert ours[0, 0] == pytest.approx(metrics.roc_auc_score(np.repeat(positive, repeats), np.repeat(scores, repeats)))


def test_undefined_measures_are_nan() -> None:
    everything = np.ones((1, 3))
    positives = np.ones(3, bool)
    assert np.isnan(roc_area_measure(positives[:, None], np.arange(3.0)[:, None])(everything)).all()
    assert np.isnan(f1_measure(~positives, ~positives)(everything)).all()
    assert np.isnan(f1_measure(~positives, positives)(everything)).all()
    precision, *others = precision_recall_f1_measure(np.zeros(3, int), np.ones(3, int), 2)(everything)[0]
    assert np.isnan(precision)
    assert others == [0.0, 0.0]


def test_calibration_error_by_hand() -> None:
    probability = np.array([0.05, 0.05, 0.95, 0.95, 1.0])
    defect = np.array([False, True, True, True, False])
    # first bin: mean 0.05, half are defects; last: mean 2.9 / 3, 2 of 3 are defects
    expected = 2 / 5 * 0.45 + 3 / 5 * abs(2.9 / 3 - 2 / 3)

    assert calibration_error_measure(probability, defect)(np.ones((1, 5)))[0, 0] == pytest.approx(expected)
    assert bin_indices(np.array([0.0, 0.1, 0.3, 0.7, 0.99, 1.0])).tolist() == [0, 1, 3, 7, 9, CALIBRATION_BINS - 1]


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_calibration_error_of_weights_is_that_of_repeated_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability, defect = rng.random(40), rng.random(40) < 0.5
    repeats = rng.integers(1, 4, 40)

    ours = calibration_error_measure(probability, defect)(repeats[None].astype(float))

    p, d = np.repeat(probability, repeats), np.repeat(defect, repeats)
    rows = [np.floor(p * 10) == number for number in range(10)]
    expected = sum(row.mean() * abs(p[row].mean() - d[row].mean()) for row in rows if row.any())
    assert ours[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_true_temperature_is_found(temperature: float) -> None:
    rng = np.random.default_rng(5)
    true_logits = rng.normal(0, 2, 20_000)
    defect = rng.random(20_000) < 1 / (1 + np.exp(-true_logits))

    assert fit_grouped_temperature(true_logits * temperature, defect, np.arange(20_000)) == pytest.approx(
        temperature, rel=0.05
    )


def test_the_temperature_has_the_lowest_loss() -> None:
    rng = np.random.default_rng(6)
    logits, defect = rng.normal(0, 4, 50), rng.random(50) < 0.5
    best = fit_grouped_temperature(logits, defect, np.arange(50))

    def loss(temperature: float) -> float:
        return float(np.logaddexp(0, np.where(defect, -logits, logits) / temperature).mean())

    assert loss(best) <= min(loss(t) for t in np.geomspace(0.05, 20, 400)) + 1e-6


def test_a_part_with_many_copies_does_not_dominate_the_temperature() -> None:
    rng = np.random.default_rng(7)
    defect = np.arange(60) % 2 == 0
    logits = np.where(defect, 2.0, -2.0) + rng.normal(0, 2, 60)
    alone = fit_grouped_temperature(logits, defect, np.arange(60))
    worst = int(np.argmin(np.where(defect, logits, -logits)))
    repeats = np.where(np.arange(60) == worst, 28, 1)

    copied = [np.repeat(values, repeats) for values in (logits, defect, np.arange(60))]
    assert fit_grouped_temperature(*copied) == pytest.approx(alone, rel=0.3)
    as_if_independent = fit_grouped_temperature(copied[0], copied[1], np.arange(len(copied[0])))
    assert as_if_independent > 2 * fit_grouped_temperature(*copied)


def test_temperature_is_1_without_information_and_bounded_otherwise() -> None:
    signs = np.array([1.0, -1, 2, -3])
    assert fit_grouped_temperature(signs, signs > 0, np.arange(4)) == 1  # no image is misclassified
    assert fit_grouped_temperature(signs, np.ones(4, bool), np.arange(4)) == 1  # one label only
    assert 19 < fit_grouped_temperature(signs, signs < 0, np.arange(4)) <= 20  # all are misclassified
