"""Training of recipe ``clear``: the bundle, its predictions, resumption, budget and refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.special import expit

from clearcast.bundle.manifest import MANIFEST_FILE
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError, RecipeError, SheetError
from clearcast.data.sheet import read_sheet
from clearcast.evaluation.benchmark.benchmark_runner import BenchmarkRequest, run_benchmark
from clearcast.evaluation.benchmark.entrants import load_bundle_entrants
from clearcast.metrics.image_quality import measure_image_quality
from clearcast.nn.denoiser import denoise_tiled
from clearcast.pipelines.networks import classify_image, load_networks
from clearcast.pipelines.train import train_bundle
from clearcast.pipelines.training_data import TrainRequest
from clearcast.study import SplitChoice, StudyRequest, parse_split_option
from clearcast.train.recipe import load_recipe
from clearcast.train.training_budget import StepTimes
from tests.bundle.manifests import read_manifest
from tests.pipelines.short_training import shorten_training


def request(folder: Path, out: Path) -> TrainRequest:
    sheet = read_sheet(folder / "Labels.xlsx")
    return TrainRequest(sheet=sheet, out=out, seed=3, accelerator="cpu", console=Console(quiet=True))


@pytest.fixture(scope="session")
def bundle(noisy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        shorten_training(patch)
        train_bundle(request(noisy_folder, out))
    return out


def test_a_bundle_lists_its_files_and_contains_no_pickle_and_no_leftovers(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest["effort"]["plan"] == {"survey": 2, "detail": 2, "views": 2, "rows": None}
    paths = {path for path in bundle.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == {path.relative_to(bundle).as_posix() for path in paths} - {MANIFEST_FILE}
    assert {path.suffix for path in paths} == {".json", ".csv", ".safetensors", ".png"}


def test_predictions_are_those_of_the_bundle_on_held_out_parts(bundle: Path, noisy_folder: Path) -> None:
    networks, _ = load_networks(bundle)
    assert networks.classifier is not None
    split = pd.read_csv(bundle / "split.csv")
    table = pd.read_csv(bundle / "predictions.csv")
    assert set(table["row"]) == set(split.loc[split["split"] == "test", "row"])
    assert not set(table["part"]) & set(split.loc[split["split"] == "train", "part"].astype(str))
    row = table.iloc[0]
    noisy, reference = (imaging.load_image(noisy_folder / row[name], Channels.GREY) for name in ("noisy", "reference"))
    denoised, _ = denoise_tiled(networks.denoiser, noisy)
    assert measure_image_quality(denoised, reference).psnr == pytest.approx(row["psnr_denoised"], abs=1e-4)
    assert classify_image(networks.classifier, denoised)[0] == pytest.approx(row["logit_denoised"], abs=1e-3)


def test_a_bundle_predicts_the_same_in_the_benchmark_as_on_its_test_rows(
    bundle: Path, noisy_folder: Path, tmp_path: Path
) -> None:
    denoiser, (classifier,) = load_bundle_entrants(bundle)
    study = StudyRequest(
        sheet=read_sheet(noisy_folder / "Labels.xlsx"),
        recipe=load_recipe("report"),
        out=tmp_path / "benchmark",
        seed=3,
        split=SplitChoice(**parse_split_option(str(bundle / "split.csv"))),
        console=Console(quiet=True),
    )
    run_benchmark(BenchmarkRequest(study=study, denoisers=[denoiser], classifiers=[classifier], trained_in=[bundle]))
    own = pd.read_csv(bundle / "predictions.csv").set_index("row")
    quality, probabilities = (
        pd.read_csv(study.out / "rows" / f"{name}.csv").set_index("row") for name in (denoiser.name, classifier.name)
    )
    pd.testing.assert_series_equal(quality["psnr"], own["psnr_denoised"], check_names=False, atol=1e-4)
    metadata = read_manifest(bundle)["judge"]
    assert metadata is not None
    odds = own["logit_denoised"] - metadata["threshold"] / metadata["temperature"]
    np.testing.assert_allclose(probabilities["p_defect"].loc[own.index], expit(odds), atol=1e-4)


def test_the_threshold_is_chosen_on_cross_fitted_predictions(bundle: Path) -> None:
    split, validation = pd.read_csv(bundle / "split.csv"), pd.read_csv(bundle / "validation.csv")
    assert set(validation["row"]) == set(split.loc[split["split"] == "train", "row"])
    manifest = read_manifest(bundle)
    assert manifest["judge"] is not None
    limit = manifest["judge"]["threshold"] / manifest["judge"]["temperature"]
    np.testing.assert_array_equal(validation["logit_denoised"] > limit, validation["said_denoised"] == "defect")


def test_the_same_seed_gives_the_same_networks(
    bundle: Path, noisy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_training(monkeypatch)
    manifest = train_bundle(request(noisy_folder, tmp_path / "again"))
    networks = ("restorer.safetensors", "judge.safetensors", "split.csv", "predictions.csv")
    assert {name: manifest["files"][name] for name in networks} == {
        name: read_manifest(bundle)["files"][name] for name in networks
    }


def test_a_training_stopped_at_its_end_is_resumed_without_fitting_again(
    bundle: Path, noisy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_training(monkeypatch)
    stopped = request(noisy_folder, tmp_path / "stopped")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("clearcast.pipelines.bundle_writer.write_manifest", stop)
        with pytest.raises(KeyboardInterrupt):
            train_bundle(stopped)
    with pytest.raises(OutputError, match="--resume"):
        train_bundle(stopped)
    monkeypatch.delattr("clearcast.train.trainer.Trainer")
    monkeypatch.delattr("clearcast.train.feature_cache._extract")
    manifest = train_bundle(replace(stopped, resume=True))
    assert not (stopped.out / "work").exists()
    assert manifest["files"]["judge.safetensors"] == read_manifest(bundle)["files"]["judge.safetensors"]


def test_a_complete_bundle_is_not_overwritten(bundle: Path, noisy_folder: Path) -> None:
    before = (bundle / MANIFEST_FILE).read_bytes()
    for again in (request(noisy_folder, bundle), replace(request(noisy_folder, bundle), resume=True)):
        with pytest.raises(OutputError, match=r"is a complete bundle; choose another --out, .* with --force"):
            train_bundle(again)
    assert (bundle / MANIFEST_FILE).read_bytes() == before


def test_force_does_not_delete_a_study(noisy_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "started": "", "question": {"recipe": {}}}))
    with pytest.raises(OutputError, match="holds a study, which --force does not replace by a bundle"):
        train_bundle(replace(request(noisy_folder, tmp_path), force=True))


def test_a_sheet_of_one_label_trains_all_but_the_classifier(
    noisy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_training(monkeypatch)
    training = request(noisy_folder, tmp_path / "ok")
    same_label = tuple(row for row in training.sheet.rows if row.label == training.sheet.rows[0].label)
    manifest = train_bundle(replace(training, sheet=replace(training.sheet, rows=same_label)))
    assert manifest["judge"] is None
    assert "both labels" in str(manifest["no_judge"])
    assert load_networks(training.out)[0].classifier is None


def test_a_budget_too_short_is_refused_before_anything_is_written(noisy_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="2 or more"):
        train_bundle(replace(request(noisy_folder, tmp_path / "short"), budget=0.5))
    assert not (tmp_path / "short").exists()


def test_the_plan_of_a_budget_is_in_the_manifest(
    noisy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_training(monkeypatch)
    slow = StepTimes(steps={"survey": 1e3, "detail": 1e3}, view=1e3, measurement=1e3)
    monkeypatch.setattr("clearcast.pipelines.train.time_training", lambda *_, **__: slow)
    manifest = train_bundle(replace(request(noisy_folder, tmp_path / "budget"), budget=2))
    assert manifest["effort"]["plan"] == {"survey": 1, "detail": 1, "views": 2, "rows": None}
    assert manifest["effort"]["budget_minutes"] == 2


def test_a_small_image_is_refused_before_anything_is_written(
    noisy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearcast.metrics.prediction_table.MIN_IMAGE_SIDE", 65)
    with pytest.raises(SheetError, match=r"row 2: .*: expected at least 65 x 65 pixels, got 64 x 64"):
        train_bundle(request(noisy_folder, tmp_path / "tiny"))
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("changed", "restorer.safetensors is not the file that was written"),
        ("missing", "split.csv is missing; copy"),
        ("format", "expected a bundle of format 2, got format 99"),
        ("no files", "it lacks files"),
        ("no manifest", "not a bundle"),
        ("outside", "'../outside', which is outside"),
        ("absolute", "/split.csv', which is outside"),
        ("linked", "split.csv is a link to outside the bundle; copy the bundle with the file itself"),
        ("looped", "split.csv is missing; copy"),
        ("nonsense", "which is outside"),
    ],
)
def test_a_damaged_bundle_is_refused(bundle: Path, tmp_path: Path, damage: str, words: str) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(bundle, copy)
    manifest = json.loads((copy / MANIFEST_FILE).read_text())
    match damage:
        case "changed":
            (copy / "restorer.safetensors").write_bytes(b"other")
        case "missing":
            (copy / "split.csv").unlink()
        case "format":
            (copy / MANIFEST_FILE).write_text(json.dumps(manifest | {"format": 99}))
        case "no files":
            del manifest["files"]
            (copy / MANIFEST_FILE).write_text(json.dumps(manifest))
        case "no manifest":
            (copy / MANIFEST_FILE).unlink()
        case "outside":
            (tmp_path / "outside").write_text("")
            files = manifest["files"] | {"../outside": "0"}
            (copy / MANIFEST_FILE).write_text(json.dumps(manifest | {"files": files}))
        case "absolute":
            files = manifest["files"] | {str(copy / "split.csv"): manifest["files"]["split.csv"]}
            (copy / MANIFEST_FILE).write_text(json.dumps(manifest | {"files": files}))
        case "nonsense":
            (copy / MANIFEST_FILE).write_text(json.dumps(manifest | {"files": {"split\0.csv": "0"}}))
        case "linked":
            (copy / "split.csv").rename(tmp_path / "outside.csv")
            (copy / "split.csv").symlink_to(tmp_path / "outside.csv")
        case "looped":
            (copy / "split.csv").unlink()
            (copy / "split.csv").symlink_to("split.csv")
    with pytest.raises(OutputError, match=words):
        load_networks(copy)
