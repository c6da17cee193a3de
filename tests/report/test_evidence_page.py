"""Report page of a run with evidence: first screen, sections, charts and caveats."""

import copy
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from clearcast.core.errors import OutputError
from clearcast.core.evidence_schema import Evidence
from clearcast.data.sheet import Sheet
from clearcast.data.validation import UsableRows
from clearcast.metrics.results import DataWarning, GroupCounts, RunInfo, WarningKind, make_data_warning
from clearcast.report.charts import evidence as charts
from clearcast.report.charts.style import CHART_NAMES
from clearcast.report.page import write_report
from clearcast.report.run_reader import read_run_results
from clearcast.study.context import leakage_warnings, wrong_reference_warnings
from tests.report.parsed_page import Element, parse
from tests.report.sample_evidence import COMPARISON_SENTENCE, UNDEFINED, evidence_of, write_evidence
from tests.report.sample_run import SampleRun, write_sample_run

GROUPS = GroupCounts(source="found", parts=203, rows=120, largest=28, leaked_test_images=0, test_images=24)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    """A small run, without a page and without evidence."""
    return write_sample_run(tmp_path_factory.mktemp("evidence"), side=16)


@pytest.fixture(scope="module")
def evidence(sample: SampleRun) -> Evidence:
    return evidence_of(sample.metrics, sample.predictions)


@pytest.fixture(scope="module")
def folder(sample: SampleRun, evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run split by parts, with complete evidence, and its page."""
    folder = tmp_path_factory.mktemp("full") / "run"
    _write(sample, folder, evidence, _split_by_parts)
    return folder


@pytest.fixture(scope="module")
def tree(folder: Path) -> Element:
    return _read(folder)


def _write(
    sample: SampleRun, folder: Path, evidence: Evidence | None, change: Callable[[RunInfo], None] = lambda _: None
) -> None:
    shutil.copytree(sample.folder, folder)
    metrics = copy.deepcopy(sample.metrics)
    change(metrics["run"])
    (folder / "metrics.json").write_text(json.dumps(metrics))
    if evidence:
        write_evidence(folder, evidence)
    write_report(folder)


def _split_by_parts(info: RunInfo) -> None:
    info["split_kind"], info["groups"] = "grouped", GROUPS


def _read(folder: Path) -> Element:
    return parse((folder / "report.html").read_text(encoding="utf-8"))


def _cells(block: Element) -> dict[str, list[str]]:
    """The rows of a block's table by their names, the parts of a cell apart by blanks."""
    return {
        row.find("th")[0].all_text(): [" ".join(part.text for part in cell.children) for cell in row.find("td")]
        for row in block.find("tbody")[0].find("tr")
    }


def _block(tree: Element, title: str) -> Element:
    blocks = (one for tag in ("div", "aside") for one in tree.find("section", id="results")[0].find(tag))
    return next(one for one in blocks if [item.text for item in one.find("h3")] == [title])


def _caveats(tree: Element, **attributes: str) -> list[str]:
    return [item.all_text() for item in tree.find("aside")[0].find("li", **attributes)]


def test_first_screen_has_the_headline_and_the_four_answers_in_order(tree: Element) -> None:
    (results,) = tree.find("section", id="results")
    (headline,) = results.find("h2")
    assert re.fullmatch(
        r"On parts outside the training set, \d+ of 24 test images are classified correctly after denoising, "
        r"\d+ before\.",
        headline.text,
    )
    assert [item.text for item in results.find("h3")] == [
        "Verdict quality",
        "Denoising quality",
        "Does denoising help?",
        "Caveats",
    ]


def test_verdict_grid_has_intervals_and_rates_at_the_chosen_threshold(tree: Element, evidence: Evidence) -> None:
    block = _block(tree, "Verdict quality")
    rows = _cells(block)
    assert list(rows) == ["Noisy (stage 1)", "Denoised (stage 4)", "Noise-free (ceiling)"]
    chosen = evidence["decisions"]["noisy"]["chosen"]
    assert chosen is not None
    shown = [evidence["classification"]["noisy"]["accuracy"], evidence["classification"]["noisy"]["roc_area"]]
    expected = [
        f"{one['value']:.3f} {one['low']:.3f} to {one['high']:.3f}"
        for one in (*shown, chosen["escape"], chosen["overkill"])
    ]
    expected[0] += " published 0.764"
    expected[1] += " published 0.840"
    assert rows["Noisy (stage 1)"] == expected
    assert "at the chosen threshold, accuracy at 0.5." in block.all_text()


def test_denoising_has_its_gain_with_an_interval(tree: Element, evidence: Evidence) -> None:
    rows = _cells(_block(tree, "Denoising quality"))
    gain = evidence["gain"]["all"]["psnr"]
    assert rows["PSNR, dB"][2] == f"{gain['value']:+.2f} {gain['low']:+.2f} to {gain['high']:+.2f}".replace("-", "−")
    assert rows["PSNR, dB"][1].endswith("published 26.07")
    assert set(rows) == {"PSNR, dB", "SSIM"}


def test_the_comparison_is_shown_once_and_drawn(tree: Element) -> None:
    block = _block(tree, "Does denoising help?")
    sentence = COMPARISON_SENTENCE[0].upper() + COMPARISON_SENTENCE[1:] + "."
    assert [item.text for item in block.find("p", **{"class": "answer"})] == [sentence]
    assert tree.all_text().count(sentence) == 1
    (chart,) = block.find("div", role="img")
    assert "+4.0 (−0.8 to +8.9)" in (chart.attributes["aria-label"] or "")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("leaked", "share"), [(20, "most"), (3, "some")])
