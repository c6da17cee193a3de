"""First screen of the page: quality of the verdicts and of the denoised images, and the effect of denoising."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clearcast.core.evidence_schema import StageComparison, ValueWithCI
from clearcast.core.numbers import format_count
from clearcast.metrics.measures import CLASSIFICATION_MEASURES, QUALITY_MEASURES
from clearcast.metrics.results import ClassificationResult, DenoisingResult, QualityMeasure
from clearcast.report.caveats import LeakLevel, leak_level
from clearcast.report.charts import evidence as charts
from clearcast.report.charts.style import Chart, make_chart
from clearcast.report.formatting import (
    DASH,
    complete_sentence,
    format_bounds,
    format_decimal,
    format_value_with_ci,
    independent_interval,
)
from clearcast.report.run_reader import RunResults, classification_stages, denoising_stage
from clearcast.report.study_tables import VERDICT_STAGE_NAMES, select_main_comparison
from clearcast.types import Label

_LEAKAGE_TEXTS = {
    LeakLevel.MOST: ", but most of them show parts that are also in the training set",
    LeakLevel.SOME: ", but some of them show parts that are also in the training set",
}
_SUMMARY_QUALITY_MEASURES: tuple[QualityMeasure, ...] = ("psnr", "ssim", "lpips")


@dataclass(frozen=True)
class SummaryCell:
    """One figure of the first screen: value, 95% interval and published value, each empty if there is none."""

    value: str
    interval: str = ""
    published: str = ""


@dataclass(frozen=True)
class SummaryGrid:
    """A small table of figures; each row has a name. ``note`` stands below it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[SummaryCell, ...]], ...]
    note: str


@dataclass(frozen=True)
class DenoisingEffect:
    """Effect of denoising on the verdicts: a sentence, a note and, with evidence, a chart."""

    sentence: str
    note: str
    chart: Chart | None


def write_headline(run: RunResults) -> str:
    """Write the headline: the main result in one sentence, and whether it is on parts outside the training set."""
    stages, denoising = classification_stages(run.metrics), denoising_stage(run.metrics)
    available = [key for key in ("denoised", "noisy", "reference", "transfer", "noise_type") if key in stages]
    if not available and denoising:
        before, after = (format_decimal(denoising[which]["all"]["psnr"]["mean"], 2) for which in ("noisy", "denoised"))
        return f"Denoising changed the mean PSNR of the test images from {before} to {after} dB."
    leakage = leak_level(run.metrics["run"])
    start = "On parts outside the training set, " if leakage is LeakLevel.NONE else ""
    return f"{start}{_correct_text(stages, available)}{_LEAKAGE_TEXTS.get(leakage, '')}."


def make_verdict_grid(run: RunResults) -> SummaryGrid | None:
    """Tabulate accuracy, ROC area, escape and overkill of the ok/defect stages; None if none was run."""
    stages = classification_stages(run.metrics)
    rows = tuple(
        (name, _verdict_cells(run, key, stages[key]))
        for key, name in VERDICT_STAGE_NAMES.items()
        if key in stages and key != "transfer"
    )
    note = _noise_type_text(run)
    if rows:
        thresholds = (
            "at the chosen threshold, accuracy at 0.5" if _all_chosen(run) else "and accuracy at the threshold 0.5"
        )
        note = f"Escape (a defect called ok) and overkill (an ok part called defect) {thresholds}. {note}".strip()
    if not note:
        return None
    chosen = ", chosen" if _all_chosen(run) else ""
    columns = (
        CLASSIFICATION_MEASURES["accuracy"].title,
        CLASSIFICATION_MEASURES["roc_area"].name,
        f"Escape{chosen}",
        f"Overkill{chosen}",
    )
    return SummaryGrid(columns, rows, note)


