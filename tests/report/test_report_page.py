import json
import re
import shutil
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import cast

import cv2
import pytest

from clearcast.core.errors import OutputError
from clearcast.metrics.results import DenoisingResult, StudyMetrics
from clearcast.report import example_images
from clearcast.report.charts import stages as charts
from clearcast.report.charts.style import CHART_NAMES
from clearcast.report.page import write_report
from clearcast.report.run_reader import read_history, read_run_results
from tests.report.parsed_page import Element, parse
from tests.report.sample_run import HOSTILE, LPIPS_NOTE, SampleRun, write_sample_run


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    """A full run of 24 test images, with its page written."""
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


def _spread(spread: dict[str, float], digits: int = 4) -> str:
    return f"{spread['mean']:.{digits}f} ± {spread['std']:.{digits}f}"


def _caveats(tree: Element) -> list[str]:
    return [item.all_text() for item in tree.find("aside")[0].find("li")]


def _remarks(tree: Element) -> list[str]:
    return [item.all_text() for item in tree.find("section", id="run")[0].find("p")]


def _page_of_changed(sample: SampleRun, folder: Path, change: Callable[[StudyMetrics], None]) -> Element:
    """The page of a copy of the sample whose metrics ``change`` has altered."""
    shutil.copytree(sample.folder, folder / "run")
    metrics = cast(StudyMetrics, json.loads((sample.folder / "metrics.json").read_text()))
    change(metrics)
    (folder / "run" / "metrics.json").write_text(json.dumps(metrics))
    return parse(write_report(folder / "run").read_text(encoding="utf-8"))


def test_page_has_one_language_one_title_and_an_alternative_text_for_every_image(tree: Element) -> None:
    assert tree.find("html")[0].attributes["lang"] == "en"
    assert len(tree.find("h1")) == 1
    assert all(image.attributes["alt"] for image in tree.find("img"))
    assert all(figure.find("div", role="img")[0].attributes["aria-label"] for figure in tree.find("figure"))


def test_page_has_unique_ids(page: str) -> None:
    names = re.findall(r'\sid="([^"]*)"', page)
    assert len(names) == len(set(names))


def test_page_is_self_contained(page: str, tree: Element) -> None:
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


def test_hostile_names_are_escaped(page: str, tree: Element) -> None:
    assert HOSTILE not in page
    assert any(HOSTILE in element.all_text() for element in tree.find("article"))
    assert any(HOSTILE in (image.attributes["alt"] or "") for image in tree.find("img"))
    assert "<i>broken" not in page
    assert escape("<i>broken.png") in page


