"""``clearcast compare`` on bundles whose predictions are known."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from skimage.metrics import peak_signal_noise_ratio
from typer.testing import CliRunner, Result

from clearcast.bundle.archive import open_package
from clearcast.bundle.manifest import write_manifest
from clearcast.cli import build_application
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError
from clearcast.data.sheet import SheetColumns, read_sheet
from clearcast.evaluation.compare import CompareRequest, ComparisonResult, compare_bundles
from clearcast.evaluation.evaluate import EvaluateRequest, evaluate_bundle
from clearcast.report.terminal_tables import make_evaluation_tables
from tests.inference.handmade import expected_denoised, expected_p_defect, write_bundle

SECOND_THRESHOLD = 0.45  # threshold of the second bundle: it calls more images defects than the first, at 0.5


def prepare(folder: Path, *, threshold: float | None = None, sheet: str = "0" * 64) -> Path:
    manifest = open_package(folder).manifest
    manifest["threshold"] = manifest["threshold"] if threshold is None else threshold
    manifest["trained_on"]["sheet_sha256"] = sheet
    write_manifest(folder, manifest)
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(write_bundle(tmp_path_factory.mktemp("one") / "used"))


@pytest.fixture(scope="module")
def second(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same networks with another threshold."""
    folder = tmp_path_factory.mktemp("two") / "new"
    shutil.copytree(first, folder)
    return prepare(folder, threshold=SECOND_THRESHOLD)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty parts, two images each; an image that is darker, and so brighter when denoised, is mostly a defect."""
    folder = tmp_path_factory.mktemp("compared")
    rng = np.random.default_rng(6)
    lines = []
    for number in range(40):
        grey = int(rng.integers(40, 230))
        noisy = rng.integers(grey - 20, grey + 20, (48, 64)).astype(np.uint8)
        reference = expected_denoised(noisy) // 2 + 40
        label = "defect" if expected_p_defect(noisy) > 0.47 else "ok"
        names = f"noisy/{number}.png", f"clean/{number}.png"
        for name, image in zip(names, (noisy, reference), strict=True):
            imaging.save_image(folder / name, image.astype(np.uint8))
        lines.append((*names, ["Gaussian", "Salt", "Periodic"][number % 3], label, f"g{number // 2}"))
    columns = ["Noisy Image", "Denoise Image", "Noise Type", "Label", "Group"]
    pd.DataFrame(lines, columns=columns).to_excel(folder / "Labels.xlsx", index=False)
    return folder


def compare(one: Path, other: Path, data: Path, out: Path | None = None) -> ComparisonResult:
    sheet = read_sheet(data / "Labels.xlsx", columns=SheetColumns(label="Label"))
    return compare_bundles(
        CompareRequest(first=one, second=other, sheet=sheet, out=out, threads=2, console=Console(quiet=True))
    )


def command(*arguments: object) -> Result:
    return CliRunner().invoke(build_application(["compare"]), ["compare", *map(str, arguments)])


def test_the_verdicts_that_change_are_those_between_the_thresholds(first: Path, second: Path, data: Path) -> None:
    result = compare(first, second, data)

    sheet = pd.read_excel(data / "Labels.xlsx", engine="calamine")
    probabilities = {
        name: expected_p_defect(imaging.load_image(data / name, Channels.GREY)) for name in sheet["Noisy Image"]
    }
    between = [name for name, probability in probabilities.items() if SECOND_THRESHOLD < probability <= 0.5]
    assert between
    assert list(result.changed["noisy"]) == between
    assert set(result.changed["said_a"]) == {"ok"}
    assert set(result.changed["said_b"]) == {"defect"}
    for line in result.changed.to_dict("records"):
        assert line["p_defect_a"] == line["p_defect_b"] == pytest.approx(probabilities[line["noisy"]], abs=1e-5)
        assert line["right"] == ("B" if line["label"] == "defect" else "A")
    accuracy = result.differences[0]
    labels = dict(zip(sheet["Noisy Image"], sheet["Label"], strict=True))
    shares = [
        np.mean(
            [(probability > threshold) == (labels[name] == "defect") for name, probability in probabilities.items()]
        )
        for threshold in (0.5, SECOND_THRESHOLD)
    ]
    assert (accuracy.first["value"], accuracy.second["value"]) == pytest.approx(tuple(shares))
    assert (accuracy.images, accuracy.parts) == (40, 20)


def test_images_that_one_bundle_retakes_are_changed_verdicts(first: Path, data: Path, tmp_path: Path) -> None:
    """Images nearer to the threshold 0.5 than 0.2 in log-odds are retaken."""
    folder = tmp_path / "careful"
    shutil.copytree(first, folder)
    manifest = open_package(folder).manifest
    assert manifest["judge"]
    manifest["judge"]["retake_distance"] = 0.2
    write_manifest(folder, manifest)

    result = compare(first, folder, data)

    probabilities = [
        expected_p_defect(imaging.load_image(data / f"noisy/{number}.png", Channels.GREY)) for number in range(40)
    ]
    near = [f"noisy/{number}.png" for number, p in enumerate(probabilities) if abs(np.log(p / (1 - p))) < 0.2]
    assert near
    assert list(result.changed["noisy"]) == near
    assert set(result.changed["said_b"]) == {"retake"}
    retakes = next(each for each in result.differences if each.measure == "retakes")
    assert retakes.second["value"] == pytest.approx(len(near) / 40)


def test_the_same_networks_denoise_alike(first: Path, second: Path, data: Path) -> None:
    psnr = next(each for each in compare(first, second, data).differences if each.measure == "PSNR")

    ratios = [
        peak_signal_noise_ratio(
            imaging.load_image(data / f"clean/{number}.png", Channels.GREY),
            expected_denoised(imaging.load_image(data / f"noisy/{number}.png", Channels.GREY)),
        )
        for number in range(40)
    ]
    assert psnr.first["value"] == pytest.approx(np.mean(ratios), abs=1e-4)
    assert psnr.difference["value"] == 0
    assert psnr.better is None


def test_colour_is_compared_with_grey_in_grey(first: Path, data: Path, tmp_path: Path) -> None:
    result = compare(first, prepare(write_bundle(tmp_path / "colour", channels=Channels.RGB)), data)

    assert np.allclose(result.table["psnr_a"], result.table["psnr_b"])  # the images and their denoised images are grey
    assert result.changed.empty
    assert any("denoised images are compared in grey" in note for note in result.notes)


def test_without_a_classifier_the_rest_is_compared(first: Path, data: Path, tmp_path: Path) -> None:
    result = compare(
        prepare(write_bundle(tmp_path / "without-classifier", has_classifier=False)), first, data, tmp_path / "out"
    )

    assert any(note.startswith("A gives no verdicts (every part is ok)") for note in result.notes)
    assert not any(sentence.startswith("Verdicts") for sentence in result.conclusions)
    assert result.conclusions[0].startswith("Noise types: no difference beyond chance")
    assert list(pd.read_csv(tmp_path / "out" / "changed.csv")["noisy"]) == []


def test_rows_without_a_reference_have_no_image_quality(first: Path, second: Path, data: Path) -> None:
    sheet = read_sheet(data / "Labels.xlsx", columns=SheetColumns(label="Label"))
    rows = tuple(replace(row, reference="") if place < 30 else row for place, row in enumerate(sheet.rows))
    blind = replace(sheet, rows=rows)

    result = compare_bundles(
        CompareRequest(first=first, second=second, sheet=blind, threads=2, console=Console(quiet=True))
    ).differences

    images = {each.measure: each.images for each in result if each.noise == "all"}
    assert (images["ROC area"], images["PSNR"]) == (40, 10)
    one = evaluate_bundle(EvaluateRequest(bundle=first, sheet=blind, threads=2, console=Console(quiet=True)))
    assert one.table["psnr_denoised"].notna().sum() == one.table["said_reference"].notna().sum() == 10
    assert one.evidence["images"] == 40
    assert make_evaluation_tables(one.table, one.evidence)


def test_training_rows_of_either_bundle_are_not_compared(first: Path, data: Path, tmp_path: Path) -> None:
    sheet = read_sheet(data / "Labels.xlsx")
    trained = tmp_path / "trained"
    shutil.copytree(first, trained)
    rows = [
        (row.number, row.noisy, row.group, "test" if place < 6 else "train") for place, row in enumerate(sheet.rows)
    ]
    pd.DataFrame(rows, columns=["row", "noisy", "part", "split"]).to_csv(trained / "split.csv", index=False)
    prepare(trained, sheet=sheet.sha256)

    result = compare(first, trained, data)

    assert list(result.table["row"]) == [row.number for row in sheet.rows[:6]]
    assert (
        "Of the sheet's 40 rows, A used 0 and B used 34 for training or for choosing the threshold; only the 6 others "
        "are compared." in result.notes
    )


def test_a_bundle_is_not_compared_with_itself(first: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "copy")
    with pytest.raises(OutputError, match="expected two different bundles, got the same twice"):
        compare(first, tmp_path / "copy", data)


def test_the_command_prints_and_writes_the_comparison(first: Path, second: Path, data: Path, tmp_path: Path) -> None:
    arguments = first, second, data / "Labels.xlsx", "--label-column", "Label", "--out", tmp_path / "out"
    done = command(*arguments)

    assert done.exit_code == 0, done.output
    output = " ".join(done.output.split())
    assert "Verdicts: " in output
    assert "would change from A to B" in output
    assert "A: used" in output
    assert "B: new" in output
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "changed.csv",
        "conclusion.txt",
        "differences.csv",
        "predictions.csv",
    ]
    assert (out / "conclusion.txt").read_text("utf-8").startswith("Verdicts: ")
    measures = pd.read_csv(out / "differences.csv")
    assert list(measures["measure"][:4]) == ["accuracy", "escapes", "overkills", "ROC area"]
    assert np.allclose(measures["difference"], measures["b"] - measures["a"])
    assert ((measures["difference_low"] <= measures["difference"]) | measures["difference_low"].isna()).all()
    again = command(*arguments)
    assert isinstance(again.exception, OutputError)
    assert "expected a new or empty folder" in str(again.exception)


def test_torch_is_not_needed(first: Path, second: Path, data: Path) -> None:
    words = ["clearcast", "compare", str(first), str(second), str(data / "Labels.xlsx"), "--label-column", "Label"]
    code = (
        f"import sys; sys.argv = {words!r}\n"
        "from clearcast.cli import build_application; build_application(['compare'])(standalone_mode=False)\n"
        "assert not {'torch', 'lightning'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "A compared with B" in done.stdout