def make_quality_grid(run: RunResults) -> SummaryGrid | None:
    """Tabulate PSNR, SSIM and, if measured, LPIPS before and after denoising; None if nothing was denoised."""
    stage = denoising_stage(run.metrics)
    if stage is None:
        return None
    rows = tuple(
        (QUALITY_MEASURES[measure].label, _quality_cells(run, stage, measure))
        for measure in _SUMMARY_QUALITY_MEASURES
        if stage["denoised"]["all"][measure]
    )
    return SummaryGrid(("Noisy", "Denoised", "Gain"), rows, "")


def describe_denoising_effect(run: RunResults) -> DenoisingEffect | None:
    """Describe the effect of denoising on the verdicts; None if it was not measured."""
    comparison = select_main_comparison(run.evidence)
    if run.evidence and comparison:
        chart = _difference_chart(run, run.evidence["comparisons"])
        return DenoisingEffect(complete_sentence(comparison["sentence"]), _changes_text(comparison), chart)
    stages = run.metrics["stages"]
    if not {"noisy", "denoised"} <= set(stages):
        return None
    label = run.predictions["label"]
    before, after = (run.predictions[f"said_{stage}"] == label for stage in ("noisy", "denoised"))
    corrected, broken = int((~before & after).sum()), int((before & ~after).sum())
    text = f"Image by image, denoising corrected {format_count(corrected, 'verdict')} and made {broken:,} wrong."
    return DenoisingEffect(text, "This run has no interval for the effect on other parts.", None)


def comparison_name(comparison: StageComparison) -> str:
    """Name a comparison, such as "Denoised (stage 4) against noisy (stage 1)"."""
    first, second = (VERDICT_STAGE_NAMES.get(key, key) for key in (comparison["first"], comparison["second"]))
    return f"{second} against {first[0].lower()}{first[1:]}"


def to_points(share: ValueWithCI) -> ValueWithCI:
    """Convert a figure from a share to percentage points."""
    value, low, high = (None if one is None else 100 * one for one in (share["value"], share["low"], share["high"]))
    return ValueWithCI(value=value, low=low, high=high)


def _correct_text(stages: dict[str, ClassificationResult], available: Sequence[str]) -> str:
    main = available[0]
    correct, images = _correct_count(stages[main])
    if main == "noise_type":
        return f"the noise type of {correct:,} of {format_count(images, 'test image')} is correct".capitalize()
    condition = {"noisy": "without denoising", "reference": "without noise"}.get(main, "after denoising")
    other = f", {_correct_count(stages['noisy'])[0]:,} before" if main == "denoised" and "noisy" in available else ""
    return f"{correct:,} of {format_count(images, 'test image')} are classified correctly {condition}{other}"


def _correct_count(stage: ClassificationResult) -> tuple[int, int]:
    """Number of correct images and of all images."""
    counts = stage["confusion"]
    return sum(row[index] for index, row in enumerate(counts)), sum(map(sum, counts))


def _verdict_cells(run: RunResults, key: str, stage: ClassificationResult) -> tuple[SummaryCell, ...]:
    measures = (_measure_cell(run, key, stage, name) for name in ("accuracy", "roc_area"))
    return (*measures, *_error_cells(run, key, stage))


def _measure_cell(run: RunResults, key: str, stage: ClassificationResult, measure: str) -> SummaryCell:
    figure = _without_interval(stage["metrics"][measure])  # type: ignore[literal-required]
    if run.evidence:
        figure = run.evidence["classification"].get(key, {}).get(measure, figure)
    elif measure == "accuracy":
        figure = _value_of_independent_images(stage["metrics"]["accuracy"], stage["metrics"]["images"])
    return _cell(figure, published=(stage["published"] or {}).get(measure))


def _error_cells(run: RunResults, key: str, stage: ClassificationResult) -> tuple[SummaryCell, SummaryCell]:
    """Cells of escape and overkill, at the chosen threshold if each stage has one."""
    decision = run.evidence["decisions"].get(key) if run.evidence else None
    if decision:
        point = decision["chosen"] if _all_chosen(run) and decision["chosen"] else decision["plain"]
        escape, overkill = point["escape"], point["overkill"]
    else:
        escape, overkill = (_error_rate(stage, label) for label in (Label.DEFECT, Label.OK))
    return _cell(escape), _cell(overkill)