@pytest.mark.parametrize(
    ("stage", "caption"),
    [
        ("reference", "Table 0. OK or defect on noise-free images (the ceiling)"),
        ("noisy", "Table 1. OK or defect on noisy images"),
        ("noise_type", "Table 2. Noise type"),
        ("denoised", "Table 4. OK or defect on denoised images"),
        ("transfer", "Stage 1's network on denoised images, without retraining"),
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
        "PSNR, dB": [_spread(before["psnr"], 2), _spread(after["psnr"], 2), "26.07"],
        "SSIM": [_spread(before["ssim"]), _spread(after["ssim"]), "0.7190"],
        "MSE": [_spread(before["mse"]), _spread(after["mse"]), "0.0054"],
        "LPIPS": ["not measured", "not measured", "0.2754"],
    }
    rows = _table(tree, "Denoising by noise type, mean ± standard deviation")
    names = {"gaussian": "Gaussian", "periodic": "Periodic", "salt_and_pepper": "Salt-and-pepper", "all": "All"}
    assert list(rows) == [f"{name}, {which}" for name in names.values() for which in ("noisy", "denoised")]
    for noise, name in names.items():
        gain = stage["denoised"][noise]["psnr"]["mean"] - stage["noisy"][noise]["psnr"]["mean"]
        for which, added in (("noisy", ""), ("denoised", f"{gain:+.2f}")):
            measured = stage[which][noise]
            psnr, others = _spread(measured["psnr"], 2), [_spread(measured["ssim"]), _spread(measured["mse"])]
            expected = [str(measured["images"]), psnr, added, *others, "not measured"]
            assert rows[f"{name}, {which}"] == expected


def test_missing_lpips_is_explained_below_its_table_and_listed_as_a_caveat(tree: Element) -> None:
    (note,) = tree.find("p", **{"class": "note"})
    assert note.text == f"LPIPS was not measured: {LPIPS_NOTE}."
    assert "LPIPS was not measured. Table 3 gives the reason." in _caveats(tree)


@pytest.mark.usefixtures("undrawn")
def test_measured_lpips_is_shown_with_its_note(sample: SampleRun, tmp_path: Path) -> None:
    def measure(metrics: StudyMetrics) -> None:
        stage = cast(DenoisingResult, metrics["stages"]["denoising"])
        stage["lpips_note"] = "measured with mine.pth"
        for which in (stage["noisy"], stage["denoised"]):
            for qualities in which.values():
                qualities["lpips"] = {"mean": 0.25, "std": 0.125}

    tree = _page_of_changed(sample, tmp_path, measure)
    assert _table(tree, "Table 3. Denoising")["LPIPS"] == ["0.2500 ± 0.1250", "0.2500 ± 0.1250", "0.2754"]
    rows = _table(tree, "Denoising by noise type, mean ± standard deviation")
    assert [cells[-1] for cells in rows.values()] == ["0.2500 ± 0.1250"] * 8
    (note,) = tree.find("p", **{"class": "note"})
    assert note.text == "LPIPS: measured with mine.pth."
    assert not any("LPIPS" in caveat for caveat in _caveats(tree))


def test_summary_counts_corrected_and_broken_verdicts(sample: SampleRun, tree: Element) -> None:
    rows = sample.predictions.to_dict("records")
    corrected = sum(row["said_noisy"] != row["label"] == row["said_denoised"] for row in rows)
    broken = sum(row["said_noisy"] == row["label"] != row["said_denoised"] for row in rows)
    (answer,) = tree.find("p", **{"class": "answer"})
    noun = "verdict" if corrected == 1 else "verdicts"
    assert answer.text == f"Image by image, denoising corrected {corrected} {noun} and made {broken} wrong."


def test_gallery_shows_worst_first_by_psnr(sample: SampleRun, tree: Element) -> None:
    cards = {
        int(card.attributes["data-worst"] or 0): card
        for card in tree.find("article")
        if "data-worst" in card.attributes
    }
    shown = [int(cards[place].attributes["data-row"] or 0) for place in sorted(cards)]
    order = sample.predictions.sort_values("psnr_denoised")
    worst = order.groupby("noise_type").head(example_images.GALLERY_WORST)
    assert shown == worst["row"].tolist()
    assert shown[0] == order["row"].iloc[0]


def test_gallery_spreads_over_each_noise_type_from_worst_to_best(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=60, side=16)
    chosen = run.predictions.iloc[example_images.choose_gallery_rows(run.predictions)["spread"]]
    for noise, group in run.predictions.groupby("noise_type"):
        shown = chosen.loc[chosen["noise_type"] == noise, "psnr_denoised"]
        assert len(shown) == example_images.GALLERY_SPREAD
        assert shown.is_monotonic_increasing
        assert (shown.iloc[0], shown.iloc[-1]) == (group["psnr_denoised"].min(), group["psnr_denoised"].max())


def test_missing_image_is_reported_and_the_rest_is_shown(sample: SampleRun, tree: Element) -> None:
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


def test_run_with_one_stage_gives_a_page(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, stages=("noise_type",))
    tree = parse(write_report(run.folder).read_text(encoding="utf-8"))
    assert [section.attributes["id"] for section in tree.find("section")] == ["results", "noise_type", "run"]
    assert {path.name for path in (run.folder / "figures").iterdir()} == {
        "noise_type-confusion.png",
        "noise_type-learning.png",
        "noise_type-roc.png",
    }


@pytest.mark.parametrize("stage", ["reference", "noisy", "denoising", "transfer"])
def test_each_stage_alone_gives_a_page(tmp_path: Path, stage: str) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=(stage,))
    tree = parse(write_report(run.folder).read_text(encoding="utf-8"))
    assert tree.find("section", id=stage)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("patience", "validation", "expected", "caption"),
    [
        ((None, None), False, "is the last; the test rows were only monitored", "test rows, monitored"),
        ((None, None), True, "the validation rows were only monitored", "validation rows, monitored"),
        ((5, 5), True, "the one with the lowest loss on the validation rows", "validation rows, used to choose"),
        ((5, None), True, "epoch of each classifier is the one with", "validation rows, used to choose"),
        ((5, 5), False, "better than they would be on other images", "test rows, used to choose"),
    ],
)
def test_the_choice_of_the_epoch_is_reported(
    sample: SampleRun,
    tmp_path: Path,
    patience: tuple[int | None, int | None],
    validation: bool,
    expected: str,
    caption: str,
) -> None:
    def choose(metrics: StudyMetrics) -> None:
        info = metrics["run"]
        info["recipe"] |= {"classifier": {"patience": patience[0]}, "denoiser": {"patience": patience[1]}}
        if validation:
            info["counts"]["validation"] = info["counts"]["test"]

    tree = _page_of_changed(sample, tmp_path, choose)
    grave = [item.all_text() for item in tree.find("aside")[0].find("li", **{"class": "grave"})]
    assert any("better than they would be" in caveat for caveat in grave) == ("better than" in expected)
    assert any(expected in remark for remark in [*_remarks(tree), *grave])
    captions = [item.all_text() for item in tree.find("section", id="noisy")[0].find("figcaption")]
    assert f"Learning curves; the held-out rows are the {caption}" in captions[-1]
    (remark,) = (one for one in [*_remarks(tree), *grave] if "only monitored" in one or "lowest loss" in one)
    assert ("The epoch of each network is the last" in remark) == (patience == (None, None))
    assert ("The epoch of each denoiser is the last" in remark) == (patience == (5, None))