def test_leaked_test_images_stand_out(
    sample: SampleRun, evidence: Evidence, tmp_path: Path, leaked: int, share: str
) -> None:
    def leak(info: RunInfo) -> None:
        info["split_kind"], info["groups"] = "random", GroupCounts(**GROUPS | {"leaked_test_images": leaked})
        info["warnings"] = leakage_warnings(leaked, 24)

    _write(sample, tmp_path / "run", evidence, leak)
    tree = _read(tmp_path / "run")
    (grave,) = _caveats(tree, **{"class": "grave"})
    assert f"{leaked} of 24 test images show a part that is also in the training set" in grave
    assert _caveats(tree)[0] == grave
    assert sum(f"{leaked} of 24" in caveat for caveat in _caveats(tree)) == 1
    assert (
        f"but {share} of them show parts that are also in the training set." in tree.find("h2", id="headline")[0].text
    )


@pytest.mark.usefixtures("undrawn")
def test_a_warning_that_resembles_the_one_of_shared_parts_is_shown(
    sample: SampleRun, evidence: Evidence, tmp_path: Path
) -> None:
    chosen = "3 of 24 test images show a part that thresholds were chosen on too: escapes are too few."
    old = "3 of 24 test images show a part that was also trained on: the figures measure memory as well as skill."

    def leak(info: RunInfo) -> None:
        info["split_kind"], info["groups"] = "random", GroupCounts(**GROUPS | {"leaked_test_images": 3})
        kept = [old, chosen, make_data_warning(WarningKind.CHOSEN_ON_TESTED, f"{chosen} Indeed.")]
        info["warnings"] = cast(list[DataWarning], kept)  # of an older run and of a present one

    _write(sample, tmp_path / "run", evidence, leak)
    caveats = _caveats(_read(tmp_path / "run"))
    assert {chosen, f"{chosen} Indeed."} <= set(caveats)
    assert old not in caveats


@pytest.mark.usefixtures("undrawn")
def test_wrong_references_stand_out(sample: SampleRun, evidence: Evidence, tmp_path: Path) -> None:
    rows = UsableRows(sheet=cast(Sheet, None), metadata={}, left_out=("row 2: ...", "row 3: ..."), wrong_references=2)

    def warn(info: RunInfo) -> None:
        info["warnings"] = wrong_reference_warnings(rows)

    _write(sample, tmp_path / "run", evidence, warn)
    (grave,) = _caveats(_read(tmp_path / "run"), **{"class": "grave"})
    assert grave.startswith("2 rows had a reference that does not show the same as the noisy image")


@pytest.mark.usefixtures("undrawn")
def test_few_parts_and_poor_calibration_are_caveats(
    sample: SampleRun, evidence: Evidence, tmp_path: Path, tree: Element
) -> None:
    assert any("Few parts: 24 test images of 17 ok and 24 defect parts" in caveat for caveat in _caveats(tree))
    assert not any("probabilities" in caveat for caveat in _caveats(tree))
    changed = copy.deepcopy(evidence)
    changed["parts"], changed["parts_by_label"], changed["robustness"] = 150, {"ok": 30, "defect": 120}, {}
    calibration = changed["decisions"]["denoised"]["calibration"]
    assert calibration is not None
    calibration["error_after"]["value"] = 0.2
    _write(sample, tmp_path / "run", changed)
    caveats = _caveats(_read(tmp_path / "run"))
    assert not any("Few parts" in caveat for caveat in caveats)
    assert any("differ from the observed shares by 0.200" in caveat for caveat in caveats)
    assert "Robustness to stronger noise was not measured." in caveats