def _error_rate(stage: ClassificationResult, label: Label) -> ValueWithCI:
    """Share of a label's images that are predicted as the other, with the interval of independent images."""
    index = stage["classes"].index(label)
    counts = stage["confusion"][index]
    images = sum(counts)
    if not images:
        return _without_interval(None)
    return _value_of_independent_images(1 - counts[index] / images, images)


def _value_of_independent_images(share: float, images: int) -> ValueWithCI:
    low, high = independent_interval(share, images)
    return ValueWithCI(value=share, low=low, high=high)


def _all_chosen(run: RunResults) -> bool:
    decisions = run.evidence["decisions"] if run.evidence else {}
    return bool(decisions) and all(decision["chosen"] for decision in decisions.values())


def _noise_type_text(run: RunResults) -> str:
    stage = classification_stages(run.metrics).get("noise_type")
    if stage is None:
        return ""
    cell = _measure_cell(run, "noise_type", stage, "accuracy")
    published = f"; published {cell.published}" if cell.published else ""
    return f"Noise type, accuracy: {cell.value} ({cell.interval}{published})."


def _quality_cells(
    run: RunResults, stage: DenoisingResult, measure: QualityMeasure
) -> tuple[SummaryCell, SummaryCell, SummaryCell]:
    """Cells of one measure: noisy, denoised and gain."""
    digits = QUALITY_MEASURES[measure].decimals
    before, after = (_mean(run, stage, which, measure) for which in ("noisy", "denoised"))
    published = (stage["published"] or {}).get(measure)
    paired = run.evidence.get("gain", {}).get("all", {}).get(measure) if run.evidence else None
    first, last = before["value"], after["value"]
    gain = paired or _without_interval(None if first is None or last is None else last - first)
    return _cell(before, digits), _cell(after, digits, published), _cell(gain, digits, sign=True)


def _mean(
    run: RunResults, stage: DenoisingResult, which: Literal["noisy", "denoised"], measure: QualityMeasure
) -> ValueWithCI:
    """Mean over all test images, with its interval if there is evidence."""
    spread = stage[which]["all"][measure]
    figures = run.evidence["restoration"].get(which, {}).get("all", {}) if run.evidence else {}
    return figures.get(measure) or _without_interval(spread["mean"] if spread else None)


def _without_interval(value: float | None) -> ValueWithCI:
    return ValueWithCI(value=value, low=None, high=None)


def _cell(figure: ValueWithCI, digits: int = 3, published: float | None = None, *, sign: bool = False) -> SummaryCell:
    ends = format_bounds(figure, digits, sign=sign)
    published_text = "" if published is None else format_decimal(published, digits)
    return SummaryCell(format_decimal(figure["value"], digits, sign=sign), "" if ends == DASH else ends, published_text)


def _changes_text(comparison: StageComparison) -> str:
    return (
        f"{format_count(comparison['mended'], 'verdict')} corrected, {comparison['spoiled']:,} made wrong. McNemar's "
        f"test, which assumes independent images: p = {comparison['mcnemar_p']:.2g}."
    )


def _difference_chart(run: RunResults, comparisons: Sequence[StageComparison]) -> Chart | None:
    """Chart of the gain in accuracy by denoising, with and without retraining the classifier."""
    names = {"denoised": "Retrained", "transfer": "Not retrained"}
    shown = [one for one in comparisons if one["first"] == "noisy" and one["second"] in names]
    if not shown:
        return None
    description = "; ".join(
        f"{comparison_name(one)}: {format_value_with_ci(to_points(one['difference']), 1, sign=True)}" for one in shown
    )
    figure = charts.draw_differences(shown, [names[one["second"]] for one in shown])
    return make_chart(run, "differences", "Denoised images compared with noisy ones", description, figure)
