"""The first screen: how good the verdicts and the denoised pictures are, and whether denoising helped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from clearcast.domain import Label
from clearcast.evaluation.evidence.contract import Comparison, Figure
from clearcast.evaluation.evidence.words import counted
from clearcast.evaluation.results import ClassificationStage, FidelityMeasure, RestorationStage
from clearcast.report.charts import evidence as charts
from clearcast.report.figures import Chart, chart
from clearcast.report.numbers import DASH, bounds, decimal, interval, measured, sentence
from clearcast.report.sources import Run, classifications, restoration
from clearcast.report.split import Seen, seen
from clearcast.report.tables import VERDICT_NAMES, main_comparison

_SEEN = {
    Seen.MOST: ", but most of them show parts that also trained the networks",
    Seen.SOME: ", but some of them show parts that also trained the networks",
}


@dataclass(frozen=True)
class Cell:
    """One figure of the first screen: its value, its 95% interval and what was published, each empty where none is."""

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
    """Whether denoising helped, in a sentence, with what stands behind it and, with evidence, a figure."""

    sentence: str
    note: str
    chart: Chart | None


def headline(run: Run) -> str:
    """The study in one sentence: counts, and whether they are of parts never seen."""
    stages, denoising = classifications(run.metrics), restoration(run.metrics)
    told = [key for key in ("denoised", "noisy", "reference", "transfer", "noise_type") if key in stages]
    if not told and denoising:
        before, after = (decimal(denoising[which]["all"]["psnr"]["mean"], 2) for which in ("noisy", "denoised"))
        return f"Denoising took the mean PSNR of the test images from {before} to {after} dB."
    where = seen(run.metrics["run"])
    start = "On parts never seen in training, " if where is Seen.NONE else ""
    return f"{start}{_right(stages, told)}{_SEEN.get(where, '')}."


def verdicts(run: Run) -> Grid | None:
    """Accuracy, ROC area, escape and overkill of the stages that say ok or defect; None where none was run."""
    stages = classifications(run.metrics)
    rows = tuple(
        (name, _verdict(run, key, stages[key]))
        for key, name in VERDICT_NAMES.items()
        if key in stages and key != "transfer"
    )
    note = _noise_type(run)
    if rows:
        at = "at the chosen threshold, accuracy at 0.5" if _all_chosen(run) else "and accuracy at the threshold 0.5"
        note = f"Escape (a defect called ok) and overkill (an ok part called defect) {at}. {note}".strip()
    if not note:
        return None
    chosen = ", chosen" if _all_chosen(run) else ""
    columns = ("Accuracy", "ROC area", f"Escape{chosen}", f"Overkill{chosen}")
    return Grid(columns, rows, note)


def restored(run: Run) -> Grid | None:
    """PSNR, SSIM and, where measured, LPIPS before and after denoising; None where nothing was denoised."""
    stage = restoration(run.metrics)
    if stage is None:
        return None
    measures: Mapping[FidelityMeasure, tuple[str, int]] = {
        "psnr": ("PSNR, dB", 2),
        "ssim": ("SSIM", 3),
        "lpips": ("LPIPS", 3),
    }
    known = {key: words for key, words in measures.items() if stage["denoised"]["all"][key]}
    rows = tuple((name, _restored(run, stage, key, digits)) for key, (name, digits) in known.items())
    return Grid(("Noisy", "Denoised", "Gain"), rows, "")


def helped(run: Run) -> Help | None:
    """Whether denoising helped the verdicts; None where that was not tried."""
    comparison = main_comparison(run.evidence)
    if run.evidence and comparison:
        return Help(
            sentence(comparison["sentence"]), _changed(comparison), _differences(run, run.evidence["comparisons"])
        )
    stages = run.metrics["stages"]
    if not {"noisy", "denoised"} <= set(stages):
        return None
    label = run.predictions["label"]
    before, after = (run.predictions[f"said_{stage}"] == label for stage in ("noisy", "denoised"))
    mended, spoiled = int((~before & after).sum()), int((before & ~after).sum())
    told = f"Picture by picture, denoising mended {counted(mended, 'verdict')} and spoiled {spoiled:,}."
    return Help(told, "Whether that would hold on other parts was not worked out for this run.", None)


def versus(comparison: Comparison) -> str:
    """What is compared, such as "Denoised (stage 4) against noisy (stage 1)"."""
    first, second = (VERDICT_NAMES.get(key, key) for key in (comparison["first"], comparison["second"]))
    return f"{second} against {first[0].lower()}{first[1:]}"


def in_points(share: Figure) -> Figure:
    """A figure in 0..1 as one in hundredths."""
    value, low, high = (None if one is None else 100 * one for one in (share["value"], share["low"], share["high"]))
    return Figure(value=value, low=low, high=high)


def _right(stages: dict[str, ClassificationStage], told: Sequence[str]) -> str:
    main = told[0]
    right, images = _count(stages[main])
    if main == "noise_type":
        return f"the noise of {right:,} of {counted(images, 'test image')} is named rightly".capitalize()
    means = {"noisy": "as they are", "reference": "without noise"}.get(main, "after denoising")
    other = f", {_count(stages['noisy'])[0]:,} before" if main == "denoised" and "noisy" in told else ""
    return f"{right:,} of {counted(images, 'test image')} are judged rightly {means}{other}"


def _count(stage: ClassificationStage) -> tuple[int, int]:
    counts = stage["confusion"]
    return sum(row[place] for place, row in enumerate(counts)), sum(map(sum, counts))


def _verdict(run: Run, key: str, stage: ClassificationStage) -> tuple[Cell, ...]:
    return (_share(run, key, stage, "accuracy"), _share(run, key, stage, "roc_area"), *_errors(run, key, stage))


def _share(run: Run, key: str, stage: ClassificationStage, measure: Literal["accuracy", "roc_area"]) -> Cell:
    figure = _bare(stage["metrics"][measure])
    if run.evidence:
        figure = run.evidence["classification"].get(key, {}).get(measure, figure)
    elif measure == "accuracy":
        figure = _naive(stage["metrics"]["accuracy"], stage["metrics"]["images"])
    return _cell(figure, published=(stage["published"] or {}).get(measure))


def _errors(run: Run, key: str, stage: ClassificationStage) -> tuple[Cell, Cell]:
    """Escape and overkill, at the chosen threshold where each stage has one."""
    decision = run.evidence["decisions"].get(key) if run.evidence else None
    if decision:
        point = decision["chosen"] if _all_chosen(run) and decision["chosen"] else decision["plain"]
        escape, overkill = point["escape"], point["overkill"]
    else:
        escape, overkill = (_missed(stage, label) for label in (Label.DEFECT, Label.OK))
    return _cell(escape), _cell(overkill)


def _missed(stage: ClassificationStage, label: Label) -> Figure:
    """The share of a label's images that are given the other, with the naive interval."""
    place = stage["classes"].index(label)
    counts = stage["confusion"][place]
    images = sum(counts)
    if not images:
        return Figure(value=None, low=None, high=None)
    return _naive(1 - counts[place] / images, images)


