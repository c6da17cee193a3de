"""The study's tables, once as plain text cells: the page and the terminal print the same."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import rich.table
from rich.text import Text

from clearcast.evaluation.evidence.contract import Comparison, Evidence, Figure
from clearcast.evaluation.results import (
    ClassificationStage,
    FidelityMeasure,
    FidelityMetrics,
    RestorationStage,
    RunInfo,
    StudyMetrics,
)
from clearcast.report.numbers import bounds, decimal, mean_and_spread, measured
from clearcast.report.sources import classifications, display_name, restoration, subject

NUMBERS = {"reference": "0", "noisy": "1", "noise_type": "2", "denoising": "3", "denoised": "4", "transfer": "T"}
VERDICT_NAMES = {
    "noisy": "Noisy (stage 1)",
    "denoised": "Denoised (stage 4)",
    "transfer": "Denoised (stage 1's network)",
    "reference": "Noise-free (ceiling)",
}
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
INTERVAL = "95% interval"
_FIDELITY: Mapping[FidelityMeasure, tuple[str, int]] = {
    "psnr": ("PSNR in dB", 2),
    "ssim": ("SSIM", 4),
    "mse": ("MSE", 4),
    "lpips": ("LPIPS", 4),
}


@dataclass(frozen=True)
class Table:
    """A table of text; the first cell of each row names it. ``note`` stands below the table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def stage_tables(metrics: StudyMetrics, evidence: Evidence | None = None) -> list[rich.table.Table]:
    """The tables of all stages that were run, ours beside the published, for the terminal.

    With evidence each figure has its interval, and stage 4's table says below it whether denoising helped.
    """
    tables = page_tables(metrics, evidence)
    helped = main_comparison(evidence)
    if helped and helped["second"] in tables:
        tables[helped["second"]] = replace(tables[helped["second"]], note=helped["sentence"])
    return [_to_terminal(table) for table in tables.values()]


def page_tables(metrics: StudyMetrics, evidence: Evidence | None) -> dict[str, Table]:
    """The same tables by stage, in the order of the study."""
    figures = evidence["classification"] if evidence else {}
    tables = {
        key: _classification_table(key, stage, figures.get(key)) for key, stage in classifications(metrics).items()
    }
    denoising = restoration(metrics)
    if denoising:
        tables["denoising"] = _restoration_table(denoising, evidence)
    return {key: tables[key] for key in NUMBERS if key in tables}


def main_comparison(evidence: Evidence | None) -> Comparison | None:
    """The comparison that says whether denoising helped: of stage 4 with stage 1, or else of stage 1 alone."""
    comparisons = evidence["comparisons"] if evidence else []
    found = {one["second"]: one for one in comparisons if one["first"] == "noisy"}
    return found.get("denoised") or found.get("transfer")


def noise_table(stage: RestorationStage, evidence: Evidence | None) -> Table:
    """All measures for each noise type, noisy and denoised in turn: means over images.

    With them stand the intervals where there is evidence, else the standard deviations.
    """
    names = sorted(stage["denoised"], key=lambda name: name == "all")
    columns = ("Noise", "Images", "PSNR in dB", "Gain in dB", "SSIM", "MSE", "LPIPS")
    rows = tuple(_noise_row(stage, name, which, evidence) for name in names for which in ("noisy", "denoised"))
    spread = f"mean ({INTERVAL})" if evidence else "mean ± standard deviation"
    return Table(f"Denoising by noise type, {spread}", columns, rows)


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


def _noise_row(
    stage: RestorationStage, name: str, which: Literal["noisy", "denoised"], evidence: Evidence | None
) -> tuple[str, ...]:
    metrics = stage[which][name]
    added = ""
    if which == "denoised":
        figure = evidence.get("gain", {}).get(name, {}).get("psnr") if evidence else None
        added = measured(figure, 2, sign=True) if figure else decimal(gain(stage, name), 2, sign=True)
    if evidence:
        figures = evidence["restoration"].get(which, {}).get(name, {})
        psnr, *others = (_with_interval(metrics, measure, figures) for measure in _FIDELITY)
    else:
        psnr, *others = (_with_spread(metrics, measure) for measure in _FIDELITY)
    return (f"{display_name(name)}, {which}", str(metrics["images"]), psnr, added, *others)


def _classification_table(key: str, stage: ClassificationStage, figures: dict[str, Figure] | None) -> Table:
    published = stage["published"] or {}
    rows = tuple(
        (
            text,
            decimal(_ours(stage, name, figures)),
            *([bounds(figures.get(name))] if figures else []),
            decimal(published.get(name)),
        )
        for name, text in _CLASSIFICATION.items()
        if name in stage["metrics"]
    )
    return Table(_title(key, stage["title"]), ("Measure", "Ours", *([INTERVAL] if figures else []), "Published"), rows)


def _ours(stage: ClassificationStage, name: str, figures: dict[str, Figure] | None) -> float | None:
    """A measure of the stage; runs of before kept 0 for what is not defined, which their evidence knows better."""
    known = (figures or {}).get(name)
    return None if known and known["value"] is None else stage["metrics"][name]  # type: ignore[literal-required]


def _restoration_table(stage: RestorationStage, evidence: Evidence | None) -> Table:
    published = stage["published"] or {}
    columns, sides = ["Mean ± standard deviation"], []
    heads: Mapping[Literal["noisy", "denoised"], str] = {"noisy": "Noisy", "denoised": "Denoised (ours)"}
    for which, head in heads.items():
        columns.append(head)
        sides.append([_with_spread(stage[which]["all"], name) for name in _FIDELITY])
        if evidence:
            figures = evidence["restoration"].get(which, {}).get("all", {})
            columns.append(INTERVAL)
            sides.append([bounds(figures.get(name), digits) for name, (_, digits) in _FIDELITY.items()])
    rows = tuple(
        (text, *cells, decimal(published.get(name), digits))
        for (name, (text, digits)), *cells in zip(_FIDELITY.items(), *sides, strict=True)
    )
    return Table(_title("denoising", stage["title"]), (*columns, "Published"), rows, lpips_remark(stage))


def _title(key: str, title: str) -> str:
    return subject(title) if key == "transfer" else f"Table {NUMBERS[key]}. {subject(title)}"


def _with_spread(metrics: FidelityMetrics, name: FidelityMeasure) -> str:
    spread = metrics[name]
    return "not measured" if spread is None else mean_and_spread(spread, _FIDELITY[name][1])


def _with_interval(metrics: FidelityMetrics, name: FidelityMeasure, figures: dict[str, Figure]) -> str:
    spread = metrics[name]
    return "not measured" if spread is None else measured(figures.get(name), _FIDELITY[name][1])


def _to_terminal(table: Table) -> rich.table.Table:
    note = Text(table.note) if table.note else None  # as it is: square brackets in it are no markup
    printed = rich.table.Table(title=table.title, title_justify="left", caption=note, caption_justify="left")
    printed.add_column(table.columns[0])
    for column in table.columns[1:]:
        printed.add_column(column, justify="right")
    for row in table.rows:
        printed.add_row(*row)
    return printed
