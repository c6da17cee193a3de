"""The study's tables, once as plain text cells: the page and the terminal print the same."""

from dataclasses import dataclass
from typing import Literal

import rich.table
from rich.text import Text

from clearcast.evaluation.results import (
    ClassificationStage,
    FidelityMetrics,
    RestorationStage,
    RunInfo,
    Spread,
    StudyMetrics,
)
from clearcast.report.numbers import decimal, mean_and_spread
from clearcast.report.sources import classifications, display_name, restoration, subject

NUMBERS = {"reference": "0", "noisy": "1", "noise_type": "2", "denoising": "3", "denoised": "4", "transfer": "T"}
_CLASSIFICATION = {
    "accuracy": "Accuracy",
    "precision": "Precision (weighted)",
    "recall": "Recall (weighted)",
    "f1": "F1 score (weighted)",
    "roc_area": "Area under the ROC curve",
    "defect_precision": "Precision of defect",
    "defect_f1": "F1 score of defect",
    "sensitivity": "Sensitivity (defects found)",
    "specificity": "Specificity (ok passed)",
}
_FIDELITY = {"psnr": ("PSNR in dB", 2), "ssim": ("SSIM", 4), "mse": ("MSE", 4), "lpips": ("LPIPS", 4)}


@dataclass(frozen=True)
class Table:
    """A table of text; the first cell of each row names it. ``note`` stands below the table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def stage_tables(metrics: StudyMetrics) -> list[rich.table.Table]:
    """The tables of all stages that were run, ours beside the published, for the terminal."""
    return [_to_terminal(table) for table in page_tables(metrics).values()]


def page_tables(metrics: StudyMetrics) -> dict[str, Table]:
    """The same tables by stage, in the order of the study."""
    tables = {key: _classification_table(key, stage) for key, stage in classifications(metrics).items()}
    denoising = restoration(metrics)
    if denoising:
        tables["denoising"] = _restoration_table(denoising)
    return {key: tables[key] for key in NUMBERS if key in tables}


def noise_table(stage: RestorationStage) -> Table:
    """All measures for each noise type, noisy and denoised in turn: means and standard deviations over images."""
    names = sorted(stage["denoised"], key=lambda name: name == "all")
    columns = ("Noise", "Images", "PSNR in dB", "Gain in dB", "SSIM", "MSE", "LPIPS")
    rows = tuple(_noise_row(stage, name, which) for name in names for which in ("noisy", "denoised"))
    return Table("Denoising by noise type, mean ± standard deviation", columns, rows)


def lpips_remark(stage: RestorationStage) -> str:
    """What to know about LPIPS, as a sentence; empty where there is nothing."""
    told = "LPIPS" if stage["denoised"]["all"]["lpips"] else "LPIPS was not measured"
    if stage["lpips_note"]:
        return f"{told}: {stage['lpips_note'].rstrip('.')}."
    return "" if stage["denoised"]["all"]["lpips"] else f"{told}."


def counts_table(run: RunInfo) -> Table:
    """How many rows of each label and noise type train and test."""
    splits = tuple(run["counts"])
    groups = {group: list(dict.fromkeys(name for split in splits for name in run["counts"][split][group]))
              for group in ("label", "noise")}  # fmt: skip
    rows = [
        (display_name(name), *(str(run["counts"][split][group].get(name, 0)) for split in splits))
        for group, names in groups.items()
        for name in names
    ]
    total = ("All", *(str(sum(run["counts"][split]["label"].values())) for split in splits))
    return Table("Rows of the sheet", ("", *(split.capitalize() for split in splits)), (*rows, total))


def gain(stage: RestorationStage, name: str = "all") -> float | None:
    """How many dB of PSNR denoising added on average; None where one of both means is not finite."""
    before, after = stage["noisy"][name]["psnr"]["mean"], stage["denoised"][name]["psnr"]["mean"]
    return None if before is None or after is None else after - before


def _noise_row(stage: RestorationStage, name: str, which: Literal["noisy", "denoised"]) -> tuple[str, ...]:
    metrics = stage[which][name]
    psnr, *others = (_measured(metrics, measure) for measure in _FIDELITY)
    added = decimal(gain(stage, name), 2, sign=True) if which == "denoised" else ""
    return (f"{display_name(name)}, {which}", str(metrics["images"]), psnr, added, *others)


def _classification_table(key: str, stage: ClassificationStage) -> Table:
    published = stage["published"] or {}
    rows = tuple(
        (text, decimal(stage["metrics"][name]), decimal(published.get(name)))  # type: ignore[literal-required]
        for name, text in _CLASSIFICATION.items()
        if name in stage["metrics"]
    )
    return Table(_title(key, stage["title"]), ("Measure", "Ours", "Published"), rows)


def _restoration_table(stage: RestorationStage) -> Table:
    published = stage["published"] or {}
    before, after = stage["noisy"]["all"], stage["denoised"]["all"]
    rows = tuple(
        (text, _measured(before, name), _measured(after, name), decimal(published.get(name), digits))
        for name, (text, digits) in _FIDELITY.items()
    )
    columns = ("Mean ± standard deviation", "Noisy", "Denoised (ours)", "Published")
    return Table(_title("denoising", stage["title"]), columns, rows, lpips_remark(stage))


def _title(key: str, title: str) -> str:
    return subject(title) if key == "transfer" else f"Table {NUMBERS[key]}. {subject(title)}"


def _measured(metrics: FidelityMetrics, name: str) -> str:
    spread: Spread | None = metrics[name]  # type: ignore[literal-required]
    return "not measured" if spread is None else mean_and_spread(spread, _FIDELITY[name][1])


def _to_terminal(table: Table) -> rich.table.Table:
    note = Text(table.note) if table.note else None  # as it is: square brackets in it are no markup
    printed = rich.table.Table(title=table.title, title_justify="left", caption=note, caption_justify="left")
    printed.add_column(table.columns[0])
    for column in table.columns[1:]:
        printed.add_column(column, justify="right")
    for row in table.rows:
        printed.add_row(*row)
    return printed