def _naive(share: float, images: int) -> Figure:
    low, high = interval(share, images)
    return Figure(value=share, low=low, high=high)


def _all_chosen(run: Run) -> bool:
    decisions = run.evidence["decisions"] if run.evidence else {}
    return bool(decisions) and all(decision["chosen"] for decision in decisions.values())


def _noise_type(run: Run) -> str:
    stage = classifications(run.metrics).get("noise_type")
    if stage is None:
        return ""
    cell = _share(run, "noise_type", stage, "accuracy")
    published = f"; published {cell.published}" if cell.published else ""
    return f"Noise type named rightly: {cell.value} ({cell.interval}{published})."


def _restored(run: Run, stage: RestorationStage, measure: FidelityMeasure, digits: int) -> tuple[Cell, Cell, Cell]:
    before, after = (_mean(run, stage, which, measure) for which in ("noisy", "denoised"))
    published = (stage["published"] or {}).get(measure)
    paired = run.evidence.get("gain", {}).get("all", {}).get(measure) if run.evidence else None
    first, last = before["value"], after["value"]
    added = paired or _bare(None if first is None or last is None else last - first)
    return _cell(before, digits), _cell(after, digits, published), _cell(added, digits, sign=True)


def _mean(run: Run, stage: RestorationStage, which: Literal["noisy", "denoised"], measure: FidelityMeasure) -> Figure:
    """A mean over all test images, with its interval where there is evidence."""
    spread = stage[which]["all"][measure]
    figures = run.evidence["restoration"].get(which, {}).get("all", {}) if run.evidence else {}
    return figures.get(measure) or _bare(spread["mean"] if spread else None)


def _bare(value: float | None) -> Figure:
    return Figure(value=value, low=None, high=None)


def _cell(figure: Figure, digits: int = 3, published: float | None = None, *, sign: bool = False) -> Cell:
    ends = bounds(figure, digits, sign=sign)
    known = "" if published is None else decimal(published, digits)
    return Cell(decimal(figure["value"], digits, sign=sign), "" if ends == DASH else ends, known)


def _changed(comparison: Comparison) -> str:
    return (
        f"{counted(comparison['mended'], 'verdict')} mended, {comparison['spoiled']:,} spoiled. McNemar's test, which "
        f"takes images for independent: p = {comparison['mcnemar_p']:.2g}."
    )


def _differences(run: Run, comparisons: Sequence[Comparison]) -> Chart | None:
    """What denoising gained with a network trained anew, and without."""
    names = {"denoised": "Trained anew", "transfer": "Not trained anew"}
    shown = [one for one in comparisons if one["first"] == "noisy" and one["second"] in names]
    if not shown:
        return None
    words = "; ".join(f"{versus(one)}: {measured(in_points(one['difference']), 1, sign=True)}" for one in shown)
    figure = charts.differences(shown, [names[one["second"]] for one in shown])
    return chart(run, "differences", "On denoised images, against noisy ones", words, figure)
