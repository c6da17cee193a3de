import json
import re
from html import escape
from pathlib import Path
from typing import cast

import cv2
import pytest
from parsed_page import Element, parse
from sample_run import HOSTILE, SampleRun, write_sample_run

from clearcast.errors import OutputError
from clearcast.evaluation.results import RestorationStage
from clearcast.report import gallery
from clearcast.report.page import write_report
from clearcast.report.sources import read_run


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    """A full run of 24 test pictures, with its page written."""
    run = write_sample_run(tmp_path_factory.mktemp("sample"))
    write_report(run.folder)
    return run


@pytest.fixture(scope="module")
def page(sample: SampleRun) -> str:
    return (sample.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tree(page: str) -> Element:
    return parse(page)


def _table(tree: Element, caption: str) -> dict[str, list[str]]:
    """A table's rows by their names."""
    (table,) = (
        table for table in tree.find("table") if [item.all_text() for item in table.find("caption")] == [caption]
    )
    (body,) = table.find("tbody")
    return {row.find("th")[0].all_text(): [cell.all_text() for cell in row.find("td")] for row in body.find("tr")}


def test_page_has_one_language_one_title_and_a_text_for_every_picture(tree: Element) -> None:
    assert tree.find("html")[0].attributes["lang"] == "en"
    assert len(tree.find("h1")) == 1
    assert all(image.attributes["alt"] for image in tree.find("img"))
    assert all(figure.find("div", role="img")[0].attributes["aria-label"] for figure in tree.find("figure"))


def test_page_names_each_part_once(page: str) -> None:
    names = re.findall(r'\sid="([^"]*)"', page)
    assert len(names) == len(set(names))


def test_page_needs_nothing_from_elsewhere(page: str, tree: Element) -> None:
    elements = [
        element for tag in ("img", "a", "link", "script", "use", "iframe", "image") for element in tree.find(tag)
    ]
    addresses = [element.attributes.get(name) or "" for element in elements for name in ("src", "href")]
    assert addresses
    assert all(address == "" or address.startswith(("data:image/jpeg;base64,", "#")) for address in addresses)
    assert "@import" not in page
    assert set(re.findall(r"url\(([^)]{0,2})", page)) <= {"#p"}  # the figures' own clipping paths


def test_every_address_inside_the_page_has_its_target(page: str) -> None:
    targets = set(re.findall(r'\sid="([^"]*)"', page))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= targets
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= targets


def test_hostile_names_are_shown_and_not_obeyed(page: str, tree: Element) -> None:
    assert HOSTILE not in page
    assert any(HOSTILE in element.all_text() for element in tree.find("article"))
    assert any(HOSTILE in (image.attributes["alt"] or "") for image in tree.find("img"))
    assert "<i>broken" not in page
    assert escape("<i>broken.png") in page


@pytest.mark.parametrize(
    ("stage", "caption"),
    [
        ("reference", "Table 0. Ok or defect on noise-free pictures (the ceiling)"),
        ("noisy", "Table 1. Ok or defect on noisy pictures"),
        ("noise_type", "Table 2. Noise type"),
        ("denoised", "Table 4. Ok or defect on denoised pictures"),
        ("transfer", "Stage 1's network on denoised pictures, not trained again"),
    ],
)
def test_classification_tables_equal_the_metrics(sample: SampleRun, tree: Element, stage: str, caption: str) -> None:
    stored = json.loads((sample.folder / "metrics.json").read_text())["stages"][stage]
    names = {
        "Accuracy": "accuracy",
        "Precision (weighted)": "precision",
        "Recall (weighted)": "recall",
        "F1 score (weighted)": "f1",
        "Area under the ROC curve": "roc_area",
        "Precision of defect": "defect_precision",
        "F1 score of defect": "defect_f1",
        "Sensitivity (defects found)": "sensitivity",
        "Specificity (ok passed)": "specificity",
    }
    published = stored["published"] or {}
    expected = {
        text: ["%.4f" % stored["metrics"][key], "%.4f" % published[key] if key in published else "–"]  # noqa: UP031
        for text, key in names.items()
        if key in stored["metrics"]
    }
    assert _table(tree, caption) == expected


def test_denoising_tables_equal_the_metrics(sample: SampleRun, tree: Element) -> None:
    stage = json.loads((sample.folder / "metrics.json").read_text())["stages"]["denoising"]
    before, after = stage["noisy"]["all"], stage["denoised"]["all"]
    assert _table(tree, "Table 3. Denoising") == {
        "PSNR in dB": [f"{before['psnr']['mean']:.2f}", f"{after['psnr']['mean']:.2f}", "26.07"],
        "SSIM": [f"{before['ssim']['mean']:.4f}", f"{after['ssim']['mean']:.4f}", "0.7190"],
        "MSE": [f"{before['mse']['mean']:.4f}", f"{after['mse']['mean']:.4f}", "0.0054"],
        "LPIPS": ["–", "–", "0.2754"],
    }
    rows = _table(tree, "Denoising by noise type")
    assert list(rows) == ["Gaussian", "Periodic", "Salt-and-pepper", "All"]
    gain = stage["denoised"]["gaussian"]["psnr"]["mean"] - stage["noisy"]["gaussian"]["psnr"]["mean"]
    spread = stage["denoised"]["gaussian"]["psnr"]
    assert rows["Gaussian"][2:4] == [f"{spread['mean']:.2f} ± {spread['std']:.2f}", f"{gain:+.2f}"]


def test_summary_counts_what_denoising_mended_and_spoiled(sample: SampleRun, tree: Element) -> None:
    rows = sample.predictions.to_dict("records")
    mended = sum(row["said_noisy"] != row["label"] == row["said_denoised"] for row in rows)
    spoiled = sum(row["said_noisy"] == row["label"] != row["said_denoised"] for row in rows)
    (summary,) = tree.find("p", **{"class": "summary"})
    assert f"mended {mended} verdicts and spoiled {spoiled}." in summary.all_text()
    assert "(published: 0.7640)" in summary.all_text()


def test_gallery_shows_worst_first_by_psnr(sample: SampleRun, tree: Element) -> None:
    cards = {
        int(card.attributes["data-worst"] or 0): card
        for card in tree.find("article")
        if "data-worst" in card.attributes
    }
    shown = [int(cards[place].attributes["data-row"] or 0) for place in sorted(cards)]
    order = sample.predictions.sort_values("psnr_denoised")
    worst = order.groupby("noise_type").head(gallery.WORST)
    assert shown == worst["row"].tolist()
    assert shown[0] == order["row"].iloc[0]


def test_gallery_spreads_over_each_noise_type_from_worst_to_best(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=60, side=16)
    chosen = run.predictions.iloc[gallery.choose(run.predictions)["spread"]]
    for noise, group in run.predictions.groupby("noise_type"):
        shown = chosen.loc[chosen["noise_type"] == noise, "psnr_denoised"]
        assert len(shown) == gallery.SPREAD
        assert shown.is_monotonic_increasing
        assert (shown.iloc[0], shown.iloc[-1]) == (group["psnr_denoised"].min(), group["psnr_denoised"].max())


def test_missing_picture_is_told_and_the_rest_is_shown(sample: SampleRun, tree: Element) -> None:
    missing = str(sample.predictions["row"].iloc[-1])
    (card,) = tree.find("article", **{"data-row": missing})
    (problem,) = card.find("p", **{"class": "missing"})
    assert "no such file" in problem.all_text()
    assert len(card.find("img")) == 2


def test_wrong_verdicts_are_those_of_the_predictions(sample: SampleRun, tree: Element) -> None:
    stages = ("reference", "noisy", "denoised", "transfer")
    wrong = {
        row["row"]: [f"p_defect_{stage}" for stage in stages if row[f"said_{stage}"] != row["label"]]
        for row in sample.predictions.to_dict("records")
    }
    (section,) = tree.find("section", id="mistakes")
    rows = [int(re.findall(r"row (\d+)", card.all_text())[0]) for card in section.find("article")]
    assert sorted(rows) == sorted(row for row, erred in wrong.items() if erred)
    by_row = sample.predictions.set_index("row")
    defects = [row for row in rows if by_row.loc[row, "label"] == "defect"]
    assert rows[: len(defects)] == defects
    lowest = [by_row.loc[row, wrong[row]].min() for row in defects]
    assert lowest == sorted(lowest)


def test_run_with_one_stage_makes_a_page_of_it(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, stages=("noise_type",))
    tree = parse(write_report(run.folder).read_text(encoding="utf-8"))
    assert [section.attributes["id"] for section in tree.find("section")] == ["results", "run", "noise_type"]
    assert {path.name for path in (run.folder / "figures").iterdir()} == {
        "noise_type-confusion.png",
        "noise_type-learning.png",
        "noise_type-roc.png",
    }


@pytest.mark.parametrize("stage", ["reference", "noisy", "denoising", "transfer"])
def test_each_stage_stands_alone(tmp_path: Path, stage: str) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=(stage,))
    tree = parse(write_report(run.folder).read_text(encoding="utf-8"))
    assert tree.find("section", id=stage)


