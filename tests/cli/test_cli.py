"""Command line: exit codes, messages without tracebacks, and output files."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from clearcast import cli

QUICK = ("--size", "32", "--epochs", "1", "--offline", "--device", "cpu")


class Result(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    error: str


class Clearcast:
    """Calls the command line within this process, so that torch is not imported again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Result:
        self._monkeypatch.setattr(sys, "argv", ["clearcast", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = self._capsys.readouterr()
        return Result(int(stop.value.code or 0), printed.out, printed.err)


@pytest.fixture
def clearcast(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Clearcast:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Clearcast(monkeypatch, capsys)


def assert_refused(done: Result, *words: str) -> None:
    """Assert that one message with these words is on the error stream."""
    assert done.code == 1, done
    for word in words:
        assert word in done.error


@pytest.fixture
def data(noisy_folder: Path, tmp_path: Path) -> Path:
    """The sheet of a copy of the data set, which a test may damage."""
    shutil.copytree(noisy_folder, tmp_path / "data")
    return tmp_path / "data" / "Labels.xlsx"


def first_noisy(sheet: Path) -> Path:
    table = pd.read_excel(sheet, engine="calamine")
    return sheet.parent / str(table["Noisy Image"].iloc[0])


def replace_first_noisy(sheet: Path, name: str) -> Path:
    """Change the file name in the first row."""
    table = pd.read_excel(sheet, engine="calamine")
    path = Path(str(table.loc[0, "Noisy Image"])).with_name(name)
    table.loc[0, "Noisy Image"] = path.as_posix()
    table.to_excel(sheet, index=False)
    return sheet.parent / path


def test_disks_corrupt_check_and_study_make_a_report(clearcast: Clearcast, tmp_path: Path) -> None:
    assert clearcast("disks", "disks", "--parts", 8, "--size", 64, "--seed", 7).code == 0
    assert clearcast("corrupt", "disks", "noisy", "--seed", 7).code == 0
    checked = clearcast("check", "noisy/Labels.xlsx", "--out", "findings")
    assert checked.code == 0, checked.out
    assert (tmp_path / "findings/findings.csv").exists()
    done = clearcast("study", "noisy/Labels.xlsx", "--out", "run", *QUICK)
    assert done.code == 0, done.error
    assert "0.7640" in done.out  # the published figure beside ours
    for name in ("report.html", "metrics.json", "predictions.csv", "figures/noisy-confusion.png"):
        assert (tmp_path / "run" / name).stat().st_size > 0


def test_version_and_help_need_no_torch() -> None:
    code = "import sys; from clearcast.cli import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["clearcast", "0.1.0", "False"]


def test_no_sheet(clearcast: Clearcast, tmp_path: Path) -> None:
    assert_refused(
        clearcast("study", tmp_path / "none.xlsx", *QUICK), "no such sheet", "expected a file that ends in .xlsx"
    )
    assert_refused(clearcast("check", tmp_path), "expected a sheet that lists the images", "got a folder")


def test_wrong_columns(clearcast: Clearcast, data: Path) -> None:
    pd.DataFrame({"image": ["a.png"]}).to_excel(data, index=False)
    assert_refused(
        clearcast("study", data, *QUICK), "no column 'Noisy Image'", "the sheet has 'image'", "--noisy-column"
    )


def test_empty_sheet(clearcast: Clearcast, data: Path) -> None:
    pd.DataFrame(columns=["Denoise Image", "Noise Type", "Noisy Image"]).to_excel(data, index=False)
    assert_refused(clearcast("study", data, *QUICK), "no rows below its header")


def test_missing_images(clearcast: Clearcast, data: Path, tmp_path: Path) -> None:
    first_noisy(data).unlink()
    done = clearcast("study", data, "--out", tmp_path / "run", *QUICK)
    assert_refused(done, "1 of 36 rows cannot be used", "no such file", "--skip-bad")
    assert not (tmp_path / "run").exists()
    checked = clearcast("check", data)
    assert checked.code == 1
    assert "missing picture" in checked.out


def test_truncated_image(clearcast: Clearcast, data: Path) -> None:
    image = first_noisy(data)
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    assert_refused(clearcast("study", data, *QUICK), "truncated or damaged")


def test_sixteen_bit_tiff(clearcast: Clearcast, data: Path) -> None:
    Image.fromarray(np.full((64, 64), 40000, np.uint16)).save(replace_first_noisy(data, "disk_ok_16.tiff"))
    assert_refused(clearcast("study", data, *QUICK), "16 bits per channel", "convert it to 8-bit")


def test_transparent_png(clearcast: Clearcast, data: Path) -> None:
    Image.new("RGBA", (64, 64), (9, 9, 9, 128)).save(replace_first_noisy(data, "disk_ok_rgba.png"))
    assert_refused(clearcast("study", data, *QUICK), "transparency", "save it without")


def test_a_run_is_not_overwritten(clearcast: Clearcast, data: Path, tmp_path: Path) -> None:
    study = ("study", data, "--out", tmp_path / "run", "--stages", "2", *QUICK)
    assert clearcast(*study).code == 0
    assert_refused(clearcast(*study), "already holds a run", "--resume", "--force")
    assert clearcast(*study, "--resume").code == 0
    assert clearcast(*study, "--force").code == 0


def test_unknown_recipe_and_stage(clearcast: Clearcast, data: Path) -> None:
    assert_refused(
        clearcast("study", data, "--recipe", "raport"), "unknown recipe 'raport'; expected report, report-literal"
    )
    assert_refused(clearcast("study", data, "--stages", "7"), "unknown stage 7")


def test_findings_are_not_overwritten(clearcast: Clearcast, data: Path, tmp_path: Path) -> None:
    assert clearcast("check", data, "--out", tmp_path / "out").code == 0
    assert_refused(clearcast("check", data, "--out", tmp_path / "out"), "exists", "--force")


def test_a_message_with_brackets_is_printed_as_it_is(clearcast: Clearcast, data: Path) -> None:
    first_noisy(data).unlink()
    replace_first_noisy(data, "[red]disk_ok[blue].png")
    done = clearcast("check", data)
    assert done.code == 1
    assert "[red]disk_ok[blue].png" in done.out


def test_corrupt_skips_a_damaged_image(clearcast: Clearcast, tmp_path: Path) -> None:
    folder = tmp_path / "clean"
    folder.mkdir()
    for name in ("a_ok.png", "b_def.png", "c_ok.png"):
        Image.new("L", (64, 64), 128).save(folder / name)
    (folder / "d_def.png").write_bytes(b"")
    assert_refused(clearcast("corrupt", folder, tmp_path / "out"), "1 images could not be used", "d_def.png")
    assert len(pd.read_excel(tmp_path / "out/Labels.xlsx", engine="calamine")) == 3


def test_a_folder_with_brackets_in_its_name(clearcast: Clearcast, data: Path, tmp_path: Path) -> None:
    done = clearcast("check", data, "--out", tmp_path / "[b]" / "out[/b]")
    assert done.code == 0, done.error
    assert "[b]/out[/b]" in done.out


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
def test_a_missing_gpu(clearcast: Clearcast, data: Path, tmp_path: Path) -> None:
    done = clearcast("study", data, "--out", tmp_path / "run", "--device", "gpu", "--epochs", "1")
    assert_refused(done, "a GPU was requested", "--device cpu")
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_is_not_text(clearcast: Clearcast, data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    assert_refused(clearcast("study", data, "--recipe", tmp_path / "mine.toml"), "cannot be read as UTF-8")


def test_the_report_can_be_written_again(clearcast: Clearcast, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert clearcast("study", data, "--out", run, "--stages", "2", *QUICK).code == 0
    (run / "report.html").unlink()
    assert clearcast("report", run).code == 0
    assert (run / "report.html").exists()
    assert_refused(clearcast("report", tmp_path / "data"), "no metrics.json")


def test_ctrl_c_is_one_message_and_exit_code_130(tmp_path: Path) -> None:
    code = "from clearcast.cli import main; main()"
    command = [sys.executable, "-c", code, "disks", str(tmp_path / "disks"), "--parts", "500"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "disks" / "pictures").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.startswith("Stopped. What was finished is kept")
    assert "Traceback" not in error