def test_sections_and_their_charts_are_complete(tree: Element, folder: Path) -> None:
    ids = [section.attributes["id"] for section in tree.find("section")]
    assert ids[:7] == ["results", "overview", "calibration", "operating", "retake", "robustness", "parts"]
    figures = {path.stem for path in (folder / "figures").iterdir()}
    stages = ("reference", "noisy", "denoised", "transfer")
    assert {f"{stage}-{what}" for stage in stages for what in ("calibration", "operating", "retake")} <= figures
    assert {"differences", "robustness-gaussian", "robustness-periodic", "robustness-salt_and_pepper"} <= figures
    assert figures <= CHART_NAMES
    folded = tree.find("section", id="operating")[0].find("details")[0]
    assert [item.text for item in folded.find("h3")] == [
        "OK or defect on noise-free images (the ceiling)",
        "Stage 1's network on denoised images, without retraining",
    ]


def test_operating_points_equal_the_evidence(tree: Element, evidence: Evidence) -> None:
    table = tree.find("section", id="operating")[0].find("table")[0]
    decision = evidence["decisions"]["noisy"]
    for row, point in zip(table.find("tbody")[0].find("tr"), (decision["plain"], decision["chosen"]), strict=True):
        assert point is not None
        cells = [cell.text for cell in row.find("td")]
        assert cells[0] == f"{point['thresholds'][0]:.3f}"
        assert cells[1] == f"{point['escapes']} of {point['defects']}"
        assert cells[3] == f"{point['overkills']} of {point['oks']}"


def test_tables_of_the_stages_have_the_intervals(tree: Element, evidence: Evidence) -> None:
    (section,) = tree.find("section", id="noisy")
    table = section.find("table")[0]
    assert [head.text for head in table.find("thead")[0].find("th")][1:] == ["Ours", "95% interval", "Published"]
    accuracy = evidence["classification"]["noisy"]["accuracy"]
    assert table.find("td")[1].text == f"{accuracy['low']:.3f} to {accuracy['high']:.3f}"
    (denoising,) = tree.find("section", id="denoising")
    captions = [item.text for item in denoising.find("caption")]
    assert captions[1] == "Denoising by noise type, mean (95% interval)"


def test_no_sentence_is_repeated(tree: Element) -> None:
    (body,) = tree.find("body")
    texts = [item.all_text().strip() for tag in ("p", "li") for item in body.find(tag) if "key" not in item.classes()]
    long = [one for one in texts if len(one) > 60 and "layers as stage" not in one]
    assert len(long) == len(set(long)), [one for one in long if long.count(one) > 1]