def test_pictures_without_noise_have_no_gain_and_an_infinite_psnr(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=("denoising",))
    run.predictions.assign(noise_type="none", psnr_noisy=float("inf")).to_csv(run.folder / "predictions.csv")
    stage = cast(RestorationStage, run.metrics["stages"]["denoising"])
    for spreads in (stage["noisy"], stage["denoised"]):
        spreads["none"] = spreads["all"]
    stage["noisy"]["all"]["psnr"] = {"mean": None, "std": None, "identical": 6}
    (run.folder / "metrics.json").write_text(json.dumps(run.metrics))
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert "∞ → " in page
    assert not (run.folder / "figures" / "denoising-gain.png").exists()


def test_figures_are_whole_png_files(sample: SampleRun) -> None:
    figures = {path.stem: cv2.imread(str(path)) for path in (sample.folder / "figures").iterdir()}
    assert {
        "accuracy",
        "noisy-confusion",
        "noisy-roc",
        "noisy-learning",
        "denoising-learning",
        "denoising-gain",
    } <= set(figures)
    assert "transfer-learning" not in figures
    assert all(picture is not None and picture.std() > 1 for picture in figures.values())


def test_same_run_makes_the_same_page(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=("denoising",))
    once = write_report(run.folder).read_text(encoding="utf-8")
    assert write_report(run.folder).read_text(encoding="utf-8") == once
    assert not list(run.folder.glob("*.part"))


def test_folder_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no metrics\.json there; needed is a run folder"):
        write_report(tmp_path)


def test_damaged_metrics_are_refused(sample: SampleRun, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"format": 1,')
    with pytest.raises(OutputError, match=r"metrics\.json: cannot be read .* run the study again"):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_bytes((sample.folder / "metrics.json").read_bytes())
    with pytest.raises(OutputError, match=r"no predictions\.csv there"):
        write_report(tmp_path)


def test_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=("noise_type",))
    (run.folder / "figures").write_text("in the way")
    with pytest.raises(OutputError, match=r"report\.html: cannot be written"):
        write_report(run.folder)


def test_picture_named_like_a_missing_value_keeps_its_name(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=("noise_type",))
    run.predictions.assign(noisy="NA").to_csv(run.folder / "predictions.csv", index=False)
    assert read_run(run.folder).predictions["noisy"].tolist() == ["NA"] * 6
