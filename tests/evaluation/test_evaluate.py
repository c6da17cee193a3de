"""``clearcast evaluate`` on a bundle whose predictions are known."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from clearcast.bundle.archive import zip_bundle
from clearcast.bundle.manifest import write_manifest
from clearcast.cli import build_application
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError, SheetError
from clearcast.data.sheet import read_sheet
from clearcast.evaluation.evaluate import EvaluateRequest, EvaluationResult, evaluate_bundle
from clearcast.report.terminal_tables import make_evaluation_tables
from tests.bundle.manifests import read_manifest
from tests.inference.handmade import THRESHOLD, expected_denoised, expected_p_defect, write_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_bundle(tmp_path_factory.mktemp("made") / "bundle")
    return _trained_on(folder, "0" * 64)


@pytest.fixture(scope="module")
def groups(noisy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows a part, so that no groups are detected."""
    path = tmp_path_factory.mktemp("groups") / "groups.csv"
    rows = read_sheet(noisy_folder / "Labels.xlsx").rows
    pd.DataFrame(
        {"path": [row.noisy for row in rows], "group": [f"part {place // 2}" for place in range(len(rows))]}
    ).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def evaluated(
    bundle: Path, noisy_folder: Path, groups: Path, tmp_path_factory: pytest.TempPathFactory
) -> EvaluationResult:
    return evaluate_bundle(_request(bundle, noisy_folder, groups, tmp_path_factory.mktemp("out") / "tables"))


def _request(bundle: Path, folder: Path, groups: Path | None, out: Path | None = None) -> EvaluateRequest:
    sheet = read_sheet(folder / "Labels.xlsx")
    return EvaluateRequest(bundle=bundle, sheet=sheet, groups=groups, out=out, threads=2, console=Console(quiet=True))


def _trained_on(folder: Path, sha256: str) -> Path:
    manifest = read_manifest(folder)
    manifest["trained_on"]["sheet_sha256"] = sha256
    write_manifest(folder, manifest)
    return folder


def command(*arguments: object) -> Result:
    return CliRunner().invoke(build_application(["evaluate"]), ["evaluate", *map(str, arguments)])


def test_each_row_has_the_prediction_and_its_image_quality(evaluated: EvaluationResult, noisy_folder: Path) -> None:
    rows = read_sheet(noisy_folder / "Labels.xlsx").rows
    assert list(evaluated.table["row"]) == [row.number for row in rows]
    for line, row in zip(evaluated.table.to_dict("records"), rows, strict=True):
        noisy, reference = (
            imaging.load_image(noisy_folder / path, Channels.GREY) for path in (row.noisy, row.reference)
        )
        denoised = expected_denoised(noisy)
        mean = noisy.mean() / 255
        probability = expected_p_defect(noisy)
        assert line["said_denoised"] == ("defect" if probability > THRESHOLD else "ok")
        assert line["said_reference"] == ("defect" if expected_p_defect(reference) > THRESHOLD else "ok")
        assert line["logit_denoised"] == pytest.approx(math.log(probability / (1 - probability)), abs=1e-3)
        assert line["p_salt_and_pepper"] == pytest.approx(mean * (1 - mean), abs=1e-4)
        for which, image in (("noisy", noisy), ("denoised", denoised)):
            mse = np.mean((image / 255.0 - reference / 255.0) ** 2)
            assert line[f"mse_{which}"] == pytest.approx(mse, abs=1e-5)
            assert line[f"psnr_{which}"] == pytest.approx(-10 * math.log10(mse), abs=1e-4)


def test_figures_are_those_of_the_rows_with_intervals_over_parts(evaluated: EvaluationResult) -> None:
    table, evidence = evaluated.table, evaluated.evidence
    right = float((table["label"] == table["said_denoised"]).mean())
    accuracy = evidence["classification"]["denoised"]["accuracy"]

    assert accuracy["value"] == pytest.approx(right)
    assert evidence["parts"] == table["part"].nunique() == math.ceil(len(table) / 2)
    assert evidence["restoration"]["denoised"]["all"]["psnr"]["value"] == pytest.approx(table["psnr_denoised"].mean())
    assert not evaluated.used_rows


def test_the_tables_show_every_measure_and_each_image_once(evaluated: EvaluationResult) -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    tables = make_evaluation_tables(evaluated.table, evaluated.evidence)
    for table in tables:
        console.print(table)
    text = console.export_text()

    for words in ("PSNR", "SSIM", "MSE", "Accuracy", "Precision", "Recall", "F1", "ROC", "Sensitivity", "Specificity"):
        assert words in text
    for confusion in tables[2:]:
        counts = [int(str(cell)) for column in confusion.columns[1:] for cell in column.cells]
        assert sum(counts) == len(evaluated.table)


