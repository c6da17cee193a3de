import io
from pathlib import Path

import pytest
import rich.console

from clearcast.report.study_tables import make_row_counts_table, make_terminal_tables
from tests.report.sample_evidence import COMPARISON_SENTENCE, evidence_of
from tests.report.sample_run import LPIPS_NOTE, SampleRun, write_sample_run


@pytest.fixture
def sample(tmp_path: Path) -> SampleRun:
    return write_sample_run(tmp_path, side=16)


def _printed(sample: SampleRun) -> str:
    console = rich.console.Console(file=io.StringIO(), width=100, record=True)
    for table in make_terminal_tables(sample.metrics):
        console.print(table)
    return console.export_text()


def test_terminal_prints_all_stages_in_the_order_of_the_study(sample: SampleRun) -> None:
    titles = [str(table.title) for table in make_terminal_tables(sample.metrics)]
    assert [title.split(".")[0] for title in titles[:5]] == [f"Table {number}" for number in range(5)]
    assert titles[5].startswith("Stage 1's network on denoised images")


def test_terminal_prints_the_published_figure_beside_ours(sample: SampleRun) -> None:
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in _printed(sample).splitlines() if "│" in line]
    ours = f"{sample.metrics['stages']['noisy']['metrics']['accuracy']:.4f}"  # type: ignore[typeddict-item]
    assert ["Accuracy", ours, "0.7640"] in lines
    psnr = next(line for line in lines if line[0] == "PSNR, dB")
    assert psnr[3] == "26.07"
    assert ["LPIPS", "not measured", "not measured", "0.2754"] in lines


def test_terminal_explains_missing_lpips(sample: SampleRun) -> None:
    assert f"LPIPS was not measured: {LPIPS_NOTE}." in " ".join(_printed(sample).split())


def test_terminal_prints_intervals_and_the_comparison_with_evidence(sample: SampleRun) -> None:
    console = rich.console.Console(file=io.StringIO(), width=100, record=True)
    evidence = evidence_of(sample.metrics, sample.predictions)
    for table in make_terminal_tables(sample.metrics, evidence):
        console.print(table)
    text = console.export_text()
    accuracy = evidence["classification"]["noisy"]["accuracy"]
    assert f"{accuracy['low']:.3f} to {accuracy['high']:.3f}" in text
    assert " ".join(text.split()).count(COMPARISON_SENTENCE) == 1


def test_row_counts_are_by_label_and_noise_and_have_a_total(sample: SampleRun) -> None:
    table = make_row_counts_table(sample.metrics["run"])
    assert table.columns == ("", "Train", "Test")
    assert ("Salt-and-pepper", "32", "8") in table.rows
    assert table.rows[-1] == ("All", "96", "24")
