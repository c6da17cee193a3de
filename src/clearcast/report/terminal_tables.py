"""Terminal tables of a comparison of two bundles."""

import pandas as pd
from rich.markup import escape
from rich.table import Table

from clearcast.core.evidence_schema import Evidence, Stage
from clearcast.evaluation.tune import TuningResult
from clearcast.inference.decision import DecisionRule
from clearcast.metrics.evidence.comparison import ALL_NOISE_TYPES, BundleDifference
from clearcast.metrics.evidence.decisions import RateWithCI
from clearcast.metrics.evidence.scores import format_interval
from clearcast.metrics.measures import CLASSIFICATION_MEASURES, DECISION_MEASURES, QUALITY_MEASURES
from clearcast.metrics.results import QualityMeasure
from clearcast.noise.registry import NoiseType
from clearcast.report.formatting import DASH, format_decimal, format_value_with_ci
from clearcast.types import Label

MAX_CHANGED_VERDICTS = 20  # changed verdicts in the terminal
_STAGES = {
    Stage.REFERENCE: "verdict, noise-free",
    Stage.DENOISED: "verdict, noisy",
    Stage.NOISE_TYPE: "noise type",
}
_ROWS = {  # field of Outcome -> name
    "escapes": DECISION_MEASURES["escape"].name,
    "overkills": DECISION_MEASURES["overkill"].name,
    "retaken": DECISION_MEASURES["retake"].name,
    "wrong": DECISION_MEASURES["risk"].name,
}
_CAPTION = "escapes: defects called ok; overkills: ok images called defect; wrong verdicts: of those given"


def make_difference_table(found: list[BundleDifference]) -> Table:
    """Tabulate every measure of A, of B, and of B minus A, with 95% intervals over parts."""
    table = Table("", "", "noise", "A", "B", "B - A", "better", title="A compared with B", title_justify="left")
    table.caption = "95% intervals over parts, each measure by itself. Better: the difference's interval excludes 0."
    table.caption_justify = "left"
    for each in found:
        digits = each.info.decimals
        figures = format_value_with_ci(each.first, digits), format_value_with_ci(each.second, digits)
        signed = format_value_with_ci(each.difference, digits, sign=True)
        noise = "" if each.noise == ALL_NOISE_TYPES else each.noise
        name = f"{each.measure}, {each.info.unit}" if each.info.unit else each.measure
        table.add_row(each.aspect.display_name, name, noise, *figures, signed, each.better or DASH)
    return table


def make_changed_verdicts_table(changes: pd.DataFrame) -> Table:
    """Tabulate the first images whose verdict differs: path, label, and the prediction of each bundle."""
    table = Table("row", "image", "label", "A", "B", "right", title="Changed verdicts", title_justify="left")
    for line in changes.head(MAX_CHANGED_VERDICTS).to_dict("records"):
        verdicts = (f"{line[f'said_{side}']} ({line[f'p_defect_{side}']:.3f})" for side in ("a", "b"))
        table.add_row(str(line["row"]), escape(str(line["noisy"])), str(line["label"]), *verdicts, str(line["right"]))
    if len(changes) > MAX_CHANGED_VERDICTS:
        table.caption = f"... and {len(changes) - MAX_CHANGED_VERDICTS} more; --out DIR writes all of them"
        table.caption_justify = "left"
    return table


def make_evaluation_tables(table: pd.DataFrame, evidence: Evidence) -> list[Table]:
    """Tabulate image quality, verdicts and noise types, with 95% intervals over parts, and confusion matrices.

    Args:
        table: one line an image, ``predictions.csv``.
        evidence: made from it.
    """
    rows = f"{evidence['images']} images of {evidence['parts']} parts"
    restoration = Table("", "noise", "noisy", "denoised", title=f"Denoised images ({rows})", title_justify="left")
    add_quality_rows(restoration, evidence, ("psnr", "ssim", "mse"))
    tables = [restoration, _classification_table(evidence, rows)]
    labels, noise_types = [label.value for label in Label], [noise.value for noise in NoiseType]
    if "said_denoised" in table:
        tables.append(_confusion_table("Verdicts on noisy images", table["label"], table["said_denoised"], labels))
    tables.append(_confusion_table("Noise types", table["noise_type"], table["said_noise_type"], noise_types))
    return tables


def add_quality_rows(table: Table, evidence: Evidence, measures: tuple[QualityMeasure, ...]) -> None:
    """Add a row for each noise type and measure: measure, noise type, and the figures of noisy and denoised images."""
    restoration = evidence["restoration"]
    for noise in restoration["denoised"]:
        for measure in measures:
            info = QUALITY_MEASURES[measure]
            figures = (restoration[which][noise][measure] for which in ("noisy", "denoised"))
            table.add_row(info.label, noise, *(format_value_with_ci(figure, info.decimals) for figure in figures))


def _classification_table(evidence: Evidence, rows: str) -> Table:
    stages = {stage: title for stage, title in _STAGES.items() if stage in evidence["classification"]}
    table = Table("", *stages.values(), title=f"Verdicts and noise types ({rows})", title_justify="left")
    table.caption = evidence["method"]
    table.caption_justify = "left"
    for measure, info in CLASSIFICATION_MEASURES.items():
        figures = [evidence["classification"][stage].get(measure) for stage in stages]
        if any(figures):
            table.add_row(
                info.title, *(format_value_with_ci(figure, info.decimals) if figure else DASH for figure in figures)
            )
    return table


def _confusion_table(title: str, true: "pd.Series[str]", predicted: "pd.Series[str]", names: list[str]) -> Table:
    """Count images by true class (rows) and predicted class (columns)."""
    table = Table("true", *(f"predicted {name}" for name in names), title=title, title_justify="left")
    for name in names:
        if (true == name).any():
            table.add_row(name, *(str(int(((true == name) & (predicted == each)).sum())) for each in names))
    return table


def make_tuning_table(tuned: TuningResult) -> Table:
    """Tabulate the decision rule before and after, and its rates on test images, with 95% intervals over parts."""
    evidence = tuned.evidence
    images = f"{evidence['images']} test images of {evidence['parts']} parts"
    table = Table("", "before", "after", title=f"Verdicts on {images}", title_justify="left")
    table.caption, table.caption_justify = _CAPTION, "left"
    rules = (tuned.before, tuned.after)
    table.add_row("threshold", *(format_decimal(rule.threshold) for rule in rules))
    table.add_row("retake between", *(_retake_range(rule) for rule in rules))
    for field, name in _ROWS.items():
        table.add_row(name, *(_rate_text(getattr(each, field)) for each in (tuned.outcome_before, tuned.outcome_after)))
    return table


def _retake_range(rule: DecisionRule) -> str:
    return DASH if rule.retake_range is None else " and ".join(map(format_decimal, rule.retake_range))


def _rate_text(rate: RateWithCI) -> str:
    if not rate.images:
        return DASH
    return f"{rate.count:,} of {rate.images:,}\n{100 * rate.count / rate.images:.1f}% ({format_interval(rate.share)})"
