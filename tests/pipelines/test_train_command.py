"""Command ``train``, and the figure of sample images."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from clearcast.cli import build_application
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError
from clearcast.inference.image_outputs import scale_evidence
from clearcast.inference.verification import verify_bundle
from clearcast.metrics.image_quality import measure_image_quality
from clearcast.pipelines.measurement import load_row_images
from tests.bundle.manifests import read_manifest
from tests.pipelines.short_training import shorten_training


def test_training_prints_metrics_and_writes_sample_images(
    noisy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_training(monkeypatch, graphs=True)
    out = tmp_path / "bundle"
    result = CliRunner().invoke(
        build_application(["train"]), ["train", str(noisy_folder / "Labels.xlsx"), "--out", str(out), "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    for words in ("PSNR, dB", "verdict", f"Bundle: {out}"):
        assert words in result.output
    samples = cv2.imread(str(out / "samples.png"))
    assert samples is not None
    height, width = samples.shape[:2]
    assert height > width  # more rows than the four images of each
    assert {"samples.png", "inspect.onnx", "golden/0.png"} <= read_manifest(out)["files"].keys()
    assert verify_bundle(out).largest_difference < 1e-3
    (out / "samples.png").write_bytes(b"other")
    with pytest.raises(OutputError, match=r"samples\.png is not the file that was written"):
        read_manifest(out)


def test_noise_is_added_to_measure_a_sheet_of_noise_free_images(
    noisy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_training(monkeypatch)
    rows = pd.read_excel(noisy_folder / "Labels.xlsx", engine="calamine")
    rows["Noisy Image"], rows["Noise Type"] = rows["Denoise Image"], "none"
    rows.to_csv(tmp_path / "clean.csv", index=False)
    command = ["train", str(tmp_path / "clean.csv"), "--root", str(noisy_folder), "--out", str(tmp_path / "bundle")]

    result = CliRunner().invoke(build_application(["train"]), [*command, "--device", "cpu"])

    assert result.exit_code == 0, result.output
    assert "with noise added" in " ".join(result.output.split())
    assert read_manifest(tmp_path / "bundle").get("noise_made_anew")
    table = pd.read_csv(tmp_path / "bundle" / "predictions.csv")
    assert set(table["noise_type"]) == {"gaussian", "salt_and_pepper", "periodic"}
    assert table["psnr_noisy"].between(5, 35).all()
    for row in table.to_dict("records"):
        noisy, reference = load_row_images(row, noisy_folder, Channels.GREY)
        assert reference is not None
        np.testing.assert_array_equal(
            reference, imaging.load_image(noisy_folder / str(row["reference"]), Channels.GREY)
        )
        assert measure_image_quality(noisy, reference).psnr == pytest.approx(row["psnr_noisy"], abs=1e-4)


def test_the_figures_of_a_bundle_are_drawn_without_torch() -> None:
    code = "import sys; import clearcast.report.contact_sheets; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_heat_map_shows_evidence_above_the_mean_only() -> None:
    evidence = np.zeros((8, 8), np.float32)
    evidence[2, 5] = 10
    heat = scale_evidence(evidence, 128, 128)
    assert heat.max() == pytest.approx(1, abs=0.1)  # between pixels of the peak
    assert np.unravel_index(heat.argmax(), heat.shape)[0] // 16 == 2
    assert np.unravel_index(heat.argmax(), heat.shape)[1] // 16 == 5
    assert heat[100:, :40].max() == 0
