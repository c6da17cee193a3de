"""What a bundle is worth on a sheet: tables for the terminal."""

import pandas as pd
from rich.table import Table

from clearcast.domain import Label, NoiseType
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.stage import Stage
from clearcast.report.numbers import DASH, measured

_MEASURES = {"psnr": ("PSNR, dB", 2), "ssim": ("SSIM", 3), "mse": ("MSE", 4)}
_STAGES = {
    Stage.REFERENCE: "verdict, noise-free",
    Stage.DENOISED: "verdict, noisy",
    Stage.NOISE_TYPE: "noise type",
}
_CLASSIFICATION = {
    "accuracy": "accuracy",
    "precision": "precision, weighted",
    "recall": "recall, weighted",
    "f1": "F1, weighted",
    "roc_area": "area under the ROC curve",
    "defect_precision": "precision of defect",
    "defect_f1": "F1 of defect",
    "sensitivity": "sensitivity: defects found",
    "specificity": "specificity: ok passed",
}


def evaluation_tables(table: pd.DataFrame, evidence: Evidence) -> list[Table]:
    """Restored pictures, verdicts and noise types, with 95% intervals over parts; and confusion matrices.

    Args:
        table: a line an image, ``predictions.csv``.
        evidence: made from it.
    """
    rows = f"{evidence['images']} images of {evidence['parts']} parts"
    restoration = Table("", "noise", "noisy", "restored", title=f"Restored pictures ({rows})", title_justify="left")
    add_restoration(restoration, evidence, ("psnr", "ssim", "mse"))
    tables = [restoration, _classification(evidence, rows)]
    labels, kinds = [label.value for label in Label], [kind.value for kind in NoiseType]
    if "said_denoised" in table:
        tables.append(_confusion("Verdicts on noisy pictures", table["label"], table["said_denoised"], labels))
    tables.append(_confusion("Noise types", table["noise_type"], table["said_noise_type"], kinds))
    return tables


def add_restoration(table: Table, evidence: Evidence, measures: tuple[str, ...]) -> None:
    """Add a row for each noise type and measure: its name, the type, and the figure of noisy and of restored ones."""
    restoration = evidence["restoration"]
    for kind in restoration["denoised"]:
        for measure in measures:
            title, digits = _MEASURES[measure]
            found = (restoration[which][kind][measure] for which in ("noisy", "denoised"))
            table.add_row(title, kind, *(measured(figure, digits) for figure in found))


def _classification(evidence: Evidence, rows: str) -> Table:
    stages = {stage: title for stage, title in _STAGES.items() if stage in evidence["classification"]}
    table = Table("", *stages.values(), title=f"Verdicts and noise types ({rows})", title_justify="left")
    table.caption = evidence["method"]
    table.caption_justify = "left"
    for measure, title in _CLASSIFICATION.items():
        figures = [evidence["classification"][stage].get(measure) for stage in stages]
        if any(figures):
            table.add_row(title, *(measured(figure, 3) if figure else DASH for figure in figures))
    return table


def _confusion(title: str, true: "pd.Series[str]", said: "pd.Series[str]", names: list[str]) -> Table:
    """Counts of images: a row for what is true, a column for what was said."""
    table = Table("true", *(f"said {name}" for name in names), title=title, title_justify="left")
    for name in names:
        if (true == name).any():
            table.add_row(name, *(str(int(((true == name) & (said == each)).sum())) for each in names))
    return table
