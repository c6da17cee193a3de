"""Distillation: a student bundle passes the parity check, inspects, and denoises on demand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from safetensors.torch import load_file

import clearcast
from clearcast.bundle.archive import open_package
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError, RecipeError
from clearcast.data.sheet import read_sheet
from clearcast.evaluation.benchmark.entrants import load_bundle_entrants
from clearcast.inference.inspector import Inspector
from clearcast.inference.verification import verify_bundle
from clearcast.nn.denoiser import SMALL_DETAIL, ClearDenoiser, denoise_tiled
from clearcast.pipelines.distill import DistillRequest, distill_bundle, make_distill_request
from clearcast.pipelines.export import SheetLocation, export_bundle
from clearcast.pipelines.networks import freeze
from clearcast.pipelines.train import train_bundle
from clearcast.pipelines.training_data import TrainRequest
from clearcast.train.training_budget import DistillationPlan, StepTimes, plan_distillation
from tests.bundle.manifests import read_manifest
from tests.pipelines.short_training import shorten_training

QUIET = Console(quiet=True)


def shorten_distillation(patch: pytest.MonkeyPatch) -> None:
    """Few and small steps; graphs are written and their parity is checked, since a student is made for speed."""
    patch.setattr("clearcast.pipelines.distillation_setup.STUDENT_STEPS", 2)
    patch.setattr("clearcast.pipelines.distillation_setup.STUDENT_DETAIL_STEPS", 2)
    for module in ("training_budget", "denoiser_training", "distillation", "datasets"):
        patch.setattr(f"clearcast.train.{module}.EPOCH_STEPS", 1)
    patch.setattr("clearcast.train.distillation.DISTILLATION_BATCH", 2)
    patch.setattr("clearcast.train.linear_probes._STEPS", 20)
    for module in ("distill", "distillation_setup"):
        patch.setattr(f"clearcast.pipelines.{module}.DISTILLATION_VIEWS", 2)


@pytest.fixture(scope="module")
def teacher(noisy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "teacher"
    sheet = read_sheet(noisy_folder / "Labels.xlsx")
    with pytest.MonkeyPatch.context() as patch:
        shorten_training(patch)
        train_bundle(TrainRequest(sheet=sheet, out=out, seed=3, accelerator="cpu", console=QUIET))
    return out


def request(teacher: Path, out: Path, *, resume: bool = False, budget: float | None = None) -> DistillRequest:
    return make_distill_request(
        teacher, out, SheetLocation(), accelerator="cpu", console=QUIET, resume=resume, budget=budget
    )


@pytest.fixture(scope="module")
def quick(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "quick"
    with pytest.MonkeyPatch.context() as patch:
        shorten_distillation(patch)
        distill_bundle(request(teacher, out))
    return out


def test_a_student_is_a_complete_bundle_and_names_its_teacher(quick: Path, teacher: Path) -> None:
    assert verify_bundle(quick).golden_samples > 0
    manifest, of_teacher = read_manifest(quick), read_manifest(teacher)
    assert manifest["recipe"] == "glance"
    assert manifest["distilled_from"] == f"teacher {of_teacher['fingerprint'][:8]}"
    assert "sharpness" not in json.loads((quick / "reference.json").read_text())["numbers"]
    assert manifest["trained_on"] == of_teacher["trained_on"]
    assert manifest["parity"]["flips"] == 0
    assert (quick / "split.csv").read_bytes() == (teacher / "split.csv").read_bytes()
    assert not (quick / "work").exists()


def test_a_student_predicts_verdicts_levels_and_evidence_without_denoising(quick: Path, noisy_folder: Path) -> None:
    bundle = clearcast.load(quick)
    inspections = list(bundle.predict(noisy_folder / "With-Noise", evidence=True))
    assert all(not each.error and each.verdict and each.noise_type for each in inspections)
    assert all(each.restored is None and each.evidence is not None for each in inspections)
    first = inspections[0]
    assert first.looks is not None
    assert first.looks.sharpness is None
    assert first.picture is not None
    np.testing.assert_array_equal(first.picture, imaging.load_image(Path(first.path), bundle.inspector.channels))


def test_images_are_denoised_by_the_small_denoiser_without_changing_verdicts(quick: Path, noisy_folder: Path) -> None:
    source = noisy_folder / "With-Noise"
    without = list(clearcast.load(quick).predict(source))
    small = ClearDenoiser(1, SMALL_DETAIL)
    small.load_state_dict(load_file(quick / "restorer.safetensors"))
    for inspection, before in zip(clearcast.load(quick).predict(source, restored=True), without, strict=True):
        for name in ("verdict", "p_defect", "noise_level"):
            assert getattr(inspection, name) == getattr(before, name)
        denoised, _ = denoise_tiled(freeze(small), imaging.load_image(Path(inspection.path), Channels.GREY))
        assert inspection.restored is not None
        assert np.abs(inspection.restored.astype(int) - denoised).max() <= 1


def test_large_images_are_classified_whole_and_denoised_in_tiles(quick: Path) -> None:
    inspector = Inspector(open_package(quick))
    assert not inspector.always_denoises
    image = np.random.default_rng(1).integers(0, 256, (1030, 1100), dtype=np.uint8)
    prediction = inspector._model.predict(image)
    assert prediction.denoised is not None
    assert prediction.denoised.shape == (1030, 1100)


def test_a_student_is_measured_on_the_test_rows_of_its_teacher(quick: Path, teacher: Path) -> None:
    of_student, of_teacher = (pd.read_csv(folder / "predictions.csv") for folder in (quick, teacher))
    assert of_student["row"].tolist() == of_teacher["row"].tolist()
    validation = pd.read_csv(quick / "validation.csv")
    assert not set(validation["row"]) & set(of_student["row"])


def test_a_resumed_distillation_gives_the_same_bundle(
    quick: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_distillation(monkeypatch)
    monkeypatch.setattr(
        "clearcast.pipelines.bundle_writer.write_onnx_graphs", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        distill_bundle(request(teacher, tmp_path / "again"))
    with pytest.raises(OutputError, match="already holds a run; resume it with --resume"):
        distill_bundle(request(teacher, tmp_path / "again"))
    monkeypatch.setattr("clearcast.pipelines.bundle_writer.write_onnx_graphs", lambda *_: {})
    monkeypatch.setattr("clearcast.pipelines.bundle_writer.OnnxModel", lambda *_: None)
    monkeypatch.setattr("clearcast.pipelines.bundle_writer.check_parity", lambda *_: read_manifest(quick)["parity"])
    manifest = distill_bundle(request(teacher, tmp_path / "again", resume=True))
    for name in ("glance.safetensors", "restorer.safetensors", "predictions.csv", "validation.csv"):
        assert manifest["files"][name] == read_manifest(quick)["files"][name]


def test_a_budget_is_allotted_to_views_and_then_to_steps() -> None:
    times = StepTimes(steps={"glance": 0.5, "detail": 0.2}, view=0.01, measurement=0.1)
    largest = DistillationPlan(glance=0, detail=0, rows=800, judged=900)
    plan = plan_distillation(20, times, largest, test_rows=200)
    left = 20 * 60 - 75 - 200 * 0.1 - 4 * (800 + 900) * 0.01
    assert (plan.rows, plan.judged) == (800, 900)
    assert 0 <= 0.75 * left - 0.5 * plan.glance < 0.5 * 50
    assert 0 <= 0.25 * left - 0.2 * plan.detail < 0.2 * 50
    scarce = plan_distillation(2, times, replace(largest, rows=9_000, judged=100_000), test_rows=100)
    assert 100 <= scarce.rows < 9_000
    assert 100 <= scarce.judged < 100_000
    assert 4 * (scarce.rows + scarce.judged) * 0.01 + 0.5 * scarce.glance + 0.2 * scarce.detail + 0.1 * 100 <= 120
    slow = StepTimes(steps={"glance": 9, "detail": 9}, view=1, measurement=5)
    assert plan_distillation(2, slow, largest, test_rows=900).glance == 50, "one epoch in any case"


def test_the_plan_is_decided_once_from_measured_step_times(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_distillation(monkeypatch)
    plans: list[DistillationPlan] = []

    def plan(minutes: float, times: StepTimes, largest: DistillationPlan, *, test_rows: int) -> DistillationPlan:
        assert minutes == 5
        assert min(*times.steps.values(), times.view, times.measurement) > 0
        assert test_rows > 0
        plans.append(replace(largest, glance=3))
        return plans[0]

    monkeypatch.setattr("clearcast.pipelines.distillation_setup.plan_distillation", plan)
    monkeypatch.setattr(
        "clearcast.pipelines.bundle_writer.write_onnx_graphs", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            distill_bundle(request(teacher, tmp_path / "budget", budget=5.0, resume=resume))
    assert len(plans) == 1, "decided once"


def test_a_teacher_that_cannot_be_distilled_is_refused(
    quick: Path, teacher: Path, bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="not a bundle"):
        request(tmp_path, tmp_path / "out")
    with pytest.raises(OutputError, match=r"has no run\.json and split\.csv"):
        request(bundle, tmp_path / "out")
    with pytest.raises(OutputError, match="got a distilled one; use the bundle that it was distilled from"):
        request(quick, tmp_path / "out")
    for out in (teacher, teacher / "within", teacher.parent):
        with pytest.raises(OutputError, match="one lies in the other"):
            request(teacher, out)
    assert read_manifest(teacher)["recipe"] == "clear", "it is still there"
    with pytest.raises(RecipeError, match=r"expected a side that is a multiple of 32 pixels .*; got 100"):
        replace(request(teacher, tmp_path / "out"), side=100)
    with pytest.raises(OutputError, match="give its new path with --sheet"):
        make_distill_request(teacher, tmp_path / "out", SheetLocation(sheet=tmp_path / "Gone.xlsx"), console=QUIET)
    with pytest.raises(OutputError, match="got a distilled one; use the bundle"):
        load_bundle_entrants(quick)


def test_a_student_is_exported_to_a_zip_that_inspects(quick: Path, tmp_path: Path) -> None:
    export_bundle(quick, tmp_path / "quick.zip")
    assert verify_bundle(tmp_path / "quick.zip").largest_difference <= 1e-3
