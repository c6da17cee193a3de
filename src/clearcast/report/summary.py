"""First screen of the page: quality of the verdicts and of the denoised images, and the effect of denoising."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clearcast.domain import Label
from clearcast.evaluation.evidence.contract import Comparison, Figure
from clearcast.evaluation.evidence.words import counted
from clearcast.evaluation.measures import CLASSIFICATION_MEASURES, QUALITY_MEASURES
from clearcast.evaluation.results import ClassificationStage, FidelityMeasure, RestorationStage
from clearcast.report.charts import evidence as charts
from clearcast.report.figures import Chart, chart
from clearcast.report.numbers import DASH, bounds, decimal, interval, measured, sentence
from clearcast.report.sources import Run, classifications, restoration
from clearcast.report.split import Seen, seen
from clearcast.report.tables import VERDICT_NAMES, main_comparison

_LEAKAGE_TEXTS = {
    Seen.MOST: ", but most of them show parts that are also in the training set",
    Seen.SOME: ", but some of them show parts that are also in the training set",
}
_FIRST_SCREEN_FIDELITY: tuple[FidelityMeasure, ...] = ("psnr", "ssim", "lpips")


@dataclass(frozen=True)
class Cell:
    """One figure of the first screen: value, 95% interval and published value, each empty if there is none."""

    value: str
    interval: str = ""
    published: str = ""


@dataclass(frozen=True)
class Grid:
    """A small table of figures; each row has a name. ``note`` stands below it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    note: str


@dataclass(frozen=True)
class Help:
    """Effect of denoising on the verdicts: a sentence, a note and, with evidence, a chart."""

    sentence: str
    note: str
    chart: Chart | None


def headline(run: Run) -> str:
    """Write the headline: the main result in one sentence, and whether it is on parts outside the training set."""
    stages, denoising = classifications(run.metrics), restoration(run.metrics)
    available = [key for key in ("denoised", "noisy", "reference", "transfer", "noise_type") if key in stages]
    if not available and denoising:
        before, after = (decimal(denoising[which]["all"]["psnr"]["mean"], 2) for which in ("noisy", "denoised"))
        return f"Denoising changed the mean PSNR of the test images from {before} to {after} dB."
    leakage = seen(run.metrics["run"])
    start = "On parts outside the training set, " if leakage is Seen.NONE else ""
    return f"{start}{_correct_text(stages, available)}{_LEAKAGE_TEXTS.get(leakage, '')}."


def verdicts(run: Run) -> Grid | None:
    """Tabulate accuracy, ROC area, escape and overkill of the ok/defect stages; None if none was run."""
    stages = classifications(run.metrics)
    rows = tuple(
        (name, _verdict_cells(run, key, stages[key]))
        for key, name in VERDICT_NAMES.items()
        if key in stages and key != "transfer"
    )
    note = _noise_type_text(run)
    if rows:
        at = "at the chosen threshold, accuracy at 0.5" if _all_chosen(run) else "and accuracy at the threshold 0.5"
        note = f"Escape (a defect called ok) and overkill (an ok part called defect) {at}. {note}".strip()
    if not note:
        return None
    chosen = ", chosen" if _all_chosen(run) else ""
    columns = (
        CLASSIFICATION_MEASURES["accuracy"].title,
        CLASSIFICATION_MEASURES["roc_area"].name,
        f"Escape{chosen}",
        f"Overkill{chosen}",
    )
    return Grid(columns, rows, note)


def restored(run: Run) -> Grid | None:
    """Tabulate PSNR, SSIM and, if measured, LPIPS before and after denoising; None if nothing was denoised."""
    stage = restoration(run.metrics)
    if stage is None:
        return None
    rows = tuple(
        (QUALITY_MEASURES[measure].label, _fidelity_cells(run, stage, measure))
        for measure in _FIRST_SCREEN_FIDELITY
        if stage["denoised"]["all"][measure]
    )
    return Grid(("Noisy", "Denoised", "Gain"), rows, "")


def helped(run: Run) -> Help | None:
    """Describe the effect of denoising on the verdicts; None if it was not measured."""
    comparison = main_comparison(run.evidence)
    if run.evidence and comparison:
        chart = _difference_chart(run, run.evidence["comparisons"])
        return Help(sentence(comparison["sentence"]), _changes_text(comparison), chart)
    stages = run.metrics["stages"]
    if not {"noisy", "denoised"} <= set(stages):
        return None
    label = run.predictions["label"]
    before, after = (run.predictions[f"said_{stage}"] == label for stage in ("noisy", "denoised"))
    corrected, broken = int((~before & after).sum()), int((before & ~after).sum())
    text = f"Image by image, denoising corrected {counted(corrected, 'verdict')} and made {broken:,} wrong."
    return Help(text, "This run has no interval for the effect on other parts.", None)


def versus(comparison: Comparison) -> str:
    """Name a comparison, such as "Denoised (stage 4) against noisy (stage 1)"."""
    first, second = (VERDICT_NAMES.get(key, key) for key in (comparison["first"], comparison["second"]))
    return f"{second} against {first[0].lower()}{first[1:]}"


def in_points(share: Figure) -> Figure:
    """Convert a figure from a share to percentage points."""
    value, low, high = (None if one is None else 100 * one for one in (share["value"], share["low"], share["high"]))
    return Figure(value=value, low=low, high=high)


