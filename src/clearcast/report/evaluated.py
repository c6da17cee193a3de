"""Terminal tables of a bundle's evaluation on a labelled sheet."""

import pandas as pd
from rich.table import Table

from clearcast.domain import Label, NoiseType
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.measures import CLASSIFICATION_MEASURES, QUALITY_MEASURES
from clearcast.evaluation.results import FidelityMeasure
from clearcast.evaluation.stage import Stage
from clearcast.report.numbers import DASH, measured

_STAGES = {
    Stage.REFERENCE: "verdict, noise-free",
    Stage.DENOISED: "verdict, noisy",
    Stage.NOISE_TYPE: "noise type",
}


def evaluation_tables(table: pd.DataFrame, evidence: Evidence) -> list[Table]:
    """Tabulate image quality, verdicts and noise types, with 95% intervals over parts, and confusion matrices.

    Args:
        table: one line an image, ``predictions.csv``.
        evidence: made from it.
    """
    rows = f"{evidence['images']} images of {evidence['parts']} parts"
    restoration = Table("", "noise", "noisy", "denoised", title=f"Denoised images ({rows})", title_justify="left")
    add_restoration(restoration, evidence, ("psnr", "ssim", "mse"))
    tables = [restoration, _classification_table(evidence, rows)]
    labels, noise_types = [label.value for label in Label], [noise.value for noise in NoiseType]
    if "said_denoised" in table:
        tables.append(_confusion_table("Verdicts on noisy images", table["label"], table["said_denoised"], labels))
    tables.append(_confusion_table("Noise types", table["noise_type"], table["said_noise_type"], noise_types))
    return tables


def add_restoration(table: Table, evidence: Evidence, measures: tuple[FidelityMeasure, ...]) -> None:
    """Add a row for each noise type and measure: measure, noise type, and the figures of noisy and denoised images."""
    restoration = evidence["restoration"]
    for noise in restoration["denoised"]:
        for measure in measures:
            info = QUALITY_MEASURES[measure]
            figures = (restoration[which][noise][measure] for which in ("noisy", "denoised"))
            table.add_row(info.label, noise, *(measured(figure, info.decimals) for figure in figures))


def _classification_table(evidence: Evidence, rows: str) -> Table:
    stages = {stage: title for stage, title in _STAGES.items() if stage in evidence["classification"]}
    table = Table("", *stages.values(), title=f"Verdicts and noise types ({rows})", title_justify="left")
    table.caption = evidence["method"]
    table.caption_justify = "left"
    for measure, info in CLASSIFICATION_MEASURES.items():
        figures = [evidence["classification"][stage].get(measure) for stage in stages]
        if any(figures):
            table.add_row(info.title, *(measured(figure, info.decimals) if figure else DASH for figure in figures))
    return table


def _confusion_table(title: str, true: "pd.Series[str]", predicted: "pd.Series[str]", names: list[str]) -> Table:
    """Count images by true class (rows) and predicted class (columns)."""
    table = Table("true", *(f"predicted {name}" for name in names), title=title, title_justify="left")
    for name in names:
        if (true == name).any():
            table.add_row(name, *(str(int(((true == name) & (predicted == each)).sum())) for each in names))
    return table
