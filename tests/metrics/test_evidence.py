"""Evidence as a whole: values against the study's own measures, and incomplete tables."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clearcast.core.errors import RecipeError
from clearcast.core.evidence_schema import Evidence, ValueWithCI
from clearcast.metrics.classification import classification_metrics
from clearcast.metrics.evidence.build import build_evidence
from clearcast.metrics.evidence.scores import DecisionPolicy
from tests.metrics.run_tables import NOISES, SKILLS, run_table, small_table, verdict_columns

TEST = run_table(41, seed=1)
WITHOUT_STAGES = TEST[["row", "part", "label", "noise_type"]]  # of a run


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return build_evidence(TEST, run_table(30, seed=2), None, DecisionPolicy())


def contains_its_value(figure: ValueWithCI) -> bool:
    low, high = figure["low"], figure["high"]
    return figure["value"] is not None and low is not None and high is not None and low <= figure["value"] <= high


@pytest.mark.parametrize("stage", list(SKILLS))
def test_verdict_measures_equal_those_of_the_study(evidence: Evidence, stage: str) -> None:
    p = TEST[f"p_defect_{stage}"].to_numpy()
    targets = np.array([int(label == "defect") for label in TEST["label"]])
    expected = classification_metrics(targets, np.stack([1 - p, p], axis=1), ("ok", "defect"))

    figures = evidence["classification"][stage]

    assert set(figures) == set(expected) - {"images"}
    for name, figure in figures.items():
        assert figure["value"] == pytest.approx(expected[name])  # type: ignore[literal-required]
        assert contains_its_value(figure)


def test_log_odds_are_ranked_if_all_probabilities_are_one() -> None:
    table = small_table("noisy", "abcd", "-+-+", [40, 50, 60, 70])
    figures = build_evidence(table, None, None, DecisionPolicy())["classification"]["noisy"]

    assert figures["roc_area"]["value"] == 0.75


def test_noise_type_measures_equal_those_of_the_study() -> None:
    table = run_table(30, seed=3)
    probabilities = table[[f"p_{name}" for name in NOISES]].to_numpy()
    table["said_noise_type"] = [NOISES[index] for index in probabilities.argmax(axis=1)]
    targets = np.array([NOISES.index(name) for name in table["noise_type"]])
    expected = classification_metrics(targets, probabilities, NOISES)

    figures = build_evidence(table, None, None, DecisionPolicy())["classification"]["noise_type"]

    for name, figure in figures.items():
        assert figure["value"] == pytest.approx(expected[name])  # type: ignore[literal-required]
        assert contains_its_value(figure)


def test_counts_of_images_and_parts(evidence: Evidence) -> None:
    assert evidence["images"] == len(TEST)
    assert evidence["parts"] == 41
    assert evidence["parts_by_label"] == {"ok": 11, "defect": 30}
    assert not evidence["independent"]
    assert "41 parts" in evidence["method"]
    alone = build_evidence(run_table(30, seed=1, max_images=1), None, None, DecisionPolicy())
    assert alone["independent"]
    assert "Wilson" in alone["method"]


def test_image_quality_skips_identical_and_unmeasured_images() -> None:
    table = run_table(20, seed=4)
    table.loc[0, "psnr_denoised"] = math.inf
    table.loc[1, "psnr_noisy"] = math.nan
    evidence = build_evidence(table, None, None, DecisionPolicy())

    psnr = evidence["restoration"]["denoised"]["all"]["psnr"]
    assert psnr["value"] == pytest.approx(table["psnr_denoised"][1:].mean())
    assert contains_its_value(psnr)
    added = (table["psnr_denoised"] - table["psnr_noisy"])[2:]
    assert evidence["gain"]["all"]["psnr"]["value"] == pytest.approx(added.mean())
    rows = table["noise_type"] == "periodic"
    assert evidence["restoration"]["noisy"]["periodic"]["ssim"]["value"] == pytest.approx(
        table["ssim_noisy"][rows].mean()
    )
    assert evidence["restoration"]["noisy"]["all"]["lpips"] == {"value": None, "low": None, "high": None}


def test_the_paired_gain_has_a_narrower_interval_than_the_means() -> None:
    table = run_table(30, seed=5)
    table["psnr_denoised"] = table["psnr_noisy"] + 5 + 0.01 * (table["row"] % 3)
    evidence = build_evidence(table, None, None, DecisionPolicy())

    def width(figure: ValueWithCI) -> float:
        assert figure["low"] is not None
        assert figure["high"] is not None
        return figure["high"] - figure["low"]

    assert width(evidence["gain"]["all"]["psnr"]) < 0.1 * width(evidence["restoration"]["denoised"]["all"]["psnr"])


def test_comparisons_count_changed_verdicts() -> None:
    parts, labels = "aabbccddeeff", "+-+-+-+-+-+-"
    right = [1, -1] * 6
    noisy = small_table("noisy", parts, labels, [-1, 1, *right[2:-1], 1])  # three are wrong
    denoised = verdict_columns("denoised", np.array([*right[:-2], -1, -1]))  # one is

    (only,) = build_evidence(noisy.assign(**denoised), None, None, DecisionPolicy())["comparisons"]

    assert (only["first"], only["second"]) == ("noisy", "denoised")
    assert (only["mended"], only["spoiled"]) == (3, 1)
    assert only["difference"]["value"] == pytest.approx(2 / 12)
    assert only["mcnemar_p"] == pytest.approx(0.625)
    assert not only["established"]
    assert only["sentence"].startswith("denoising raised accuracy by 16.7 points (95%: -")
    assert only["sentence"].endswith("): not established on 6 parts")


def test_comparisons_of_all_pairs(evidence: Evidence) -> None:
    sentences = {(each["first"], each["second"]): each["sentence"] for each in evidence["comparisons"]}

    assert list(sentences) == [
        ("noisy", "denoised"),
        ("noisy", "transfer"),
        ("noisy", "reference"),
        ("denoised", "reference"),
    ]
    assert "lowered accuracy by" in sentences["noisy", "transfer"]
    assert "95% of the change: -" in sentences["noisy", "transfer"]
    assert sentences["noisy", "reference"].startswith("accuracy on noise-free images is ")
    assert sentences["noisy", "reference"].endswith("above that on noisy ones: established on 41 parts")
    for each in evidence["comparisons"]:
        low, high = each["difference"]["low"], each["difference"]["high"]
        assert low is not None
        assert high is not None
        assert each["established"] == (low > 0 or high < 0)


def rising_noise(table: pd.DataFrame, wrong: dict[float, float], which: str = "noisy") -> pd.DataFrame:
    """Make a robustness table with a share of wrong images at each level."""
    tables = []
    for level, share in wrong.items():
        defect = table["label"] == "defect"
        mistaken = np.arange(len(table)) < share * len(table)
        tables.append(
            table[["row", "part", "label"]].assign(
                noise_type="gaussian",
                level=level,
                psnr_noisy=30 - level,
                ssim_noisy=0.9,
                **{f"p_defect_{which}": np.where(defect ^ mistaken, 0.9, 0.1)},
            )
        )
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({0.0: 0.1, 0.1: 0.12, 0.2: 0.4}, "at most 5 points less up to level 0.1."),
        ({0.0: 0.1, 0.1: 0.3, 0.2: 0.1}, "falls by more than 5 points at the first level measured, 0.1."),
        ({0.0: 0.1, 0.1: 0.1, 0.2: 0.12}, "at every level measured, up to 0.2."),
    ],
)
def test_robustness_reports_the_highest_level(wrong: dict[float, float], text: str) -> None:
    curve = build_evidence(WITHOUT_STAGES, None, rising_noise(TEST, wrong), DecisionPolicy())["robustness"]["gaussian"]

    assert text in curve["sentence"]
    assert "denoised" not in curve["sentence"]
    assert [point["level"] for point in curve["points"]] == [0.0, 0.1, 0.2]
    first, last = curve["points"][0], curve["points"][-1]
    assert first["accuracy"]["noisy"]["value"] == pytest.approx(0.9, abs=0.01)
    assert contains_its_value(last["accuracy"]["noisy"])
    assert first["psnr"] == {} == first["ssim"]
    assert last["psnr"]["noisy"]["value"] == pytest.approx(29.8)


def test_robustness_with_denoising() -> None:
    both = rising_noise(TEST, {0.0: 0.1, 0.2: 0.4})
    both["p_defect_denoised"] = rising_noise(TEST, {0.0: 0.1, 0.2: 0.1}, "denoised")["p_defect_denoised"]

    curve = build_evidence(WITHOUT_STAGES, None, both, DecisionPolicy())["robustness"]["gaussian"]

    assert "On denoised images the accuracy is" in curve["sentence"]
    assert set(curve["points"][0]["escape"]) == {"noisy", "denoised"}


@pytest.mark.parametrize(
    "table",
    [
        small_table("noisy", "a", "+", [1]),
        small_table("noisy", "aa", "+-", [1, 2]),
        small_table("noisy", "ab", "++", [-1, -2]),
        small_table("noisy", "ab", "--", [math.inf, -math.inf]),
        small_table("noisy", "aabbb", "++---", [0, 0, 0, 0, 0]),
        run_table(8, seed=9)[["part", "label", "noise_type", "p_defect_noisy", "logit_noisy", "said_noisy"]],
        WITHOUT_STAGES,
    ],
    ids=["one image", "one part", "defects only", "oks only", "all the same", "one stage", "no stage"],
)
@pytest.mark.parametrize("policy", [DecisionPolicy(max_risk=0.05), DecisionPolicy(max_escape=0.0, min_coverage=0.5)])
def test_little_data_makes_no_nan(table: pd.DataFrame, policy: DecisionPolicy) -> None:
    for validation in (None, table.iloc[:0], table, run_table(5, seed=8)):
        json.dumps(build_evidence(table, validation, None, policy), allow_nan=False)


def test_one_label_has_no_rate_of_the_other() -> None:
    figures = build_evidence(small_table("noisy", "abc", "+++", [1, -1, 1]), None, None, DecisionPolicy())[
        "classification"
    ]

    undefined: dict[str, Any] = {"value": None, "low": None, "high": None}
    assert figures["noisy"]["specificity"] == figures["noisy"]["roc_area"] == undefined
    assert figures["noisy"]["sensitivity"]["value"] == pytest.approx(2 / 3)


def test_one_part_has_values_without_intervals() -> None:
    figures = build_evidence(small_table("noisy", "aaa", "+++", [1, -1, 1]), None, None, DecisionPolicy())[
        "classification"
    ]

    assert figures["noisy"]["accuracy"] == {"value": pytest.approx(2 / 3), "low": None, "high": None}


def test_the_same_seed_gives_the_same_and_order_does_not_matter() -> None:
    table, shuffled = run_table(9, seed=6), run_table(9, seed=6).sample(frac=1, random_state=1)
    first = json.dumps(build_evidence(table, table, None, DecisionPolicy(), seed=3))
    assert first == json.dumps(build_evidence(table, table, None, DecisionPolicy(), seed=3))

    accuracy, again = (
        build_evidence(each, table, None, DecisionPolicy(), seed=3)["classification"]["noisy"]["accuracy"]
        for each in (table, shuffled)
    )
    assert accuracy == pytest.approx(again)


def test_progress_ends_with_all_stages() -> None:
    steps: list[tuple[int, int]] = []
    build_evidence(
        run_table(5, seed=1),
        None,
        None,
        DecisionPolicy(),
        progress=lambda done, everything: steps.append((done, everything)),
    )

    assert steps[-1] == (4, 4)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"escape_cost": 0.0}, "cost of an escape is 0.0; expected a number above 0"),
        ({"overkill_cost": math.inf}, "cost of an overkill is inf"),
        ({"max_escape": 1.5}, "max escape is 1.5; expected a share"),
        ({"max_risk": -0.1}, "max risk is -0.1; expected a share"),
        ({"min_coverage": 0.0}, "min coverage is 0.0"),
        ({"max_risk": 0.1, "min_coverage": 0.9}, "max risk and min coverage are both given"),
    ],
)
def test_invalid_policies_are_refused(policy: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        DecisionPolicy(**policy)