def test_texts_of_the_evidence_are_escaped(tree: Element, folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<sic>" not in page
    assert "<against>" not in page
    assert "lets 4 of 126 defects escape <sic>." in tree.all_text()


def test_page_is_self_contained_and_has_unique_ids(tree: Element, folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    names = re.findall(r'\sid="([^"]*)"', page)
    assert len(names) == len(set(names))
    addresses = [link.attributes["href"] or "" for link in tree.find("a")]
    assert all(address.startswith("#") and address[1:] in names for address in addresses)
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= set(names)


@pytest.mark.usefixtures("undrawn")
def test_without_validation_nothing_was_chosen(sample: SampleRun, tmp_path: Path) -> None:
    _write(sample, tmp_path / "run", evidence_of(sample.metrics, sample.predictions, validation=False))
    tree = _read(tmp_path / "run")
    assert not tree.find("section", id="calibration")
    assert "and accuracy at the threshold 0.5." in _block(tree, "Verdict quality").all_text()
    assert any(caveat.startswith("There were no suitable validation images") for caveat in _caveats(tree))
    (operating,) = tree.find("section", id="operating")
    assert len(operating.find("table")[0].find("tbody")[0].find("tr")) == 1
    assert not tree.find("section", id="retake")[0].find("table")


@pytest.mark.usefixtures("undrawn")
def test_one_label_has_no_curve_and_undefined_figures_are_dashes(tmp_path: Path) -> None:
    sample = write_sample_run(tmp_path, rows=6, side=16, stages=("noisy", "denoising", "denoised"))
    changed = evidence_of(sample.metrics, sample.predictions.assign(label="defect"))
    for figures in changed["classification"].values():
        figures["accuracy"], figures["roc_area"] = UNDEFINED, UNDEFINED
    changed["comparisons"][0]["difference"] = UNDEFINED
    for curve in changed["robustness"].values():
        for level in curve["points"]:
            level["escape"] = dict.fromkeys(level["escape"], UNDEFINED)
    _write(sample, tmp_path / "copy", changed)
    tree = _read(tmp_path / "copy")
    cells = _cells(_block(tree, "Verdict quality"))["Denoised (stage 4)"]
    assert cells[0].startswith("– ")
    assert [cells[1], cells[3]] == ["–", "–"]
    assert not tree.find("section", id="operating")[0].find("figure")
    assert not (tmp_path / "copy" / "figures" / "noisy-operating.png").exists()


def test_figures_without_values_are_drawn_with_gaps(evidence: Evidence) -> None:
    comparison, curve = copy.deepcopy(evidence["comparisons"][0]), copy.deepcopy(evidence["robustness"]["gaussian"])
    decision = copy.deepcopy(evidence["decisions"]["noisy"])
    assert decision["curve"] is not None
    comparison["difference"] = decision["plain"]["escape"] = UNDEFINED
    for level in curve["points"]:
        level["escape"] = dict.fromkeys(level["escape"], UNDEFINED)
    drawn = [charts.draw_differences([comparison], ["this"]), charts.draw_robustness(curve)]
    for figure in [*drawn, charts.draw_operating_curves(decision, decision["curve"])]:
        figure.canvas.draw()


@pytest.mark.usefixtures("undrawn")
def test_evidence_of_single_stages_gives_a_page(tmp_path: Path) -> None:
    for stages in (("noisy",), ("denoising",), ("noise_type",)):
        run = write_sample_run(tmp_path / stages[0], rows=6, side=16, stages=stages)
        write_evidence(run.folder, evidence_of(run.metrics, run.predictions))
        write_report(run.folder)
        tree = _read(run.folder)
        assert tree.find("section", id="parts")
        assert bool(tree.find("section", id="operating")) == (stages == ("noisy",))
        assert "Does denoising help?" not in tree.all_text()


@pytest.mark.usefixtures("undrawn")
def test_folds_are_linked_to_their_own_pages(sample: SampleRun, evidence: Evidence, tmp_path: Path) -> None:
    def fold(info: RunInfo) -> None:
        info["folds"] = 3

    changed = copy.deepcopy(evidence)
    for decision in changed["decisions"].values():
        assert decision["calibration"] is not None
        assert decision["chosen"] is not None
        decision["calibration"]["temperatures"] = [1.5, 2.0, 2.5]
        decision["chosen"]["thresholds"] = [0.1, 0.2, 0.3]
    folder = tmp_path / "run"
    _write(sample, folder, changed, fold)
    assert not [link for link in _read(folder).find("a") if "fold" in (link.attributes["href"] or "")]
    metrics = json.loads((folder / "metrics.json").read_text())
    for stage in metrics["stages"].values():
        stage["training"] = None
    (folder / "metrics.json").write_text(json.dumps(metrics))
    for number in (1, 2):  # the third was stopped
        (folder / f"fold-{number}").mkdir()
        (folder / f"fold-{number}" / "report.html").write_text("")
    write_report(folder)
    tree = _read(folder)
    links = [link.attributes["href"] for link in tree.find("a") if "fold" in (link.attributes["href"] or "")]
    assert links == ["fold-1/report.html", "fold-2/report.html"]
    assert "fold-3" in tree.find("header")[0].all_text()
    assert "Trained separately in each of the 3 folds" in tree.find("section", id="noisy")[0].all_text()
    assert "0.100, 0.200, 0.300" in tree.find("section", id="operating")[0].all_text()


@pytest.mark.usefixtures("undrawn")
def test_groups_are_listed_without_evidence_too(sample: SampleRun, tmp_path: Path) -> None:
    _write(sample, tmp_path / "run", None, _split_by_parts)
    tree = _read(tmp_path / "run")
    (parts,) = tree.find("section", id="parts")
    assert "found by comparing the images" in parts.all_text()
    assert any("assume that all 24 test images are independent" in caveat for caveat in _caveats(tree))
    assert not tree.find("section", id="operating")


def test_damaged_evidence_is_refused(sample: SampleRun, tmp_path: Path) -> None:
    shutil.copytree(sample.folder, tmp_path / "run")
    (tmp_path / "run" / "evidence.json").write_text('{"format": 1')
    with pytest.raises(OutputError, match=r"evidence\.json: cannot be read"):
        read_run_results(tmp_path / "run")
