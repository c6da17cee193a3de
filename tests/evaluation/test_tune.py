"""``clearcast tune`` against tables with a known threshold and retake distance, and on a real bundle."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from clearcast import load
from clearcast.bundle.archive import open_package
from clearcast.bundle.manifest import Manifest
from clearcast.cli import build_application
from clearcast.core.errors import OutputError, RecipeError
from clearcast.evaluation.tune import TuningResult, tune_bundle
from clearcast.inference.decision import DecisionRule, read_decision_rule
from clearcast.inference.verification import verify_bundle
from clearcast.metrics.evidence.scores import DecisionPolicy
from clearcast.types import Verdict
from tests.evaluation.tunable import TEMPERATURE, add_tables, verdict_table, write_tunable
from tests.inference.handmade import write_bundle

QUIET = Console(quiet=True)
APART = verdict_table([1, 2, 3, 4], [-1, -2, -3, -4])  # all are correct at 0, so the temperature is 1
TESTED = verdict_table([0.9, 1.2, 1.4, 1.5, 2.5], [-1, 1.3, 5])
FILES = ("inspect.onnx", "survey.onnx", "detail.onnx", "judge.onnx")


def sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def tuned(
    tmp_path: Path, policy: DecisionPolicy, test: pd.DataFrame = TESTED, out_of_fold: pd.DataFrame = APART
) -> TuningResult:
    return tune_bundle(write_tunable(tmp_path / "before", test, out_of_fold), tmp_path / "after", policy, console=QUIET)


def manifest_of(path: Path) -> Manifest:
    return open_package(path).manifest


def invoke(*arguments: object) -> Result:
    asked = [str(each) for each in arguments]
    return CliRunner().invoke(build_application(asked[:1]), asked, env={"COLUMNS": "200"})


def overlapping(seed: int, parts: int = 60) -> pd.DataFrame:
    """Defects and oks whose log-odds overlap and are overconfident, three images a part."""
    rng = np.random.default_rng(seed)
    true = np.repeat(rng.normal(0, 2, 2 * parts), 3) + rng.normal(0, 0.5, 6 * parts)
    defect = np.repeat(rng.random(2 * parts) < 1 / (1 + np.exp(-true[::3])), 3)
    table = verdict_table(list(2 * true[defect]), list(2 * true[~defect]))
    named = np.repeat([f"part {number}" for number in range(2 * parts)], 3)
    return table.assign(part=[*named[defect], *named[~defect]])


# the choice


def test_threshold_and_retake_distance_equal_those_worked_out_by_hand(tmp_path: Path) -> None:
    result = tuned(tmp_path, DecisionPolicy(max_escape=0.25, max_risk=0.0))

    # One defect of four may escape, that at 1: the threshold is the middle of the probabilities of 1 and 2. That one is
    # wrong, so it is retaken and no other: the band ends in the middle between its distance and that of 2.
    threshold = (sigmoid(1) + sigmoid(2)) / 2
    assert result.after.threshold == pytest.approx(threshold)
    assert result.after.retake_distance == pytest.approx(0.5)
    manifest = manifest_of(tmp_path / "after")
    assert manifest["judge"]
    assert read_decision_rule(manifest) == result.after
    assert manifest["judge"]["threshold"] == pytest.approx(TEMPERATURE * np.log(threshold / (1 - threshold)))
    assert manifest["judge"]["temperature"] == TEMPERATURE


def test_outcomes_on_test_images_are_counted_before_and_after(tmp_path: Path) -> None:
    result = tuned(tmp_path, DecisionPolicy(max_escape=0.25, max_risk=0.0))

    # The band reaches from 0.94 to 1.94: the defect at 0.9 escapes, three defects and an ok are retaken, the ok at 5 is
    # called defect. Before, at 0, all defects were result, and two of three oks were called defect.
    names = ("escapes", "overkills", "retaken", "wrong")
    counts = {
        when: [(rate.count, rate.images) for rate in (getattr(outcome, name) for name in names)]
        for when, outcome in (("before", result.outcome_before), ("after", result.outcome_after))
    }
    assert counts == {"before": [(0, 5), (2, 3), (0, 8), (2, 8)], "after": [(1, 5), (1, 3), (4, 8), (2, 4)]}
    share = result.outcome_after.wrong.share
    assert share["value"] == 0.5
    assert share["low"] is not None
    assert share["high"] is not None
    assert 0 < share["low"] < 0.5 < share["high"] < 1


def test_equal_costs_separate_separable_classes(tmp_path: Path) -> None:
    result = tuned(tmp_path, DecisionPolicy(), out_of_fold=verdict_table([1, 2], [-3, -4]))

    assert result.after.threshold == pytest.approx((sigmoid(1) + sigmoid(-3)) / 2)
    assert result.after.retake_distance is None
    judge = manifest_of(tmp_path / "after")["judge"]
    assert judge
    assert "retake_distance" not in judge


@pytest.mark.parametrize(("escape", "overkill"), [(1.0, 1.0), (20.0, 1.0), (1.0, 7.0)])
def test_no_other_threshold_costs_less(tmp_path: Path, escape: float, overkill: float) -> None:
    out_of_fold = overlapping(1)
    result = tuned(tmp_path, DecisionPolicy(escape_cost=escape, overkill_cost=overkill), out_of_fold=out_of_fold)
    defect, chance = out_of_fold["label"] == "defect", out_of_fold["p_defect_denoised"]

    def cost(threshold: float) -> float:
        predicted = chance > threshold
        return escape * float((defect & ~predicted).sum()) + overkill * float((predicted & ~defect).sum())

    assert cost(result.after.threshold) == min(cost(threshold) for threshold in [0.0, *chance])


@pytest.mark.parametrize("most", [0.0, 0.01, 0.1])
def test_max_escape_chooses_the_highest_threshold(tmp_path: Path, most: float) -> None:
    out_of_fold = overlapping(2)
    result = tuned(tmp_path, DecisionPolicy(max_escape=most), out_of_fold=out_of_fold)
    probabilities = out_of_fold.loc[out_of_fold["label"] == "defect", "p_defect_denoised"].sort_values().to_numpy()

    assert (probabilities <= result.after.threshold).mean() <= most
    following = probabilities[probabilities > result.after.threshold][0]
    assert (probabilities <= following).mean() > most


@pytest.mark.parametrize("policy", [DecisionPolicy(max_risk=0.1), DecisionPolicy(max_escape=0.05, max_risk=0.1)])
def test_max_risk_chooses_the_smallest_retake_distance(tmp_path: Path, policy: DecisionPolicy) -> None:
    out_of_fold = overlapping(3)
    result = tuned(tmp_path, policy, out_of_fold=out_of_fold)
    threshold, distance = result.after.threshold, result.after.retake_distance
    assert distance
    true, probabilities = out_of_fold["label"].to_numpy(), out_of_fold["p_defect_denoised"].to_numpy()

    def risk(band: float) -> float:
        given = [DecisionRule(threshold=threshold, retake_distance=band).verdict(chance) for chance in probabilities]
        return float(
            np.mean(
                [predicted != each for predicted, each in zip(given, true, strict=True) if predicted != Verdict.RETAKE]
            )
        )

    distances = np.unique(np.abs(out_of_fold["logit_denoised"] - np.log(threshold / (1 - threshold))))
    assert risk(distance) <= 0.1
    bands = np.array([0.0, *(distances[:-1] + distances[1:]) / 2])  # no other ones retake other images
    assert all(risk(band) > 0.1 for band in bands[bands < distance - 1e-5])


@pytest.mark.parametrize("least", [0.5, 0.9])
def test_min_coverage_chooses_the_largest_retake_distance(tmp_path: Path, least: float) -> None:
    out_of_fold = overlapping(4)
    after = tuned(tmp_path, DecisionPolicy(min_coverage=least), out_of_fold=out_of_fold).after
    given = [after.verdict(chance) is not Verdict.RETAKE for chance in out_of_fold["p_defect_denoised"]]

    assert least <= np.mean(given) < least + 2 / len(out_of_fold)


# the bundle


def test_all_files_of_the_new_bundle_agree(tmp_path: Path) -> None:
    test = overlapping(5).assign(
        logit_reference=lambda table: table["logit_denoised"] + 1, said_reference="ok", brightness=97.5
    )
    result = tuned(tmp_path, DecisionPolicy(max_escape=0.02, max_risk=0.1), test=test, out_of_fold=overlapping(6))
    before, package = open_package(tmp_path / "before"), open_package(tmp_path / "after")
    package.check()
    assert package.manifest["fingerprint"] != before.manifest["fingerprint"]
    for name in FILES:
        assert package.read(name) == before.read(name)
    evidence = json.loads(package.read("evidence.json"))
    assert evidence == package.manifest["measured"] == result.evidence
    decision = evidence["decisions"]["denoised"]
    assert decision["asked"] == "at most 2% escapes"
    policy = json.loads(package.read("wishes.json"))
    assert (policy["max_escape"], policy["max_risk"], policy["min_coverage"]) == (0.02, 0.1, None)
    # The rates in the evidence, at a threshold of calibrated probabilities, equal those of the bundle's threshold.
    table = pd.read_csv(tmp_path / "after/predictions.csv")
    verdicts = np.array([result.after.verdict(chance) for chance in table["p_defect_denoised"]])
    predicted = (table["p_defect_denoised"] > result.after.threshold).to_numpy()
    defect = (table["label"] == "defect").to_numpy()
    assert (decision["chosen"]["escapes"], decision["chosen"]["overkills"]) == (
        (defect & ~predicted).sum(),
        (predicted & ~defect).sum(),
    )
    assert decision["retake"]["retaken"] == (verdicts == "retake").sum() == result.outcome_after.retaken.count > 0
    assert result.outcome_after.wrong.share == decision["retake"]["risk"]
    accuracy = evidence["classification"]["denoised"]["accuracy"]["value"]
    assert accuracy == pytest.approx((predicted == defect).mean())
    # The tables name the verdicts of the new threshold, and are otherwise as they were.
    assert (table["said_denoised"] == np.where(predicted, "defect", "ok")).all()
    threshold = np.log(result.after.threshold / (1 - result.after.threshold))
    assert (table["said_reference"] == np.where(table["logit_reference"] > threshold, "defect", "ok")).all()
    old = pd.read_csv(tmp_path / "before/predictions.csv")
    verdicts_said = ["said_denoised", "said_reference"]
    pd.testing.assert_frame_equal(old.drop(columns=verdicts_said), table.drop(columns=verdicts_said))
    # Golden samples and the drift reference have the new verdicts.
    golden = json.loads(package.read("golden.json"))
    expected = [result.after.verdict(chance) for chance in (0.2, 0.6, 0.95)]
    assert [each["verdict"] for each in golden] == [*expected, None]
    shares = json.loads(package.read("reference.json"))["verdicts"]
    assert shares == {kind: pytest.approx((verdicts == kind).mean()) for kind in ("ok", "defect", "retake")}


def test_tuning_twice_equals_tuning_once(tmp_path: Path) -> None:
    bundle = write_tunable(tmp_path / "bundle", overlapping(7), overlapping(8))
    tune_bundle(bundle, tmp_path / "other", DecisionPolicy(max_escape=0.5, min_coverage=0.5), console=QUIET)
    policy = DecisionPolicy(escape_cost=10)
    tune_bundle(bundle, tmp_path / "once", policy, console=QUIET)
    result = tune_bundle(tmp_path / "other", tmp_path / "twice.zip", policy, console=QUIET)

    assert result.before.retake_distance
    assert result.outcome_before.retaken.count
    assert manifest_of(tmp_path / "twice.zip") == manifest_of(tmp_path / "once")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "once", "other", "twice.zip"]


def test_a_bundle_tuned_to_the_same_rule_has_another_fingerprint(tmp_path: Path) -> None:
    bundle = write_tunable(tmp_path / "bundle", TESTED, APART)
    for name, policy in (("a", DecisionPolicy()), ("b", DecisionPolicy(escape_cost=1.01))):
        tune_bundle(bundle, tmp_path / name, policy, console=QUIET)

    prints = {manifest_of(tmp_path / name)["fingerprint"] for name in ("bundle", "a", "b")}
    assert len(prints) == 3


# refusals


def test_a_bundle_that_cannot_be_tuned_is_rejected(tmp_path: Path) -> None:
    silent = write_tunable(tmp_path / "silent", TESTED, None)
    with pytest.raises(OutputError, match=r"has no out-of-fold predictions \(validation.csv\)"):
        tune_bundle(silent, tmp_path / "out", DecisionPolicy(), console=QUIET)
    with pytest.raises(OutputError, match=r"expected rows with the columns label, .* in predictions\.csv"):
        tune_bundle(
            write_tunable(tmp_path / "old", TESTED.drop(columns="part"), APART),
            tmp_path / "out",
            DecisionPolicy(),
            console=QUIET,
        )
    with pytest.raises(OutputError, match="silent already exists"):
        tune_bundle(write_tunable(tmp_path / "whole", TESTED, APART), silent, DecisionPolicy(), console=QUIET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "silent", "whole"]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, "much"])
@pytest.mark.parametrize("which", ["test", "out_of_fold"])
def test_log_odds_that_are_not_finite_are_rejected(tmp_path: Path, which: str, wrong: float | str) -> None:
    tables = {"test": TESTED, "out_of_fold": TESTED}
    damaged = TESTED.astype({"logit_denoised": object})
    damaged.loc[0, "logit_denoised"] = wrong
    bundle = write_tunable(tmp_path / "bundle", **tables | {which: damaged})
    with pytest.raises(OutputError, match="has rows without finite log-odds of defect"):
        tune_bundle(bundle, tmp_path / "out", DecisionPolicy(), console=QUIET)


def test_a_bundle_without_a_classifier_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"gives no verdicts \(every part is ok\), so there is nothing to tune"):
        tune_bundle(
            write_bundle(tmp_path / "silent", has_classifier=False), tmp_path / "out", DecisionPolicy(), console=QUIET
        )


def test_a_target_that_cannot_be_met_is_rejected(tmp_path: Path) -> None:
    upside_down = verdict_table([-9, 1, 2], [9, -1, -2])  # the most confident are wrong
    with pytest.raises(
        RecipeError,
        match="even the most confident out-of-fold verdicts, on 6 images, are wrong more often",
    ):
        tuned(tmp_path, DecisionPolicy(max_risk=0.001), out_of_fold=upside_down)
    assert not (tmp_path / "after").exists()


def test_the_command_prints_the_choice_or_the_reason(tmp_path: Path) -> None:
    bundle = write_tunable(tmp_path / "bundle", TESTED, APART)
    done = invoke("tune", bundle, tmp_path / "out.zip", "--max-escape", 0.25, "--max-risk", 0)

    assert done.exit_code == 0, done.output
    table = {line.split("│")[1].strip(): line for line in done.output.splitlines() if line.count("│") > 3}
    assert "0.5000" in table["threshold"]
    assert "0.8059" in table["threshold"]
    assert "0.7158 and 0.8726" in table["retake between"]
    assert [text in table["escapes"] for text in ("0 of 5", "1 of 5")] == [True, True]
    assert [text in table["retakes"] for text in ("0 of 8", "4 of 8")] == [True, True]
    assert "Chosen on 8 validation images: at most 25% escapes." in done.output
    assert "Target: at most 0% wrong verdicts among those given." in done.output
    assert f"Bundle: {tmp_path / 'out.zip'}" in done.output
    for asked, why in (
        (("--max-risk", 0.1, "--min-coverage", 0.5), "give one"),
        (("--max-escape", 0.1, "--escape-cost", 2), "--max-escape replaces costs"),
        (("--escape-cost", 0), "expected a number above 0"),
    ):
        refused = invoke("tune", bundle, tmp_path / "other", *asked)
        assert isinstance(refused.exception, RecipeError)
        assert why in str(refused.exception)


def test_tuning_needs_no_torch(tmp_path: Path) -> None:
    bundle = write_tunable(tmp_path / "bundle", TESTED, APART)
    code = "from clearcast.cli import main; main()"
    command = [sys.executable, "-X", "importtime", "-c", code, "tune", str(bundle), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pandas" in loaded
    assert not {"torch", "lightning", "matplotlib"} & loaded


# from end to end


def test_a_real_bundle_gives_retake_after_tuning(bundle: Path, noisy_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    images = noisy_folder / "With-Noise"
    predicted = [each.p_defect for each in load(copy).predict(str(images))]
    logits = sorted(np.log(chance / (1 - chance)) for chance in predicted if chance is not None)
    middle, reach = float(np.median(logits)), float(np.std(logits))
    spread = np.linspace(-1, 1, 9) * reach
    out_of_fold = verdict_table([*(middle + spread + reach / 2)], [*(middle + spread - reach / 2)])
    add_tables(copy, out_of_fold, out_of_fold)

    done = invoke("tune", copy, tmp_path / "tuned.zip", "--max-risk", 0.1)

    assert done.exit_code == 0, done.output
    assert verify_bundle(tmp_path / "tuned.zip").golden_samples == 4
    loaded = load(tmp_path / "tuned.zip")
    assert loaded.retake_distance
    assert loaded.threshold
    rule = DecisionRule(threshold=loaded.threshold, retake_distance=loaded.retake_distance)
    low, high = rule.retake_range or (0, 0)
    expected = [
        "retake" if low < chance < high else "defect" if chance > loaded.threshold else "ok"
        for chance in predicted
        if chance
    ]
    assert [each.verdict for each in loaded.predict(str(images))] == expected
    assert len(set(expected)) == 3
    asked = ("predict", tmp_path / "tuned.zip", images, "--out", tmp_path / "r.csv")
    done = invoke(*asked, "--fail-on", "retake")
    assert done.exit_code == 3
    assert f"{expected.count('retake')} retake" in done.output
    assert pd.read_csv(tmp_path / "r.csv")["verdict"].tolist() == expected
    refused = invoke("predict", copy, images, "--out", tmp_path / "s.csv", "--fail-on", "retake")
    assert "never returns retake; enable it with 'clearcast tune'" in str(refused.exception)