@pytest.mark.usefixtures("undrawn")
def test_warnings_of_the_run_are_listed_and_missing_facts_are_left_out(sample: SampleRun, tmp_path: Path) -> None:
    def warn(metrics: StudyMetrics) -> None:
        info = cast(dict[str, object], metrics["run"])
        info["warnings"] = ["12 pictures are not square & were stretched."]
        del info["device"], info["versions"]

    tree = _page_of_changed(sample, tmp_path, warn)
    assert "12 pictures are not square & were stretched." in _caveats(tree)
    facts = [item.all_text() for item in tree.find("table", **{"class": "facts"})[0].find("th")]
    assert "Seed" in facts
    assert not {"Device", "Versions"} & set(facts)


def test_one_epoch_is_singular(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=("noise_type",))
    history = read_history(read_run_results(run.folder), "noise_type")
    assert history is not None
    history.head(1).to_csv(run.folder / "noise_type" / "history.csv", index=False)
    run.metrics["stages"]["noise_type"]["training"]["epochs"] = 1  # type: ignore[index]
    (run.folder / "metrics.json").write_text(json.dumps(run.metrics))
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert "1 epochs" not in page
    assert ". 1 epoch: train loss 0." in page
    axes = charts.draw_learning_curves(history.head(1)).axes[0]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


@pytest.mark.usefixtures("undrawn")
def test_figures_of_an_earlier_page_are_removed_and_others_are_not(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=("noise_type",))
    figures = run.folder / "figures"
    figures.mkdir()
    for name in ("accuracy.png", "denoising-gain.png", "noisy-roc.png", "mine.png", "noisy-roc.svg"):
        (figures / name).write_bytes(b"")
    write_report(run.folder)
    ours = {f"noise_type-{figure}.png" for figure in ("confusion", "learning", "roc")}
    assert {path.name for path in figures.iterdir()} == ours | {"mine.png", "noisy-roc.svg"}


def test_every_chart_has_a_known_name(sample: SampleRun) -> None:
    assert {path.stem for path in (sample.folder / "figures").iterdir()} <= CHART_NAMES


def test_images_without_noise_have_no_gain_and_an_infinite_psnr(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=("denoising",))
    run.predictions.assign(noise_type="none", psnr_noisy=float("inf")).to_csv(run.folder / "predictions.csv")
    stage = cast(DenoisingResult, run.metrics["stages"]["denoising"])
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
    assert all(image is not None and image.std() > 1 for image in figures.values())


def test_same_run_makes_the_same_page(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=("denoising",))
    once = write_report(run.folder).read_text(encoding="utf-8")
    assert write_report(run.folder).read_text(encoding="utf-8") == once
    assert not list(run.folder.glob("*.part"))


def test_folder_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"has no metrics\.json; expected a run directory"):
        write_report(tmp_path)


def test_damaged_metrics_are_refused(sample: SampleRun, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"format": 1,')
    with pytest.raises(OutputError, match=r"metrics\.json: cannot be read .* run the study again"):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_bytes((sample.folder / "metrics.json").read_bytes())
    with pytest.raises(OutputError, match=r"has no predictions\.csv"):
        write_report(tmp_path)


def test_page_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=("noise_type",))
    (run.folder / "figures").write_text("in the way")
    with pytest.raises(OutputError, match=r"report\.html: cannot be written"):
        write_report(run.folder)


def test_image_named_like_a_missing_value_keeps_its_name(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path, rows=6, side=16, stages=("noise_type",))
    run.predictions.assign(noisy="NA").to_csv(run.folder / "predictions.csv", index=False)
    assert read_run_results(run.folder).predictions["noisy"].tolist() == ["NA"] * 6
