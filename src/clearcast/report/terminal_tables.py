"""Terminal tables of comparing, evaluating, training and tuning bundles."""

import pandas as pd
from rich.markup import escape
from rich.table import Table

from clearcast.bundle.manifest import Manifest
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

MAX_CHANGED_VERDICTS = 20  # rows of the table of changed verdicts
_BUNDLE_STAGES = {
    Stage.REFERENCE: "verdict on noise-free images",
    Stage.NOISY: "verdict on noisy images",
    Stage.DENOISED: "verdict on denoised images",
}
_EVALUATION_STAGES = {
    Stage.REFERENCE: "verdict, noise-free",
    Stage.DENOISED: "verdict, noisy",
    Stage.NOISE_TYPE: "noise type",
}
_OUTCOME_RATES = {  # field of DecisionOutcome -> name
    "escapes": DECISION_MEASURES["escape"].name,
    "overkills": DECISION_MEASURES["overkill"].name,
    "retaken": DECISION_MEASURES["retake"].name,
    "wrong": DECISION_MEASURES["risk"].name,
}
_OUTCOME_CAPTION = "escapes: defects called ok; overkills: ok images called defect; wrong verdicts: of those given"


def make_difference_table(differences: list[BundleDifference]) -> Table:
    """Tabulate every measure of A, of B, and of B minus A, with 95% intervals over parts."""
    table = Table("", "", "noise", "A", "B", "B - A", "better", title="A compared with B", title_justify="left")
    table.caption = "95% intervals over parts, each measure by itself. Better: the difference's interval excludes 0."
    table.caption_justify = "left"
    for each in differences:
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
    quality = Table("", "noise", "noisy", "denoised", title=f"Denoised images ({rows})", title_justify="left")
    _add_quality_rows(quality, evidence, ("psnr", "ssim", "mse"))
    tables = [quality, _classification_table(evidence, rows)]
    labels, noise_types = [label.value for label in Label], [noise.value for noise in NoiseType]
    if "said_denoised" in table:
        tables.append(_confusion_table("Verdicts on noisy images", table["label"], table["said_denoised"], labels))
    tables.append(_confusion_table("Noise types", table["noise_type"], table["said_noise_type"], noise_types))
    return tables


def _classification_table(evidence: Evidence, rows: str) -> Table:
    stages = {stage: title for stage, title in _EVALUATION_STAGES.items() if stage in evidence["classification"]}
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


def make_bundle_metrics_table(manifest: Manifest) -> Table:
    """Tabulate the test metrics with 95% confidence intervals over parts."""
    evidence = manifest["measured"]
    rows = f"{evidence['images']} test images of {evidence['parts']} parts"
    added = ", with noise added, since none is noisy" if manifest.get("noise_made_anew") else ""
    table = Table("", "noise", "noisy", "denoised", title=f"Measured on {rows}{added}", title_justify="left")
    _add_quality_rows(table, evidence, ("psnr", "ssim"))
    stages = evidence["classification"]
    table.add_row("noise type, accuracy", "all", format_value_with_ci(stages[Stage.NOISE_TYPE]["accuracy"], 3), DASH)
    distilled = manifest["recipe"] == "glance"  # such a bundle classifies noisy images directly
    titles = _BUNDLE_STAGES | ({Stage.DENOISED: "verdict on noisy images, distilled"} if distilled else {})
    for stage, title in titles.items():
        for measure in ("roc_area", "accuracy") if stage in stages else ():
            figure = format_value_with_ci(stages[stage][measure], 3)
            cells = (DASH, figure) if stage is Stage.DENOISED and not distilled else (figure, DASH)
            table.add_row(f"{title}, {measure.replace('_', ' ')}", "all", *cells)
    return table


def make_tuning_table(tuned: TuningResult) -> Table:
    """Tabulate the decision rule before and after, and its rates on test images, with 95% intervals over parts."""
    evidence = tuned.evidence
    images = f"{evidence['images']} test images of {evidence['parts']} parts"
    table = Table("", "before", "after", title=f"Verdicts on {images}", title_justify="left")
    table.caption, table.caption_justify = _OUTCOME_CAPTION, "left"
    rules = (tuned.before, tuned.after)
    table.add_row("threshold", *(format_decimal(rule.threshold) for rule in rules))
    table.add_row("retake between", *(_retake_range(rule) for rule in rules))
    for field, name in _OUTCOME_RATES.items():
        table.add_row(name, *(_rate_text(getattr(each, field)) for each in (tuned.outcome_before, tuned.outcome_after)))
    return table


def _add_quality_rows(table: Table, evidence: Evidence, measures: tuple[QualityMeasure, ...]) -> None:
    """Add a row for each noise type and measure: measure, noise type, and the figures of noisy and denoised images."""
    restoration = evidence["restoration"]
    for noise in restoration["denoised"]:
        for measure in measures:
            info = QUALITY_MEASURES[measure]
            figures = (restoration[which][noise][measure] for which in ("noisy", "denoised"))
            table.add_row(info.label, noise, *(format_value_with_ci(figure, info.decimals) for figure in figures))


def _retake_range(rule: DecisionRule) -> str:
    return DASH if rule.retake_range is None else " and ".join(map(format_decimal, rule.retake_range))


def _rate_text(rate: RateWithCI) -> str:
    if not rate.images:
        return DASH
    return f"{rate.count:,} of {rate.images:,}\n{100 * rate.count / rate.images:.1f}% ({format_interval(rate.share)})"
