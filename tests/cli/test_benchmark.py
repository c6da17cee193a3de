"""Command ``benchmark``."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from clearcast import cli


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["clearcast", "benchmark", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_benchmark_writes_a_table_and_sample_images_and_resumes(
    noisy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    arguments = noisy_folder / "Labels.xlsx", "--out", tmp_path / "out", "--groups", noisy_folder / "groups.csv"
    assert run(monkeypatch, *arguments, "--rivals", "median", "--limit", 6) == 0
    table = pd.read_csv(tmp_path / "out" / "benchmark.csv")
    assert set(table.contender) == {"noisy", "median", "best by type"}
    assert list(table.columns[:6]) == ["contender", "measure", "noise_type", "value", "low", "high"]
    assert (tmp_path / "out" / "contact-gaussian.png").exists()
    printed = capsys.readouterr().out
    assert "threads: PyTorch" in printed
    assert run(monkeypatch, *arguments, "--rivals", "median", "--limit", 6) == 1
    assert "--resume" in capsys.readouterr().err
    assert run(monkeypatch, *arguments, "--rivals", "median,notch", "--limit", 6, "--resume") == 0
    assert "notch" in capsys.readouterr().out
    assert run(monkeypatch, *arguments, "--rivals", "blur") == 1
    assert "unknown baseline 'blur'" in capsys.readouterr().err
