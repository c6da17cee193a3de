from pathlib import Path

import cv2
import numpy as np
import pytest
from short_training import shorten
from typer.testing import CliRunner

from clearcast.cli import app
from clearcast.report.bundle import heat_map


def test_training_prints_its_figures_and_leaves_pictures_to_look_at(
    noisy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch)
    out = tmp_path / "bundle"
    result = CliRunner().invoke(app, ["train", str(noisy_folder / "Labels.xlsx"), "--out", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    for words in ("PSNR, dB", "verdict", f"Bundle: {out}"):
        assert words in result.output
    samples = cv2.imread(str(out / "samples.png"))
    assert samples is not None
    height, width = samples.shape[:2]
    assert height > width  # more rows than the four pictures of each


def test_only_places_above_the_mean_are_hot() -> None:
    evidence = np.zeros((8, 8), np.float32)
    evidence[2, 5] = 10
    heat = heat_map(evidence, 128, 128)
    assert heat.max() == pytest.approx(1, abs=0.1)  # between pixels of the peak
    assert np.unravel_index(heat.argmax(), heat.shape)[0] // 16 == 2
    assert np.unravel_index(heat.argmax(), heat.shape)[1] // 16 == 5
    assert heat[100:, :40].max() == 0