def _correct_text(stages: dict[str, ClassificationStage], available: Sequence[str]) -> str:
    main = available[0]
    correct, images = _correct_count(stages[main])
    if main == "noise_type":
        return f"the noise type of {correct:,} of {counted(images, 'test image')} is correct".capitalize()
    condition = {"noisy": "without denoising", "reference": "without noise"}.get(main, "after denoising")
    other = f", {_correct_count(stages['noisy'])[0]:,} before" if main == "denoised" and "noisy" in available else ""
    return f"{correct:,} of {counted(images, 'test image')} are classified correctly {condition}{other}"


def _correct_count(stage: ClassificationStage) -> tuple[int, int]:
    """Number of correct images and of all images."""
    counts = stage["confusion"]
    return sum(row[place] for place, row in enumerate(counts)), sum(map(sum, counts))


def _verdict_cells(run: Run, key: str, stage: ClassificationStage) -> tuple[Cell, ...]:
    measures = (_measure_cell(run, key, stage, name) for name in ("accuracy", "roc_area"))
    return (*measures, *_error_cells(run, key, stage))


def _measure_cell(run: Run, key: str, stage: ClassificationStage, measure: str) -> Cell:
    figure = _without_interval(stage["metrics"][measure])  # type: ignore[literal-required]
    if run.evidence:
        figure = run.evidence["classification"].get(key, {}).get(measure, figure)
    elif measure == "accuracy":
        figure = _independent_figure(stage["metrics"]["accuracy"], stage["metrics"]["images"])
    return _cell(figure, published=(stage["published"] or {}).get(measure))


def _error_cells(run: Run, key: str, stage: ClassificationStage) -> tuple[Cell, Cell]:
    """Cells of escape and overkill, at the chosen threshold if each stage has one."""
    decision = run.evidence["decisions"].get(key) if run.evidence else None
    if decision:
        point = decision["chosen"] if _all_chosen(run) and decision["chosen"] else decision["plain"]
        escape, overkill = point["escape"], point["overkill"]
    else:
        escape, overkill = (_error_rate(stage, label) for label in (Label.DEFECT, Label.OK))
    return _cell(escape), _cell(overkill)


def _error_rate(stage: ClassificationStage, label: Label) -> Figure:
    """Share of a label's images that are predicted as the other, with the interval of independent images."""
    place = stage["classes"].index(label)
    counts = stage["confusion"][place]
    images = sum(counts)
    if not images:
        return _without_interval(None)
    return _independent_figure(1 - counts[place] / images, images)


def _independent_figure(share: float, images: int) -> Figure:
    low, high = interval(share, images)
    return Figure(value=share, low=low, high=high)


def _all_chosen(run: Run) -> bool:
    decisions = run.evidence["decisions"] if run.evidence else {}
    return bool(decisions) and all(decision["chosen"] for decision in decisions.values())


def _noise_type_text(run: Run) -> str:
    stage = classifications(run.metrics).get("noise_type")
    if stage is None:
        return ""
    cell = _measure_cell(run, "noise_type", stage, "accuracy")
    published = f"; published {cell.published}" if cell.published else ""
    return f"Noise type, accuracy: {cell.value} ({cell.interval}{published})."


def _fidelity_cells(run: Run, stage: RestorationStage, measure: FidelityMeasure) -> tuple[Cell, Cell, Cell]:
    """Cells of one measure: noisy, denoised and gain."""
    digits = QUALITY_MEASURES[measure].decimals
    before, after = (_mean(run, stage, which, measure) for which in ("noisy", "denoised"))
    published = (stage["published"] or {}).get(measure)
    paired = run.evidence.get("gain", {}).get("all", {}).get(measure) if run.evidence else None
    first, last = before["value"], after["value"]
    gain = paired or _without_interval(None if first is None or last is None else last - first)
    return _cell(before, digits), _cell(after, digits, published), _cell(gain, digits, sign=True)


def _mean(run: Run, stage: RestorationStage, which: Literal["noisy", "denoised"], measure: FidelityMeasure) -> Figure:
    """Mean over all test images, with its interval if there is evidence."""
    spread = stage[which]["all"][measure]
    figures = run.evidence["restoration"].get(which, {}).get("all", {}) if run.evidence else {}
    return figures.get(measure) or _without_interval(spread["mean"] if spread else None)


def _without_interval(value: float | None) -> Figure:
    return Figure(value=value, low=None, high=None)


def _cell(figure: Figure, digits: int = 3, published: float | None = None, *, sign: bool = False) -> Cell:
    ends = bounds(figure, digits, sign=sign)
    published_text = "" if published is None else decimal(published, digits)
    return Cell(decimal(figure["value"], digits, sign=sign), "" if ends == DASH else ends, published_text)


def _changes_text(comparison: Comparison) -> str:
    return (
        f"{counted(comparison['mended'], 'verdict')} corrected, {comparison['spoiled']:,} made wrong. McNemar's test, "
        f"which assumes independent images: p = {comparison['mcnemar_p']:.2g}."
    )


def _difference_chart(run: Run, comparisons: Sequence[Comparison]) -> Chart | None:
    """Chart of the gain in accuracy by denoising, with and without retraining the classifier."""
    names = {"denoised": "Retrained", "transfer": "Not retrained"}
    shown = [one for one in comparisons if one["first"] == "noisy" and one["second"] in names]
    if not shown:
        return None
    words = "; ".join(f"{versus(one)}: {measured(in_points(one['difference']), 1, sign=True)}" for one in shown)
    figure = charts.differences(shown, [names[one["second"]] for one in shown])
    return chart(run, "differences", "Denoised images compared with noisy ones", words, figure)
