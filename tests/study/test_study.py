"""Study from end to end on a small data set: files, resuming, repetition, folds and errors."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import MissingDependencyError, OutputError, RecipeError, SheetError
from clearcast.core.evidence_schema import Stage
from clearcast.data.sheet import SheetColumns, read_sheet
from clearcast.metrics.image_quality import measure_image_quality
from clearcast.metrics.lpips import Lpips
from clearcast.metrics.results import QualityMetrics, StudyMetrics, WarningKind
from clearcast.noise import GaussianNoise, corrupt_image
from clearcast.noise.registry import NoiseType
from clearcast.study import (
    SplitChoice,
    StudyRequest,
    has_evidence_inputs,
    parse_split_option,
    parse_stages,
    run_cross_validation,
    run_study,
    write_evidence,
)
from clearcast.study.robustness import SWEEP_IMAGES, SWEEP_LEVELS, make_noise_of_strength, sample_rows_across_groups
from clearcast.train.recipe import load_recipe, override_recipe, parse_recipe
from clearcast.train.split_choice import SplitKind

SIZE = 32
RUN_STUDY_MODULE = sys.modules[run_study.__module__]  # the package exports a function of the module's name


def make_request(sheet: Path, out: Path, stages: str = "0,1,2,3,4") -> StudyRequest:
    return StudyRequest(
        sheet=read_sheet(sheet),
        recipe=override_recipe(load_recipe("report"), size=SIZE, epochs=2),
        out=out,
        seed=5,
        stages=parse_stages(stages),
        accelerator="cpu",
        offline=True,
        console=Console(file=StringIO()),
    )


@pytest.fixture(scope="module")
def sheet(noisy_folder: Path) -> Path:
    return noisy_folder / "Labels.xlsx"


@pytest.fixture(scope="module")
def finished(sheet: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRequest, StudyMetrics]:
    request = make_request(sheet, tmp_path_factory.mktemp("study") / "run")
    return request, run_study(request)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_stages_and_the_transfer_are_run(finished: tuple[StudyRequest, StudyMetrics]) -> None:
    request, metrics = finished
    assert list(metrics["stages"]) == [stage.value for stage in Stage]
    assert json.loads((request.out / "metrics.json").read_text()) == metrics
    for stage in ("reference", "noisy", "noise_type", "denoising", "denoised"):
        assert len((request.out / stage / "history.csv").read_text().splitlines()) == 3
        assert (request.out / stage / "model.safetensors").exists()


def test_all_stages_share_one_split(finished: tuple[StudyRequest, StudyMetrics]) -> None:
    request, metrics = finished
    split = pd.read_csv(request.out / "split.csv")
    test = set(split.row[split.split == "test"])
    assert len(split) == len(request.sheet.rows) == 36
    assert set(split.split) == {"train", "validation", "test"}
    assert split.groupby("part").split.nunique().max() == 1  # whole parts
    for stage in Stage:
        assert set(pd.read_csv(request.out / stage / "predictions.csv").row) == test
    assert sum(counts["label"]["ok"] for counts in metrics["run"]["counts"].values()) == 18


def test_metrics_follow_from_the_predictions(finished: tuple[StudyRequest, StudyMetrics]) -> None:
    request, metrics = finished
    table = pd.read_csv(request.out / "predictions.csv")
    for stage in (Stage.REFERENCE, Stage.NOISY, Stage.DENOISED, Stage.TRANSFER):
        result = metrics["stages"][stage]
        assert result["kind"] == "classification"
        assert result["metrics"]["accuracy"] == pytest.approx((table[f"said_{stage}"] == table.label).mean())
        assert ((table[f"p_defect_{stage}"] > 0.5) == (table[f"said_{stage}"] == "defect")).all()
    assert (
        table.said_noise_type == table[["p_gaussian", "p_salt_and_pepper", "p_periodic"]].idxmax(axis=1).str[2:]
    ).all()
    denoising_result = metrics["stages"]["denoising"]
    assert denoising_result["kind"] == "restoration"
    assert denoising_result["denoised"]["all"]["psnr"]["mean"] == pytest.approx(table.psnr_denoised.mean(), abs=1e-5)
    periodic = table[table.noise_type == "periodic"]
    assert denoising_result["noisy"]["periodic"]["ssim"]["mean"] == pytest.approx(periodic.ssim_noisy.mean(), abs=1e-5)


def test_image_quality_is_that_of_the_files(finished: tuple[StudyRequest, StudyMetrics]) -> None:
    request, _ = finished
    line = pd.read_csv(request.out / "predictions.csv").iloc[0]
    denoised = imaging.load_image(request.out / line.denoised, Channels.RGB)
    reference = imaging.load_image(request.sheet.resolve(line.reference), Channels.RGB)
    result = measure_image_quality(denoised, imaging.resize_image(reference, SIZE, SIZE))
    assert (result.psnr, result.ssim) == pytest.approx((line.psnr_denoised, line.ssim_denoised), abs=1e-5)


def test_unavailable_lpips_is_a_note(finished: tuple[StudyRequest, StudyMetrics]) -> None:
    _, metrics = finished
    stage = metrics["stages"]["denoising"]
    assert stage["kind"] == "restoration"
    assert stage["denoised"]["all"]["lpips"] is None
    assert stage["lpips_note"]


def test_finished_run_is_kept_without_resume_or_force(finished: tuple[StudyRequest, StudyMetrics]) -> None:
    request, metrics = finished
    before = files(request.out)
    with pytest.raises(OutputError, match=r"already holds a run; resume it with --resume, or replace it with --force"):
        run_study(request)
    assert files(request.out) == before
    assert run_study(replace(request, resume=True)) == metrics
    assert {path: data for path, data in files(request.out).items() if path.suffix == ".ckpt"}.items() <= before.items()


def test_resume_refuses_another_configuration(finished: tuple[StudyRequest, StudyMetrics]) -> None:
    request, _ = finished
    with pytest.raises(
        OutputError, match=r"another configuration \(seed was 5, now 6\); use the same options, or another"
    ):
        run_study(replace(request, seed=6, resume=True))


def test_resume_refuses_another_column_of_labels(finished: tuple[StudyRequest, StudyMetrics]) -> None:
    request, _ = finished
    other = replace(request.sheet, columns=SheetColumns(label="Denoise Image"))
    with pytest.raises(OutputError, match=r"columns\.label was None, now 'Denoise Image'"):
        run_study(replace(request, sheet=other, resume=True))


def test_run_of_a_moved_data_set_can_be_resumed(
    finished: tuple[StudyRequest, StudyMetrics], noisy_folder: Path, tmp_path: Path
) -> None:
    request, metrics = finished
    shutil.copytree(noisy_folder, tmp_path / "moved")
    moved = replace(request, sheet=read_sheet(tmp_path / "moved" / "Labels.xlsx"), resume=True)
    again = run_study(moved)
    assert again["run"]["root"] == str(tmp_path / "moved")
    assert again["stages"] == metrics["stages"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resume": True, "force": True}, "--resume continues a run and --force deletes it"),
        ({"repeat": True}, "give --resume with it"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    finished: tuple[StudyRequest, StudyMetrics], options: dict[str, bool], message: str
) -> None:
    request, _ = finished
    before = files(request.out)
    with pytest.raises(OutputError, match=message):
        run_study(replace(request, **options))  # type: ignore[arg-type]
    assert files(request.out) == before


@pytest.fixture
def copied(finished: tuple[StudyRequest, StudyMetrics], tmp_path: Path) -> StudyRequest:
    """A copy of the finished run, to be resumed."""
    request, _ = finished
    shutil.copytree(request.out, tmp_path / "run")
    return replace(request, out=tmp_path / "run", resume=True)


def test_repeating_a_stage_repeats_the_stages_that_depend_on_it(
    finished: tuple[StudyRequest, StudyMetrics], copied: StudyRequest
) -> None:
    _, metrics = finished
    kept = (copied.out / "reference/result.json").stat().st_mtime_ns
    repeated_results = [copied.out / stage / "result.json" for stage in ("denoising", "denoised", "transfer")]
    before = [path.stat().st_mtime_ns for path in repeated_results]
    again = run_study(replace(copied, repeat=True, stages=(Stage.DENOISING,)))
    assert all(path.stat().st_mtime_ns > time for path, time in zip(repeated_results, before, strict=True))
    assert (copied.out / "reference/result.json").stat().st_mtime_ns == kept
    for stage in (Stage.DENOISED, Stage.TRANSFER):
        first, second = metrics["stages"][stage], again["stages"][stage]
        assert first["kind"] == second["kind"] == "classification"
        assert first["metrics"] == second["metrics"]  # the same seed, the same result


@pytest.mark.parametrize(
    ("name", "stage"),
    [("run.json", None), ("noisy/predictions.csv", None), ("noisy/result.json", None), ("noisy/last.ckpt", "noisy")],
)
def test_damaged_file_of_the_run_is_named(copied: StudyRequest, name: str, stage: str | None) -> None:
    path = copied.out / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3] if name != "noisy/predictions.csv" else b"")
    if stage:  # as if the fit had been interrupted
        (copied.out / stage / "result.json").unlink()
        (copied.out / stage / "fitted.json").unlink()
    with pytest.raises(OutputError, match=f"{name} is damaged"):
        run_study(copied)


def test_edited_split_is_refused(copied: StudyRequest) -> None:
    path = copied.out / "split.csv"
    path.write_text(path.read_text().replace(",train", ",validation", 1))
    with pytest.raises(OutputError, match=r"split\.csv was changed after the run was started"):
        run_study(copied)


def test_operating_targets_are_kept_until_replaced(copied: StudyRequest) -> None:
    def decided_by(**targets: float) -> set[str]:
        evidence = write_evidence(copied.out, targets, copied.console)
        return {decision["asked"] for decision in evidence["decisions"].values()}

    assert decided_by(escape_cost=20) == {"an escape costs 20, an overkill 1"}
    assert decided_by(min_coverage=0.9) == {"an escape costs 20, an overkill 1"}
    assert decided_by(max_escape=0.01) == {"at most 1% escapes"}
    assert decided_by(max_risk=0.1) == {"at most 1% escapes"}
    assert decided_by() == {"at most 1% escapes"}
    assert decided_by(overkill_cost=2) == {"an escape costs 20, an overkill 2"}


@pytest.mark.parametrize("name", ["predictions.csv", "validation.csv", "robustness.csv"])
def test_damaged_table_is_named_when_evidence_is_computed(copied: StudyRequest, name: str) -> None:
    (copied.out / name).write_bytes(b"")
    with pytest.raises(OutputError, match=f"{name} is damaged"):
        write_evidence(copied.out, {}, copied.console)
    if name == "predictions.csv":
        with pytest.raises(OutputError, match=f"{name} is damaged"):
            has_evidence_inputs(copied.out)
    (copied.out / "predictions.csv").unlink()
    with pytest.raises(OutputError, match=r"has no predictions\.csv; expected a run directory"):
        write_evidence(copied.out, {}, copied.console)


def test_lpips_is_added_once_its_weights_are_available(
    finished: tuple[StudyRequest, StudyMetrics], copied: StudyRequest, tmp_path: Path
) -> None:
    _, before = finished
    weights = tmp_path / "alexnet.pth"
    torch.save({f"features.{name}": value for name, value in Lpips().features.state_dict().items()}, weights)
    recipe = override_recipe(load_recipe("report"), size=64, epochs=1)
    request = replace(copied, recipe=recipe, out=tmp_path / "larger", resume=False, stages=(Stage.DENOISING,))
    assert denoised_quality(run_study(request))["lpips"] is None
    measured = denoised_quality(run_study(replace(request, resume=True, lpips_backbone=weights)))
    assert measured["lpips"] is not None
    assert denoised_quality(before)["images"] == measured["images"]


def denoised_quality(metrics: StudyMetrics) -> QualityMetrics:
    stage = metrics["stages"]["denoising"]
    assert stage["kind"] == "restoration"
    return stage["denoised"]["all"]


def test_missing_lpips_backbone_fails_before_training(sheet: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="no such file"):
        run_study(replace(make_request(sheet, tmp_path / "run"), lpips_backbone=tmp_path / "none.pth"))
    assert not (tmp_path / "run").exists()


def test_early_stopping_needs_validation_rows(sheet: Path, tmp_path: Path) -> None:
    request = make_request(sheet, tmp_path / "run", "2")
    values = request.recipe.model_dump()
    values["classifier"]["patience"] = 3
    at_random = SplitChoice(kind=SplitKind.RANDOM)
    with pytest.raises(
        SheetError, match=r"needs validation rows for early stopping, but of 36 rows none is for validation"
    ):
        run_study(replace(request, recipe=parse_recipe(values, "mine"), split=at_random))


@pytest.fixture
def shared_reference_sheet(noisy_folder: Path, tmp_path: Path) -> Path:
    """A copy of the sheet in which all ok rows have one reference image; its path."""
    shutil.copytree(noisy_folder, tmp_path / "data")
    table = pd.read_excel(tmp_path / "data/Labels.xlsx", engine="calamine")
    ok = table["Denoise Image"].str.contains("_ok_")
    table.loc[ok, "Denoise Image"] = table.loc[ok, "Denoise Image"].iloc[0]
    part = imaging.load_image(tmp_path / "data" / table.loc[ok, "Denoise Image"].iloc[0], Channels.GREY)
    for seed, noisy in enumerate(table.loc[ok, "Noisy Image"]):
        imaging.save_image(
            tmp_path / "data" / noisy, corrupt_image(part, GaussianNoise(0.1), np.random.default_rng(seed))
        )
    table.to_excel(tmp_path / "data/Labels.xlsx", index=False)
    return tmp_path / "data/Labels.xlsx"


def test_random_split_warns_of_leakage(shared_reference_sheet: Path, tmp_path: Path) -> None:
    printed = StringIO()
    at_random = SplitChoice(kind=SplitKind.RANDOM)
    request = replace(
        make_request(shared_reference_sheet, tmp_path / "run", "2"), split=at_random, console=Console(file=printed)
    )
    metrics = run_study(request)
    run = metrics["run"]
    tested = run["counts"]["test"]["label"]["ok"]
    shared, same_file, *_ = run["warnings"]
    assert (shared["kind"], same_file["kind"]) == (WarningKind.SHARED_PARTS, WarningKind.SHARED_FILES)
    by_part, by_file = shared["text"], same_file["text"]
    leaked = run["groups"]["leaked_test_images"]
    assert by_part.startswith(f"{leaked} of 7 test images show a part that was also trained on")
    assert by_file.startswith(f"{tested} of 7 test rows have a reference image that is identical to")
    assert leaked >= tested
    assert "validation" not in run["counts"]  # as published
    assert "Warning: " + by_part in printed.getvalue().replace("\n", " ")


def test_groups_that_would_leak_an_image_are_refused(shared_reference_sheet: Path, tmp_path: Path) -> None:
    sheet = read_sheet(shared_reference_sheet)
    groups = tmp_path / "groups.csv"
    groups.write_text("path,group\n" + "".join(f"{row.noisy},{row.number}\n" for row in sheet.rows))
    request = replace(
        make_request(shared_reference_sheet, tmp_path / "run", "2"),
        split=SplitChoice(kind=SplitKind.GROUPED, groups=groups),
    )
    message = r"share an identical image with .* row \d+ of the sheet, .* so the split would leak"
    with pytest.raises(SheetError, match=message):
        run_study(request)
    assert not request.out.exists()


@pytest.mark.parametrize("run", [run_study, run_cross_validation])
def test_refused_study_deletes_no_older_run(
    run: Callable[[StudyRequest], StudyMetrics], shared_reference_sheet: Path, tmp_path: Path
) -> None:
    split = SplitChoice(folds=2) if run is run_cross_validation else SplitChoice()
    request = replace(make_request(shared_reference_sheet, tmp_path / "run", "4"), split=split, force=True)
    older = tmp_path / "run" / "run.json"
    older.parent.mkdir()
    question = {"recipe": {"name": "report"}}  # of a study, but another one
    before = json.dumps({"format": 1, "started": "2026-01-01T00:00:00+00:00", "question": question})
    older.write_text(before)
    with pytest.raises(OutputError, match="stage denoised depends on denoising"):
        run(request)
    groups = tmp_path / "groups.csv"
    groups.write_text("path,group\n" + "".join(f"{row.noisy},{row.number}\n" for row in request.sheet.rows))
    leaking = replace(split, kind=SplitKind.GROUPED, groups=groups)
    with pytest.raises(SheetError, match="so the split would leak"):
        run(replace(request, stages=(Stage.NOISY,), split=leaking))
    assert older.read_text() == before


def test_saved_split_is_reused(finished: tuple[StudyRequest, StudyMetrics], tmp_path: Path) -> None:
    request, _ = finished
    split = request.out / "split.csv"
    again = replace(
        request, out=tmp_path / "run", stages=(Stage.NOISE_TYPE,), split=SplitChoice(**parse_split_option(str(split)))
    )
    run = run_study(again)["run"]
    assert (run["split_kind"], run["groups"]["source"]) == ("file", "split")
    assert (tmp_path / "run" / "split.csv").read_text() == split.read_text()


def test_corrected_groups_apply_to_a_saved_split(finished: tuple[StudyRequest, StudyMetrics], tmp_path: Path) -> None:
    request, _ = finished
    groups = tmp_path / "groups.csv"
    groups.write_text("path,group\n" + "".join(f"{row.noisy},one\n" for row in request.sheet.rows))
    split = SplitChoice(**parse_split_option(str(request.out / "split.csv")), groups=groups)
    run = run_study(replace(request, out=tmp_path / "run", stages=(Stage.NOISE_TYPE,), split=split))["run"]
    assert run["groups"]["parts"] == 1
    assert run["groups"]["leaked_test_images"] == run["groups"]["test_images"] > 0


def test_saved_split_needs_training_and_test_rows(finished: tuple[StudyRequest, StudyMetrics], tmp_path: Path) -> None:
    request, _ = finished
    saved = tmp_path / "split.csv"
    saved.write_text((request.out / "split.csv").read_text().replace(",test,", ",train,"))
    split = SplitChoice(**parse_split_option(str(saved)))
    with pytest.raises(SheetError, match=r"no row has test in .*split\.csv"):
        run_study(replace(request, out=tmp_path / "run", stages=(Stage.NOISE_TYPE,), split=split))


@pytest.fixture(scope="module")
def folds(sheet: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRequest, StudyMetrics]:
    request = replace(make_request(sheet, tmp_path_factory.mktemp("folds") / "run"), split=SplitChoice(folds=3))
    return request, run_cross_validation(request)


def test_each_row_is_tested_in_one_fold(folds: tuple[StudyRequest, StudyMetrics]) -> None:
    request, metrics = folds
    table = pd.read_csv(request.out / "predictions.csv")
    assert sorted(table.row) == [row.number for row in request.sheet.rows]
    assert table.groupby("part").fold.nunique().max() == 1
    assert all((request.out / name).exists() for name in table.denoised)
    assert metrics["run"]["folds"] == 3
    for stage in (Stage.NOISY, Stage.DENOISED):
        result = metrics["stages"][stage]
        assert result["kind"] == "classification"
        assert result["metrics"]["accuracy"] == pytest.approx((table[f"said_{stage}"] == table.label).mean())
    assert denoised_quality(metrics)["psnr"]["mean"] == pytest.approx(table.psnr_denoised.mean(), abs=1e-5)
    assert set(pd.read_csv(request.out / "validation.csv").fold) == {1, 2, 3}
    assert len(pd.read_csv(request.out / "robustness.csv")) == 36 * 3 * 6


def test_interrupted_repetition_of_folds_can_be_resumed(
    folds: tuple[StudyRequest, StudyMetrics], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, _ = folds
    shutil.copytree(request.out, tmp_path / "run")
    again = replace(request, out=tmp_path / "run", resume=True, repeat=True, stages=(Stage.NOISE_TYPE,))
    with pytest.raises(OutputError, match="give --resume with it"):
        run_cross_validation(replace(again, resume=False))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RUN_STUDY_MODULE, "run_classification_stage", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_cross_validation(again)
    assert not list((tmp_path / "run").glob("fold-*/noise_type/result.json"))
    assert len(list((tmp_path / "run").glob("fold-*/noisy/result.json"))) == 3
    run_cross_validation(replace(again, repeat=False))
    assert len(list((tmp_path / "run").glob("fold-*/noise_type/result.json"))) == 3


def test_interrupted_folds_can_be_resumed(folds: tuple[StudyRequest, StudyMetrics], tmp_path: Path) -> None:
    request, metrics = folds
    shutil.copytree(request.out, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "fold-3")
    kept = (tmp_path / "run/fold-2/noisy/result.json").stat().st_mtime_ns
    with pytest.raises(OutputError, match="already holds a run"):
        run_cross_validation(replace(request, out=tmp_path / "run"))
    again = run_cross_validation(replace(request, out=tmp_path / "run", resume=True))
    assert (tmp_path / "run/fold-2/noisy/result.json").stat().st_mtime_ns == kept
    assert {name: stage["kind"] for name, stage in again["stages"].items()} == {
        name: stage["kind"] for name, stage in metrics["stages"].items()
    }
    assert again["stages"]["noisy"] == metrics["stages"]["noisy"]


def test_folds_without_robustness_delete_older_results(
    folds: tuple[StudyRequest, StudyMetrics], tmp_path: Path
) -> None:
    request, _ = folds
    shutil.copytree(request.out, tmp_path / "run")
    again = replace(request, out=tmp_path / "run", stages=(Stage.NOISY,), resume=True, repeat=True, robustness=False)
    run_cross_validation(again)
    assert (request.out / "robustness.csv").exists()
    assert not (again.out / "robustness.csv").exists()


@pytest.mark.parametrize(("stages", "left"), [("1", {"reference", "noise_type", "denoising", "denoised"}), ("", set())])
def test_interrupted_repetition_leaves_no_older_metrics(
    copied: StudyRequest, monkeypatch: pytest.MonkeyPatch, stages: str, left: set[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RUN_STUDY_MODULE, "run_classification_stage", stop)
    chosen = parse_stages(stages) if stages else copied.stages
    (copied.out / "evidence.json").write_text("{}")
    with pytest.raises(KeyboardInterrupt):
        run_study(replace(copied, stages=chosen, resume=True, repeat=True))
    assert not (copied.out / "evidence.json").exists()
    path = copied.out / "metrics.json"
    assert path.exists() == bool(left)
    if left:
        assert set(json.loads(path.read_text())["stages"]) == left
        assert "p_defect_noisy" not in pd.read_csv(copied.out / "predictions.csv").columns


def test_robustness_at_rising_noise_levels(finished: tuple[StudyRequest, StudyMetrics]) -> None:
    request, metrics = finished
    table = pd.read_csv(request.out / "robustness.csv")
    tested = metrics["run"]["counts"]["test"]["label"]
    assert len(table) == sum(tested.values()) * sum(len(levels) + 1 for levels in SWEEP_LEVELS.values())
    noisy = table[table.level > 0]
    means = noisy.groupby(["noise_type", "level"]).psnr_noisy.mean()
    assert means.groupby("noise_type").is_monotonic_decreasing.all()
    predictions = pd.read_csv(request.out / "predictions.csv").set_index("row")
    clean = table[(table.level == 0) & (table.noise_type == "gaussian")].set_index("row")
    assert clean.psnr_noisy.isna().all()
    assert set(clean.index) == set(predictions.index)
    assert noisy[["p_defect_noisy", "p_defect_denoised", "psnr_denoised", "ssim_denoised"]].notna().all().all()


@pytest.mark.parametrize("kind", list(SWEEP_LEVELS))
def test_noise_level_has_the_requested_strength(kind: NoiseType) -> None:
    grey = np.full((256, 256), 128, np.uint8)
    for strength in SWEEP_LEVELS[kind][:3]:
        rng = np.random.default_rng(3)
        noisy = corrupt_image(grey, make_noise_of_strength(kind, strength, grey.shape, rng), rng) / 255
        if kind is NoiseType.SALT_AND_PEPPER:
            assert np.isin(noisy, (0, 1)).mean() == pytest.approx(strength, rel=0.1)
        else:
            assert (noisy - 128 / 255).std() == pytest.approx(strength, rel=0.1)


def test_sampled_rows_are_spread_over_the_parts() -> None:
    parts = ["many"] * 400 + [f"single {number}" for number in range(100)]
    chosen = sample_rows_across_groups(range(500), parts, 7)
    assert len(chosen) == SWEEP_IMAGES
    assert sum(parts[row] != "many" for row in chosen) == 100


def test_sampled_rows_of_a_sorted_sheet_have_both_labels() -> None:
    singles = [str(row) for row in range(4 * SWEEP_IMAGES)]
    chosen = sample_rows_across_groups(range(len(singles)), singles, 7)
    assert len(chosen) == SWEEP_IMAGES
    first_half = sum(row < len(singles) // 2 for row in chosen)
    assert SWEEP_IMAGES / 3 < first_half < 2 * SWEEP_IMAGES / 3


def test_stages_can_be_run_one_by_one(sheet: Path, tmp_path: Path) -> None:
    request = make_request(sheet, tmp_path / "run", "2")
    assert set(run_study(request)["stages"]) == {"noise_type"}
    with pytest.raises(
        OutputError, match=r"stage denoised depends on denoising, which .* use --stages denoising,denoised"
    ):
        run_study(replace(request, stages=(Stage.DENOISED,), resume=True))


def test_force_replaces_a_run_but_nothing_else(sheet: Path, tmp_path: Path) -> None:
    kept = tmp_path / "mine" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(OutputError, match="is not empty and not a run of Clearcast"):
        run_study(replace(make_request(sheet, kept.parent, "2"), force=True))
    assert kept.read_text() == "mine"
    request = make_request(sheet, tmp_path / "run", "2")
    run_study(request)
    (request.out / "old").touch()
    run_study(replace(request, force=True))
    assert not (request.out / "old").exists()


@pytest.fixture
def damaged(noisy_folder: Path, tmp_path: Path) -> Path:
    """A copy of the data set with one truncated and one missing image; the path of its sheet."""
    folder = tmp_path / "noisy"
    shutil.copytree(noisy_folder, folder)
    first, second, *_ = sorted((folder / "With-Noise").rglob("*.jpeg"))
    first.write_bytes(first.read_bytes()[:-200])
    second.unlink()
    return folder / "Labels.xlsx"


def test_bad_images_are_reported_before_training(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(
        SheetError,
        match=r"2 of 36 rows cannot be used:\n.*\n.*\nRead .*header in row 1, rows 2 to 37\. See all with 'clearcast",
    ) as caught:
        run_study(make_request(damaged, tmp_path / "run", "2"))
    assert "truncated" in str(caught.value)
    assert "no such file" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_bad_images_can_be_left_out(damaged: Path, tmp_path: Path) -> None:
    request = replace(make_request(damaged, tmp_path / "run", "2"), skip_bad=True)
    metrics = run_study(request)
    assert len(metrics["run"]["left_out"]) == 2
    assert len(pd.read_csv(request.out / "split.csv")) == 34


def test_a_class_that_cannot_be_learned_is_refused(sheet: Path, tmp_path: Path) -> None:
    whole = read_sheet(sheet)
    ok = replace(whole, rows=tuple(row for row in whole.rows if row.label == "ok"))
    with pytest.raises(SheetError, match="no training row has the label defect"):
        run_study(replace(make_request(sheet, tmp_path / "run"), sheet=ok))
    gaussian = replace(whole, rows=tuple(row for row in whole.rows if row.noise_type == "gaussian"))
    with pytest.raises(SheetError, match="all rows have one noise type"):
        run_study(replace(make_request(sheet, tmp_path / "other"), sheet=gaussian))


@pytest.mark.parametrize(("text", "expected_name"), [("5", "5"), ("noise", "noise"), ("", "''")])
def test_unknown_stages_are_named(text: str, expected_name: str) -> None:
    with pytest.raises(RecipeError, match=f"unknown stage {expected_name}; expected one of 0, 1, 2, 3, 4, reference"):
        parse_stages(text)
