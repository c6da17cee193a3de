"""Sheet options of the commands."""

import inspect
import json
from pathlib import Path

import pytest
from openpyxl import Workbook
from PIL import Image
from rich.console import Console

from clearcast.cli.benchmark import benchmark
from clearcast.cli.bundles import train
from clearcast.cli.data import check
from clearcast.cli.evaluate import compare, evaluate
from clearcast.cli.predict import predict
from clearcast.cli.serve import feedback
from clearcast.cli.study import study
from clearcast.core.errors import SheetError
from clearcast.data.sheet import SheetReading, read_sheet
from clearcast.data.validation import filter_usable_rows
from clearcast.evaluation.benchmark.benchmark_runner import was_trained_on_sheet

SHEET_OPTIONS = {
    "worksheet",
    "strip_prefix",
    "ok_value",
    "defect_value",
    "noisy_column",
    "label_column",
    "group_column",
}


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    """A workbook whose table is on its second worksheet, below a title, with foreign paths and its own labels."""
    book = Workbook()
    book.active.title = "Cover"
    sheet = book.create_sheet("Parts")
    for row in (("Line 4",), ("Denoise Image", "Noise Type", "Noisy Image", "Result")):
        sheet.append(row)
    for place in range(6):
        for folder in ("c", "n"):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new("L", (64, 64), 20 * place + (folder == "n")).save(tmp_path / folder / f"{place}.png")
        word = "Kratzer" if place % 2 else "fein"
        sheet.append((f"C:\\data\\c\\{place}.PNG", "Salt", f"C:\\data\\n\\{place}.png", word))
    sheet.row_dimensions[4].hidden = True
    sheet.append(("Total: 6",))
    book.save(tmp_path / "list.xlsx")
    return tmp_path / "list.xlsx"


@pytest.mark.parametrize("command", [check, study, train, evaluate, compare, benchmark, feedback])
def test_every_command_that_reads_a_sheet_has_the_sheet_options(command: object) -> None:
    named = set(inspect.signature(command).parameters)  # type: ignore[arg-type]

    assert named >= SHEET_OPTIONS
    assert "options" not in named
    assert ("root" in named) == (command is not feedback)


def test_predict_has_the_options_of_a_source() -> None:
    assert set(inspect.signature(predict).parameters) >= {"worksheet", "strip_prefix", "root", "noisy_column"}


def test_check_reports_what_it_read_and_suggests_options(workbook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BaseException, match="1"):
        check(workbook, label_column="Result")

    printed = " ".join(capsys.readouterr().out.split())
    assert "Read worksheet 'Parts', header in row 2, rows 3 to 9." in printed
    assert "12 paths begin with 'C:/data'; remove it with --strip-prefix C:/data" in printed
    assert "--ok-value and --defect-value" in printed
    assert "1 of 7 rows are hidden" in printed


def test_check_follows_the_sheet_options(workbook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BaseException, match="1"):  # the total
        check(
            workbook,
            label_column="Result",
            strip_prefix=["C:\\data"],
            ok_value=["Fein"],
            defect_value=["kratzer"],
            worksheet="parts",
        )

    printed = " ".join(capsys.readouterr().out.split())
    assert "3 ok, 3 defect" in printed
    assert "(row 9: ): the row is below the last complete row ('Total: 6')" in printed
    assert printed.count("error ") == 4  # of the total: no image, noise type, label
    assert "6 paths differ from file names only in case" in printed


def test_messages_name_worksheet_and_rows(workbook: Path) -> None:
    with pytest.raises(SheetError, match=r"(?s)7 of 7 rows .*Read worksheet 'Parts', header in row 2, rows 3 to 9\. "):
        filter_usable_rows(read_sheet(workbook), skip_bad=False, console=Console(quiet=True))


def test_another_worksheet_of_a_workbook_is_another_sheet(workbook: Path, tmp_path: Path) -> None:
    sheet = read_sheet(workbook)
    (tmp_path / "run").mkdir()

    def run_with(**question: object) -> Path:
        metadata = {"format": 1, "started": "", "question": {"sheet_sha256": sheet.sha256, **question}}
        (tmp_path / "run" / "run.json").write_text(json.dumps(metadata))
        return tmp_path / "run"

    assert was_trained_on_sheet(run_with(reading=SheetReading(worksheet="Parts").non_default()), sheet)
    assert not was_trained_on_sheet(run_with(), sheet)