def test_a_bundle_without_a_classifier_has_no_verdicts(noisy_folder: Path, groups: Path, tmp_path: Path) -> None:
    bundle = _trained_on(write_bundle(tmp_path / "bundle", has_classifier=False), "")
    found = evaluate_bundle(_request(bundle, noisy_folder, groups))

    assert set(found.evidence["classification"]) == {"noise_type"}
    titles = [str(table.title) for table in make_evaluation_tables(found.table, found.evidence)]
    assert "Verdicts on noisy images" not in titles


def test_a_bundle_without_noise_levels_has_none_in_the_table(noisy_folder: Path, groups: Path, tmp_path: Path) -> None:
    bundle = _trained_on(write_bundle(tmp_path / "bundle", recipe="report"), "")

    assert not {"sigma", "density", "noise_level"} & set(evaluate_bundle(_request(bundle, noisy_folder, groups)).table)


@pytest.mark.parametrize("zipped", [False, True])
def test_on_the_sheet_it_was_trained_on_only_test_rows_are_measured(
    noisy_folder: Path, tmp_path: Path, *, zipped: bool
) -> None:
    sheet = read_sheet(noisy_folder / "Labels.xlsx")
    bundle = write_bundle(tmp_path / "bundle")
    subsets = ["test" if place % 3 == 0 else "train" for place in range(len(sheet.rows))]
    pd.DataFrame(
        {
            "row": [row.number for row in sheet.rows],
            "noisy": [row.noisy for row in sheet.rows],
            "part": [f"p{place // 4}" for place in range(len(sheet.rows))],
            "split": subsets,
        }
    ).to_csv(bundle / "split.csv", index=False)
    _trained_on(bundle, sheet.sha256)
    if zipped:
        zip_bundle(bundle, tmp_path / "bundle.zip")
        bundle = tmp_path / "bundle.zip"

    found = evaluate_bundle(_request(bundle, noisy_folder, None))

    tested = [place for place, subset in enumerate(subsets) if subset == "test"]
    assert found.used_rows == len(sheet.rows) - len(tested)
    assert list(found.table["row"]) == [sheet.rows[place].number for place in tested]
    assert list(found.table["part"]) == [f"p{place // 4}" for place in tested]


def test_the_command_writes_tables_and_overwrites_none(
    bundle: Path, noisy_folder: Path, groups: Path, tmp_path: Path
) -> None:
    arguments = bundle, noisy_folder / "Labels.xlsx", "--groups", groups, "--out", tmp_path / "out"
    done = command(*arguments)

    assert done.exit_code == 0, done.output
    assert "Denoised images" in done.output
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text(encoding="utf-8"))
    assert evidence["images"] == len(pd.read_csv(tmp_path / "out" / "predictions.csv"))
    again = command(*arguments)
    assert isinstance(again.exception, OutputError)
    assert "expected a new or empty folder" in str(again.exception)


def test_images_that_are_too_small_are_named(
    bundle: Path, noisy_folder: Path, groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearcast.metrics.prediction_table.MIN_IMAGE_SIDE", 65)
    with pytest.raises(SheetError, match=r"row 2: .*: expected at least 65 x 65 pixels, got 64 x 64"):
        evaluate_bundle(_request(bundle, noisy_folder, groups))


def test_torch_is_not_needed(bundle: Path, noisy_folder: Path, groups: Path) -> None:
    code = (
        f"import sys; sys.argv = ['clearcast', 'evaluate', {str(bundle)!r}, {str(noisy_folder / 'Labels.xlsx')!r}, "
        f"'--groups', {str(groups)!r}]\n"
        "from clearcast.cli import build_application; build_application(['evaluate'])(standalone_mode=False)\n"
        "assert not {'torch', 'lightning'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "Verdicts and noise types" in done.stdout


def test_a_missing_package_is_named(bundle: Path, noisy_folder: Path) -> None:
    code = (
        "import sys; sys.modules['skimage'] = None\n"
        f"sys.argv = ['clearcast', 'evaluate', {str(bundle)!r}, {str(noisy_folder / 'Labels.xlsx')!r}]\n"
        "from clearcast.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "pip install 'clearcast[train]'" in done.stderr
