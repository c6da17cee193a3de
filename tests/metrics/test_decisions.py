"""Thresholds, retakes and calibration: choices against exhaustive search, and the sentences about them."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.core.evidence_schema import DecisionResult
from clearcast.metrics.evidence.build import build_evidence
from clearcast.metrics.evidence.scores import DecisionPolicy
from clearcast.metrics.evidence.thresholds import choose_retake_cutoff, choose_threshold
from tests.metrics.run_tables import run_table, small_table

TEST, VALIDATION = run_table(41, seed=1), run_table(30, seed=2)
VERDICTS = st.lists(st.tuples(st.integers(1, 19), st.booleans()), min_size=2, max_size=30).filter(
    lambda images: len({defect for _, defect in images}) == 2
)


def decide(
    policy: DecisionPolicy, test: pd.DataFrame = TEST, validation: pd.DataFrame | None = VALIDATION
) -> DecisionResult:
    others = ("_reference", "_denoised", "_transfer", "said_noise_type")
    table = test[[name for name in test if not str(name).endswith(others)]]
    return build_evidence(table, validation, None, policy)["decisions"]["noisy"]


@settings(deadline=None, max_examples=30)
@given(VERDICTS, st.floats(0.1, 20), st.floats(0.1, 20))
def test_no_threshold_costs_less(images: list[tuple[int, bool]], escape: float, overkill: float) -> None:
    probability, defect = np.array([p / 20 for p, _ in images]), np.array([label for _, label in images])
    chosen = choose_threshold(probability, defect, DecisionPolicy(escape_cost=escape, overkill_cost=overkill))

    def cost(threshold: float) -> float:
        predicted = probability >= threshold
        return float(escape * (defect & ~predicted).sum() + overkill * (~defect & predicted).sum())

    assert cost(chosen) <= min(cost(threshold) for threshold in np.linspace(0, 1, 201)) + 1e-9
    neighbours = [0.0, *sorted(set(probability)), 1.0]
    assert any(chosen == pytest.approx((low + high) / 2) for low, high in pairwise(neighbours))


@settings(deadline=None, max_examples=30)
@given(VERDICTS, st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 1.0]))
def test_no_higher_threshold_lets_so_few_defects_escape(images: list[tuple[int, bool]], most: float) -> None:
    probability, defect = np.array([p / 20 for p, _ in images]), np.array([label for _, label in images])
    chosen = choose_threshold(probability, defect, DecisionPolicy(max_escape=most))

    def escape(threshold: float) -> float:
        return float((probability[defect] < threshold).mean())

    assert escape(chosen) <= most + 1e-6
    neighbours = [0.0, *sorted(set(probability)), 1.0]
    middles = [(low + high) / 2 for low, high in pairwise(neighbours)]
    assert chosen == pytest.approx(max(middle for middle in middles if escape(middle) <= most + 1e-9))


def test_costly_escapes_lower_the_threshold() -> None:
    cheap, costly = (decide(DecisionPolicy(escape_cost=cost)) for cost in (0.2, 20))
    assert cheap["chosen"]
    assert costly["chosen"]
    assert costly["chosen"]["thresholds"] < cheap["chosen"]["thresholds"]
    assert costly["chosen"]["escapes"] < cheap["chosen"]["escapes"]
    assert costly["chosen"]["overkills"] > cheap["chosen"]["overkills"]


def test_equal_costs_choose_the_middle_of_separable_labels() -> None:
    probability, defect = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    assert choose_threshold(probability, defect, DecisionPolicy()) == pytest.approx(0.5)


def test_escapes_and_overkills_are_counted_at_both_thresholds() -> None:
    test = small_table("noisy", "aabbccdd", "++++----", [2, 1, -1, 3, -2, 0.5, -1, -3])
    validation = small_table("noisy", "efgh", "+-+-", [0.9, -0.9, 0.3, 0.4])
    decision = decide(DecisionPolicy(max_escape=0.0), test, validation)

    plain, chosen, calibration = decision["plain"], decision["chosen"], decision["calibration"]
    assert (plain["defects"], plain["escapes"], plain["oks"], plain["overkills"]) == (4, 1, 4, 1)
    assert plain["escape"]["value"] == plain["overkill"]["value"] == 0.25
    assert plain["accuracy"]["value"] == 0.75
    assert chosen
    assert calibration
    (temperature,) = calibration["temperatures"]
    low, high = (1 / (1 + math.exp(-logit / temperature)) for logit in (-0.9, 0.3))
    assert chosen["thresholds"] == pytest.approx([(low + high) / 2])
    assert (chosen["escapes"], chosen["overkills"]) == (1, 1)


def test_sentences_claim_what_the_parts_support() -> None:
    test = small_table("noisy", "aabbccdd", "++++----", [2, 1, 1, 3, -2, 0.5, -1, -3])
    validation = small_table("noisy", "eefgh", "+++--", [0.9, 0.9, 0.3, 0.4, -1])
    sentence = decide(DecisionPolicy(max_escape=0.01), test, validation)["sentence"]

    assert "Chosen on 5 validation images: at most 1% escapes." in sentence
    assert "escapes are 0 of 4 defects (0.0%, 95%: 0.0 to " in sentence
    assert "No image of the 2 defect parts of the validation images escapes, which supports at most 100.0%" in sentence
    assert "No image of the 2 defect parts of the test images escapes" in sentence
    assert "requires about 300 defect parts" in sentence
    assert "about 60 defect parts" in decide(DecisionPolicy(max_escape=0.05))["sentence"]
    assert "defect parts of the validation images escape." in decide(DecisionPolicy(max_escape=0.5))["sentence"]


@pytest.mark.parametrize(
    ("validation", "reason"),
    [
        (None, "No validation images: give --validation-share"),
        (VALIDATION.iloc[:0], "No validation images: give --validation-share"),
        (VALIDATION[["row", "part", "label"]], "No validation images: give --validation-share"),
        (VALIDATION[VALIDATION["label"] == "ok"], "All validation images are ok"),
        (VALIDATION[VALIDATION["label"] == "defect"], "All validation images are defect"),
    ],
    ids=["none", "empty", "without the stage", "oks only", "defects only"],
)
def test_without_validation_nothing_is_chosen(validation: pd.DataFrame | None, reason: str) -> None:
    decision = decide(DecisionPolicy(max_risk=0.05), validation=validation)

    assert [decision["calibration"], decision["chosen"], decision["retake"]] == [None, None, None]
    assert decision["sentence"].startswith(reason)
    assert decision["curve"]
    assert decision["risk"]["coverage"][-1] == 1


def test_curves_are_complete_and_inside_their_intervals() -> None:
    decision = decide(DecisionPolicy())
    curve, risk = decision["curve"], decision["risk"]
    assert curve
    assert len(curve["threshold"]) == 200
    assert (curve["escape"][0], curve["overkill"][0]) == (0, 1)
    assert (curve["escape"][-1], curve["overkill"][-1]) == (1, 0)
    assert curve["threshold"] == sorted(curve["threshold"])
    assert curve["escape"] == sorted(curve["escape"])
    for low, value, high in zip(curve["escape_low"], curve["escape"], curve["escape_high"], strict=True):
        assert 0 <= low <= value <= high <= 1
    for low, value, high in zip(risk["risk_low"], risk["risk"], risk["risk_high"], strict=True):
        assert 0 <= low <= value <= high <= 1
    assert risk["coverage"] == sorted(risk["coverage"])
    assert decision["chosen"]
    assert risk["risk"][-1] == pytest.approx(1 - (decision["chosen"]["accuracy"]["value"] or 0))


def test_calibration_corrects_overconfidence() -> None:
    rng = np.random.default_rng(1)

    def table(prefix: str) -> pd.DataFrame:
        true = rng.normal(0, 1.5, 300)
        labels = "".join("+" if up else "-" for up in rng.random(300) < 1 / (1 + np.exp(-true)))
        return small_table("noisy", "a" * 300, labels, list(5 * true)).assign(
            part=[f"{prefix}{i // 3}" for i in range(300)]
        )

    decision = decide(DecisionPolicy(), table("t"), table("v"))
    calibration = decision["calibration"]

    assert calibration
    assert calibration["validation_images"] == 300
    assert calibration["temperatures"] == pytest.approx([5], rel=0.3)
    before, after = calibration["error_before"]["value"], calibration["error_after"]["value"]
    assert before is not None
    assert after is not None
    assert after < 0.5 * before
    assert sum(bar["images"] for bar in calibration["bins_after"]) == 300
    assert [bar["low"] for bar in calibration["bins_before"]] == pytest.approx(np.arange(10) / 10)


@settings(deadline=None, max_examples=30)
@given(VERDICTS, st.sampled_from([0.0, 0.1, 0.25, 0.5]))
def test_no_lower_cutoff_has_so_little_risk(images: list[tuple[int, bool]], most: float) -> None:
    confidence, wrong = np.array([float(c) for c, _ in images]), np.array([each for _, each in images])
    cutoff = choose_retake_cutoff(confidence, wrong, DecisionPolicy(max_risk=most))

    decided = confidence >= cutoff
    assert wrong[decided].sum() <= most * decided.sum() + 1e-6
    for lower in (level for level in np.unique(confidence) if level < cutoff):
        assert wrong[confidence >= lower].mean() > most


@settings(deadline=None, max_examples=30)
@given(VERDICTS, st.sampled_from([0.01, 0.3, 0.5, 0.9, 1.0]))
def test_no_higher_cutoff_has_so_much_coverage(images: list[tuple[int, bool]], least: float) -> None:
    confidence, wrong = np.array([float(c) for c, _ in images]), np.array([each for _, each in images])
    cutoff = choose_retake_cutoff(confidence, wrong, DecisionPolicy(min_coverage=least))

    assert (confidence >= cutoff).mean() >= least - 1e-6
    left = np.unique(confidence[confidence >= cutoff])
    assert len(left) == 1 or (confidence > left[0]).mean() < least


def test_retaking_lowers_the_risk() -> None:
    decision = decide(DecisionPolicy(min_coverage=0.7))
    retake = decision["retake"]
    assert retake
    assert decision["chosen"]
    assert retake["asked"] == "a verdict for at least 70% of the images"
    assert retake["coverage"]["value"] == pytest.approx(1 - retake["retaken"] / len(TEST))
    assert (retake["risk"]["value"] or 0) < 1 - (decision["chosen"]["accuracy"]["value"] or 0)
    assert f"{retake['retaken']} test images of {len(TEST)} would be retaken" in retake["sentence"]
    assert decide(DecisionPolicy())["retake"] is None


def test_all_images_are_retaken_if_no_confidence_suffices() -> None:
    validation = small_table("noisy", "efgh", "+-+-", [-1, -5, 0.5, 5])
    retake = decide(DecisionPolicy(max_risk=0.0), validation=validation)["retake"]
    assert retake
    assert math.isfinite(retake["cutoffs"][0])
    unusable = small_table("noisy", "efgh", "+-+-", [-5, 5, -4, 4])
    retake = decide(DecisionPolicy(max_risk=0.0, max_escape=1.0), validation=unusable)["retake"]
    assert retake
    assert retake["retaken"] == len(TEST)
    assert retake["risk"]["value"] is None
    assert "all would be retaken" in retake["sentence"]


def test_each_fold_has_its_own_choice_and_results_are_pooled() -> None:
    policy = DecisionPolicy(escape_cost=3, min_coverage=0.8)
    test, validation = run_table(40, seed=3, folds=2), run_table(40, seed=4, folds=2)
    pooled = decide(policy, test, validation)
    alone = [decide(policy, test[test["fold"] == fold], validation[validation["fold"] == fold]) for fold in (1, 2)]

    assert pooled["chosen"]
    assert pooled["calibration"]
    assert pooled["retake"]
    assert pooled["chosen"]["thresholds"] == [each["chosen"]["thresholds"][0] for each in alone if each["chosen"]]
    assert pooled["chosen"]["escapes"] == sum(each["chosen"]["escapes"] for each in alone if each["chosen"])
    assert pooled["retake"]["retaken"] == sum(each["retake"]["retaken"] for each in alone if each["retake"])
    assert len(pooled["calibration"]["temperatures"]) == len(pooled["retake"]["cutoffs"]) == 2
    assert pooled["plain"]["thresholds"] == [0.5, 0.5]
    lacking = decide(policy, test, validation[validation["fold"] == 1])
    assert lacking["sentence"].startswith("No validation images of fold 2: give --validation-share")


@settings(max_examples=2, deadline=None)
@given(st.integers(2, 6))
def test_choices_do_not_depend_on_test_images(seed: int) -> None:
    one, other = (
        decide(DecisionPolicy(escape_cost=5, max_risk=0.1), run_table(20, seed=seed + more)) for more in (0, 50)
    )

    assert one["chosen"]
    assert other["chosen"]
    assert one["retake"]
    assert other["retake"]
    assert one["chosen"]["thresholds"] == other["chosen"]["thresholds"]
    assert one["retake"]["cutoffs"] == other["retake"]["cutoffs"]
