"""Benchmark from end to end on rendered disks, with entrants whose results are known."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import OutputError, RecipeError, SheetError
from clearcast.data.sheet import read_sheet
from clearcast.evaluation.benchmark.benchmark_runner import BenchmarkRequest, BenchmarkResult, run_benchmark
from clearcast.evaluation.benchmark.entrants import (
    BenchmarkClassifier,
    BenchmarkDenoiser,
    classical_baselines,
    load_study_entrants,
    parse_baselines,
)
from clearcast.evaluation.benchmark.scoring import BEST_BY_TYPE
from clearcast.report.contact_sheets import make_benchmark_tables, write_contact_sheets
from clearcast.study import SplitChoice, StudyRequest, parse_split_option, parse_stages, run_study
from clearcast.train.recipe import load_recipe, override_recipe
from clearcast.types import Label

SIZE = 32


@pytest.fixture
def study(noisy_folder: Path, tmp_path: Path) -> StudyRequest:
    return StudyRequest(
        sheet=read_sheet(noisy_folder / "Labels.xlsx"),
        recipe=override_recipe(load_recipe("report"), size=SIZE, epochs=1),
        out=tmp_path / "out",
        seed=5,
        split=SplitChoice(groups=noisy_folder / "groups.csv"),
        accelerator="cpu",
        offline=True,
        console=Console(file=StringIO()),
    )


def run(
    study: StudyRequest,
    denoisers: Sequence[BenchmarkDenoiser] = (),
    classifiers: Sequence[BenchmarkClassifier] = (),
    limit: int | None = None,
) -> BenchmarkResult:
    return run_benchmark(BenchmarkRequest(study=study, denoisers=denoisers, classifiers=classifiers, limit=limit))


def value_of(result: BenchmarkResult, entrant: str, measure: str, kind: str = "all") -> float:
    lines = result.figures.set_index(["contender", "measure", "noise_type"])["value"]
    return float(lines[entrant, measure, kind])


class Counting:
    """Returns images unchanged and counts them; raises KeyboardInterrupt after a number of images."""

    def __init__(self, stop_after: int = 10_000) -> None:
        self.count = 0
        self.stop_after = stop_after

    def __call__(self, image: ImageArray) -> ImageArray:
        self.count += 1
        if self.count > self.stop_after:
            raise KeyboardInterrupt
        return image


def test_noisy_input_is_measured_in_grey_on_test_rows_only(study: StudyRequest) -> None:
    result = run(study)
    split = pd.read_csv(study.out / "split.csv")
    kept = pd.read_csv(study.out / "rows" / "noisy.csv")
    assert set(kept.row) == set(split.row[split.split == "test"])
    assert not set(split.part[split.split == "test"]) & set(split.part[split.split == "train"])
    row = next(row for row in study.sheet.rows if row.number == kept.row[0])
    noisy, reference = (
        np.asarray(Image.open(study.sheet.resolve(path)).convert("L"), float) for path in (row.noisy, row.reference)
    )
    assert kept.psnr[0] == pytest.approx(10 * np.log10(255**2 / np.mean((noisy - reference) ** 2)), abs=0.1)
    assert value_of(result, "noisy", "psnr") == pytest.approx(kept.psnr.mean(), abs=1e-5)
    saved = json.loads((study.out / "benchmark.json").read_text("utf-8"))
    assert saved["figures"][0]["value"] == pytest.approx(kept.psnr.mean(), abs=1e-5)
    assert saved["about"]["measured_images"] == len(kept)


def test_a_perfect_and_a_colour_denoiser(study: StudyRequest) -> None:
    """A perfect denoiser has SSIM 1; one for colour is measured in grey like the others."""
    tested = _tested(study)
    rows = [row for row in study.sheet.rows if row.number in tested]
    answers = [imaging.load_image(study.sheet.resolve(row.reference), Channels.GREY) for row in rows]
    queue = [answers[0], *answers]  # the first image is denoised twice
    result = run(
        study,
        [
            BenchmarkDenoiser(name="oracle", denoise=lambda _: queue.pop(0)),
            BenchmarkDenoiser(name="colour", denoise=lambda image: image, channels=Channels.RGB),
        ],
    )
    assert value_of(result, "oracle", "ssim") == pytest.approx(1)
    assert value_of(result, "colour", "psnr") == pytest.approx(value_of(result, "noisy", "psnr"), abs=0.1)


def _tested(study: StudyRequest) -> set[int]:
    run(replace(study, out=study.out.with_name("first"), resume=True))
    split = pd.read_csv(study.out.with_name("first") / "split.csv")
    return set(split.row[split.split == "test"])


def test_best_by_type_is_the_best_untrained_method_of_each_type(study: StudyRequest) -> None:
    names = ["median", "notch"]
    flat = BenchmarkDenoiser(name="trained", denoise=lambda image: np.full_like(image, 128))
    result = run(study, [*classical_baselines(names), flat])
    for kind in {str(row.noise_type) for row in study.sheet.rows if row.number in _tested(study)}:
        best = max(value_of(result, name, "psnr", kind) for name in ("noisy", *names))
        assert value_of(result, BEST_BY_TYPE, "psnr", kind) == pytest.approx(best)


def test_classifiers_get_their_roc_area(study: StudyRequest) -> None:
    run(study)  # gives the order of the test rows
    labels = {row.number: row.label for row in study.sheet.rows}
    probabilities = [
        0.9 if labels[row] is Label.DEFECT else 0.2 for row in pd.read_csv(study.out / "rows" / "noisy.csv").row
    ]
    queue = [probabilities[0], *probabilities]
    result = run(
        replace(study, resume=True),
        classifiers=[
            BenchmarkClassifier(name="knows", probability=lambda _: queue.pop(0)),
            BenchmarkClassifier(name="half", probability=lambda _: 0.5),
        ],
    )
    assert value_of(result, "knows", "roc_area") == 1
    assert value_of(result, "knows", "accuracy") == 1
    assert value_of(result, "half", "roc_area") == 0.5


def test_interrupted_benchmark_can_be_resumed(study: StudyRequest) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(study, [BenchmarkDenoiser(name="slow", denoise=Counting(stop_after=4))])
    assert len(pd.read_csv(study.out / "rows" / "slow.csv")) == 3  # the first is denoised twice
    with (study.out / "rows" / "slow.csv").open("a") as file:
        file.write("7,,3")  # cut off in the middle
    again = Counting()
    result = run(replace(study, resume=True), [BenchmarkDenoiser(name="slow", denoise=again)])
    tested = result.metadata["measured_images"]
    assert again.count == tested - 3 + 1
    assert value_of(result, "slow", "psnr") == value_of(result, "noisy", "psnr")
    other = Counting()
    run(replace(study, resume=True), [BenchmarkDenoiser(name="slow", denoise=other, version="other weights")])
    assert other.count == tested + 1


def test_limited_rows_are_spread_over_noise_types_and_parts(study: StudyRequest) -> None:
    whole = run(study)
    part = run(replace(study, out=study.out.with_name("few")), limit=4)
    assert part.metadata["measured_images"] == 4
    assert set(part.figures.noise_type) == set(whole.figures.noise_type)
    assert part.metadata["measured_parts"] > 1


def test_bad_image_is_left_out_and_named(study: StudyRequest, noisy_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(noisy_folder, tmp_path / "data")
    sheet = read_sheet(tmp_path / "data" / "Labels.xlsx")
    tested = _tested(study)
    bad, other = [row for row in sheet.rows if row.number in tested][:2]
    sheet.resolve(bad.noisy).write_bytes(b"no picture")
    small = imaging.resize_image(imaging.load_image(sheet.resolve(other.noisy), Channels.RGB), 40, 40)
    imaging.save_image(sheet.resolve(other.noisy), small)
    result = run(replace(study, sheet=sheet))
    assert any(f"row {bad.number}" in line for line in result.metadata["left_out"])
    everywhere = str(result.metadata["left_out"]) + str(result.metadata["left_out_while_measuring"])
    assert f"row {other.number}" in everywhere
    assert not {bad.number, other.number} & set(pd.read_csv(study.out / "rows" / "noisy.csv").row)


def test_existing_run_is_kept_without_resume_or_force(study: StudyRequest, tmp_path: Path) -> None:
    run(study)
    with pytest.raises(OutputError, match=r"already holds a run.*--resume.*--force"):
        run(study)
    with pytest.raises(OutputError, match="another configuration"):
        run(replace(study, resume=True), limit=3)
    run(replace(study, force=True), limit=3)
    (tmp_path / "mine").mkdir()
    about = {"format": 1, "started": "", "question": {"recipe": {}}}
    (tmp_path / "mine" / "run.json").write_text(json.dumps(about))
    with pytest.raises(OutputError, match="holds a study, which --force does not replace by a benchmark"):
        run(replace(study, out=tmp_path / "mine", force=True))


def test_networks_of_a_study_as_entrants(study: StudyRequest, tmp_path: Path) -> None:
    trained = replace(study, out=tmp_path / "study", stages=parse_stages("1,3,4"), robustness=False)
    run_study(trained)
    denoisers, classifiers = load_study_entrants(trained.out)
    assert [each.name for each in classifiers] == ["report, noisy", "report, denoised"]
    same = replace(study, split=SplitChoice(**parse_split_option(str(trained.out / "split.csv"))))
    result = run_benchmark(
        BenchmarkRequest(study=same, denoisers=denoisers, classifiers=classifiers, trained_in=[trained.out])
    )
    written = pd.read_csv(trained.out / "predictions.csv").set_index("row")
    kept = pd.read_csv(study.out / "rows" / "report, noisy.csv").set_index("row")
    np.testing.assert_allclose(kept.p_defect, written.loc[kept.index, "p_defect_noisy"], atol=2e-6)
    tables = make_benchmark_tables(result)
    assert [str(table.title).split(" (")[0] for table in tables[:3]] == [
        "PSNR, dB",
        "SSIM",
        "Verdicts: ROC area",
    ]
    for path in write_contact_sheets(result):
        assert path.stat().st_size > 1000
    with pytest.raises(SheetError, match=r"was trained on \d+ of the \d+ test rows.*--split .*split.csv"):
        run_benchmark(
            BenchmarkRequest(
                study=replace(study, out=tmp_path / "other", seed=6), denoisers=denoisers, trained_in=[trained.out]
            )
        )
    assert not (tmp_path / "other").exists()


def test_entrant_trained_on_another_sheet_gets_a_warning(study: StudyRequest, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    about = {"format": 1, "started": "", "question": {"recipe": "clear", "sheet_sha256": "0"}}
    (other / "run.json").write_text(json.dumps(about))
    result = run_benchmark(BenchmarkRequest(study=study, denoisers=[], trained_in=[other], limit=3))
    assert any("trained on another sheet" in warning["text"] for warning in result.metadata["warnings"])


def test_learned_baselines_are_trained_once(study: StudyRequest) -> None:
    request = BenchmarkRequest(study=study, denoisers=[], budget=0.01, limit=4)
    first = run_benchmark(request)
    assert {"dncnn", "unet", "resnet18"} <= set(first.figures.contender)
    assert (study.out / "rivals" / "dncnn-0.01-minutes.safetensors").exists()
    again = run_benchmark(replace(request, study=replace(study, resume=True)))
    pd.testing.assert_frame_equal(again.figures, first.figures)  # milliseconds too: nothing was measured again


def test_duplicate_entrant_names_are_refused(study: StudyRequest) -> None:
    with pytest.raises(RecipeError, match="two entrants have the name 'median'"):
        run(study, [*classical_baselines(["median"]), *classical_baselines(["median"])])


def test_names_of_baselines() -> None:
    assert parse_baselines("notch, median,notch") == ("notch", "median")
    assert set(parse_baselines("")) >= {"median", "nlm", "wavelet", "notch"}
    with pytest.raises(RecipeError, match=r"unknown baseline 'mean'; expected median, nlm, wavelet, bm3d, notch"):
        parse_baselines("median,mean")
