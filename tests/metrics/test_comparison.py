"""Comparison of two bundles on the same images: every value against a count by hand or another package."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from clearcast.metrics.evidence.comparison import (
    BundleDifference,
    ComparisonAspect,
    describe_differences,
    list_changed_verdicts,
    measure_differences,
)


def verdict(defect: bool) -> str:
    return "defect" if defect else "ok"


def make_table(
    defect: list[bool], first: list[bool], second: list[bool], parts: list[str] | None = None
) -> pd.DataFrame:
    """Make a table of images with these labels and the predictions of two bundles that are otherwise equal."""
    count = len(defect)
    table = pd.DataFrame(
        {
            "row": range(2, count + 2),
            "noisy": [f"{number}.png" for number in range(count)],
            "part": parts or [f"p{number}" for number in range(count)],
            "label": [verdict(each) for each in defect],
            "noise_type": ["gaussian" if number % 2 else "none" for number in range(count)],
        }
    )
    for side, predicted in (("a", first), ("b", second)):
        table[f"said_{side}"] = [verdict(each) for each in predicted]
        table[f"p_defect_{side}"] = [0.9 if each else 0.1 for each in predicted]
        table[f"logit_{side}"] = [2.2 if each else -2.2 for each in predicted]
        table[f"said_noise_type_{side}"] = table["noise_type"]
        table[f"psnr_{side}"], table[f"ssim_{side}"] = 30.0, 0.9
    return table


def by_name(table: pd.DataFrame) -> dict[str, BundleDifference]:
    return {f"{each.aspect} {each.measure} {each.noise}": each for each in measure_differences(table, seed=1)}


def test_shares_equal_counts_by_hand() -> None:
    """Six defects, four oks. A has three escapes and one overkill; B has one escape and two overkills."""
    defect = [True] * 6 + [False] * 4
    first = [False, False, False, True, True, True, True, False, False, False]
    second = [True, True, False, True, True, True, True, True, False, False]

    found = by_name(make_table(defect, first, second))

    for name, one, two in (
        ("verdicts accuracy all", 6 / 10, 7 / 10),
        ("verdicts escapes all", 3 / 6, 1 / 6),
        ("verdicts overkills all", 1 / 4, 2 / 4),
        ("noise types accuracy all", 1.0, 1.0),
    ):
        each = found[name]
        assert each.first["value"] == pytest.approx(one)
        assert each.second["value"] == pytest.approx(two)
        assert each.difference["value"] == pytest.approx(two - one)
    assert (found["verdicts escapes all"].images, found["verdicts overkills all"].images) == (6, 4)


def test_roc_area_equals_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    defect = rng.random(80) < 0.4
    table = make_table(list(defect), list(defect), list(defect))
    for side, sharp in (("a", 0.5), ("b", 2.0)):
        table[f"logit_{side}"] = sharp * (defect - 0.5) + rng.normal(size=80)

    area = by_name(table)["verdicts ROC area all"]

    one, two = (roc_auc_score(defect, table[f"logit_{side}"]) for side in ("a", "b"))
    assert area.first["value"] == pytest.approx(one)
    assert area.difference["value"] == pytest.approx(two - one)


def test_paired_interval_equals_the_textbook_if_every_part_has_one_image() -> None:
    rng = np.random.default_rng(3)
    defect = rng.random(400) < 0.5
    first, second = (np.where(rng.random(400) < wrong, ~defect, defect) for wrong in (0.2, 0.1))
    gains = (second == defect).astype(float) - (first == defect)

    accuracy = by_name(make_table(list(defect), list(first), list(second)))["verdicts accuracy all"].difference

    half_width = 1.966 * gains.std(ddof=1) / math.sqrt(400)
    assert accuracy["low"] == pytest.approx(gains.mean() - half_width, abs=0.1 * half_width)
    assert accuracy["high"] == pytest.approx(gains.mean() + half_width, abs=0.1 * half_width)


def test_copies_of_images_do_not_narrow_the_interval() -> None:
    """Ten copies of each image give no more evidence than the image."""
    rng = np.random.default_rng(4)
    defect, right = rng.random(30) < 0.5, rng.random(30) < 0.7
    once = list(defect), list(np.where(right, defect, ~defect)), list(defect)
    defects, first, second = (list(np.repeat(each, 10)) for each in once)
    copies = make_table(defects, first, second, [f"p{number // 10}" for number in range(300)])

    one, ten = (by_name(table)["verdicts accuracy all"].difference for table in (make_table(*once), copies))

    assert ten["low"] == pytest.approx(one["low"], abs=0.01)
    assert ten["high"] == pytest.approx(one["high"], abs=0.01)


@pytest.mark.parametrize("better", ["A", "B"])
def test_the_better_bundle_follows_the_direction_of_the_measure(better: str) -> None:
    """More escapes are worse, more accuracy is better."""
    defect = [True, False] * 40
    wrong = [not each if number % 3 else each for number, each in enumerate(defect)]
    both = (defect, wrong) if better == "A" else (wrong, defect)

    found = by_name(make_table(defect, *both))

    for name in ("accuracy", "escapes", "overkills"):
        assert found[f"verdicts {name} all"].better == better
    sentences = describe_differences(list(found.values()), list_changed_verdicts(make_table(defect, *both)))
    assert sentences[0].startswith(f"Verdicts: {better} is better: accuracy {'-' if better == 'A' else '+'}6")


def test_equal_bundles_seldom_differ() -> None:
    """At most one in ten of comparisons by chance alone, where an interval of 95% allows one in twenty."""
    rng = np.random.default_rng(5)
    established = 0
    for _ in range(60):
        defect = rng.random(60) < 0.5
        first, second = (list(np.where(rng.random(60) < 0.15, ~defect, defect)) for _ in range(2))
        established += by_name(make_table(list(defect), first, second))["verdicts accuracy all"].better is not None
    assert established <= 6


def test_denoised_images_are_compared_if_both_have_a_finite_psnr() -> None:
    table = make_table([True, False] * 10, [True] * 20, [True] * 20)
    gains = np.linspace(0.5, 1.5, 20)
    table["psnr_b"] = table["psnr_a"] + gains
    table.loc[0, "psnr_a"] = np.inf  # of noise "none", without an error

    found = by_name(table)

    assert found["restored pictures PSNR all"].images == 19
    assert found["restored pictures PSNR all"].difference["value"] == pytest.approx(gains[1:].mean())
    assert found["restored pictures PSNR none"].difference["value"] == pytest.approx(gains[2::2].mean())
    assert found["restored pictures PSNR gaussian"].difference["value"] == pytest.approx(gains[1::2].mean())
    assert "restored pictures PSNR periodic" not in found
    sentences = describe_differences(list(found.values()), list_changed_verdicts(table))
    assert sentences[-1].startswith("Denoised images: B is better: PSNR +1.03 dB (95%: +0.8")


def test_changed_verdicts_are_listed_with_the_right_bundle() -> None:
    table = make_table([True, True, False, False], [True, False, False, True], [True, True, True, True])

    lines = list_changed_verdicts(table)

    assert list(lines["noisy"]) == ["1.png", "2.png"]
    assert list(lines["right"]) == ["B", "A"]
    assert list(lines["p_defect_a"]) == [0.1, 0.1]
    assert describe_differences(measure_differences(table, 1), lines)[1] == (
        "2 of 4 verdicts would change from A to B: 1 from wrong to right, 1 from right to wrong."
    )


def test_no_difference_is_reported() -> None:
    table = make_table([True, False] * 10, [True, False] * 10, [True, False] * 10)

    sentences = describe_differences(measure_differences(table, 1), list_changed_verdicts(table))

    assert sentences[0].startswith("Verdicts: no difference beyond chance: accuracy +0.0 points (95%: -")
    assert sentences[1] == "No verdict changes: A and B agree on all 20 images."


def test_a_trade_off_is_not_called_better() -> None:
    """A calls every part ok, B calls every part a defect."""
    table = make_table([True, False] * 50, [False] * 100, [True] * 100)

    sentences = describe_differences(measure_differences(table, 1), list_changed_verdicts(table))

    assert sentences[0].startswith("Verdicts: neither is better throughout: A is better in overkills +100.0 points")
    assert "; B is better in escapes -100.0 points" in sentences[0]
    assert "choose by the cost of each mistake" in sentences[0]


def test_one_part_establishes_no_difference() -> None:
    table = make_table([True, True], [True, False], [True, True], ["p", "p"])

    sentences = describe_differences(measure_differences(table, 1), list_changed_verdicts(table))

    assert (
        sentences[0]
        == "Verdicts: no difference can be established, since all images show one part (accuracy +50.0 points)."
    )


def test_without_verdicts_of_both_only_the_rest_is_compared() -> None:
    table = make_table([True, False] * 5, [True] * 10, [True] * 10).drop(columns=["said_b", "logit_b", "p_defect_b"])

    assert {each.aspect for each in measure_differences(table, 1)} == {
        ComparisonAspect.NOISE_TYPES,
        ComparisonAspect.DENOISED_IMAGES,
    }
    assert list_changed_verdicts(table).empty
    assert describe_differences(measure_differences(table, 1), list_changed_verdicts(table))[0].startswith(
        "Noise types: no difference"
    )


def test_undefined_measures_are_left_out() -> None:
    found = by_name(make_table([False] * 6, [False] * 6, [True] * 3 + [False] * 3))

    assert "verdicts escapes all" not in found
    assert "verdicts ROC area all" not in found
    assert found["verdicts overkills all"].difference["value"] == pytest.approx(0.5)


def test_a_retaken_image_is_neither_correct_nor_a_mistake() -> None:
    table = make_table([True, True, False, False], [True, False, False, True], [True, True, True, False])
    table["said_b"] = ["defect", "retake", "retake", "ok"]

    found, lines = by_name(table), list_changed_verdicts(table)

    assert found["verdicts retakes all"].second["value"] == 0.5
    assert found["verdicts accuracy all"].second["value"] == 0.5
    assert found["verdicts escapes all"].difference["value"] == -0.5
    assert found["verdicts overkills all"].difference["value"] == -0.5
    assert list(lines["right"]) == ["", "A", "B"]
    assert describe_differences(list(found.values()), lines)[1].endswith(
        "1 from wrong to right, 0 from right to wrong, 2 to or from retake."
    )
