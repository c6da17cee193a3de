"""Log-odds and sigmoid."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearcast.core.errors import ModelOutputError
from clearcast.core.numbers import FLOAT32_PROBABILITY_CLAMP, PROBABILITY_CLAMP, log_odds, sigmoid


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.5, 0.0), (0.75, math.log(3)), (0.1, -math.log(9)), (1 / (1 + math.exp(-4)), 4.0), (1e-9, -9 * math.log(10))],
)
def test_log_odds_and_sigmoid_equal_the_closed_form(probability: float, expected: float) -> None:
    assert log_odds(probability) == pytest.approx(expected, abs=1e-8)
    assert sigmoid(expected) == pytest.approx(probability, rel=1e-8)


@pytest.mark.parametrize("clamp", [PROBABILITY_CLAMP, FLOAT32_PROBABILITY_CLAMP, 1e-9])
def test_log_odds_of_0_and_1_are_those_of_the_clamp(clamp: float) -> None:
    limit = math.log((1 - clamp) / clamp)

    np.testing.assert_allclose(
        log_odds(np.array([0.0, clamp / 2, clamp, 1 - clamp, 1.0]), clamp), [-limit] * 3 + [limit] * 2, rtol=1e-5
    )


@given(st.floats(-25, 25))
def test_log_odds_and_sigmoid_are_inverse(odds: float) -> None:
    assert log_odds(sigmoid(odds)) == pytest.approx(odds, abs=1e-3)


@given(st.floats(allow_nan=False))
def test_sigmoid_is_a_probability_and_symmetric(odds: float) -> None:
    assert 0 <= sigmoid(odds) <= 1
    assert sigmoid(odds) + sigmoid(-odds) == pytest.approx(1)


def test_arrays_give_the_same_numbers_as_floats() -> None:
    probabilities = np.linspace(0, 1, 101)

    assert log_odds(probabilities).tolist() == [log_odds(each) for each in probabilities.tolist()]
    assert sigmoid(100 * probabilities).tolist() == [sigmoid(100 * each) for each in probabilities.tolist()]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.2, 1.0001])
def test_log_odds_reject_anything_but_a_probability(value: float) -> None:
    with pytest.raises(ModelOutputError, match="log-odds: expected a probability from 0 to 1"):
        log_odds(value)
    with pytest.raises(ModelOutputError, match="log-odds: expected a probability from 0 to 1"):
        log_odds(np.array([0.5, value]))


def test_sigmoid_rejects_nan() -> None:
    with pytest.raises(ModelOutputError, match="nan"):
        sigmoid(math.nan)
