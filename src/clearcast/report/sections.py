"""Sections of the page for each stage: tables, charts with descriptions, and the network."""

import math
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from clearcast.evaluation.evidence.words import counted
from clearcast.evaluation.results import ClassificationStage, RestorationStage, Training
from clearcast.report import architecture, heldout
from clearcast.report.charts import stages as charts
from clearcast.report.figures import Chart, chart
from clearcast.report.numbers import decimal, duration, interval
from clearcast.report.sources import Run, classifications, display_name, read_history, restoration, subject
from clearcast.report.tables import NUMBERS, VERDICT_NAMES, Table, gain, noise_table, page_tables


@dataclass(frozen=True)
class Section:
    """One stage. ``drawing`` is None if an earlier stage, named in ``network``, has the same network."""

    key: str
    number: str
    title: str
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]
    network: str
    drawing: Markup | None


def sections(run: Run) -> list[Section]:
    """Make the sections of all stages of the run, in the order of the study."""
    drawn: dict[str, str] = {}  # layers -> number of the stage that has their drawing
    return [_section(run, key, table, drawn) for key, table in page_tables(run.metrics, run.evidence).items()]


def overview(run: Run) -> Chart | None:
    """Make the chart of the accuracies of all ok/defect stages; None if none was run."""
    known = classifications(run.metrics)
    stages = {name: known[key] for key, name in VERDICT_NAMES.items() if key in known}
    if not stages:
        return None
    words = "; ".join(f"{name}: {decimal(stage['metrics']['accuracy'])}" for name, stage in stages.items())
    kind = "its 95% interval" if run.evidence else "a 95% interval that assumes independent images"
    intervals = {name: _accuracy_interval(run, key, known[key]) for key, name in VERDICT_NAMES.items() if key in known}
    figure = charts.accuracies(stages, intervals, kind)
    return chart(run, "accuracy", "Accuracy of ok or defect by stage", words, figure)


def _accuracy_interval(run: Run, key: str, stage: ClassificationStage) -> tuple[float, float]:
    """Interval from the evidence, or that of independent images for a run without evidence."""
    if run.evidence is None:
        return interval(stage["metrics"]["accuracy"], stage["metrics"]["images"])
    figure = run.evidence["classification"].get(key, {}).get("accuracy")
    ends = (figure["low"], figure["high"]) if figure else (None, None)
    return (math.nan if ends[0] is None else ends[0], math.nan if ends[1] is None else ends[1])


def _section(run: Run, key: str, table: Table, drawn: dict[str, str]) -> Section:
    denoising = restoration(run.metrics) if key == "denoising" else None
    stage = denoising or classifications(run.metrics)[key]
    figures = _fidelity_charts(run, denoising) if denoising else _class_charts(run, key)
    folds = run.metrics["run"].get("folds", 1)
    network, drawing = _network(key, stage["training"], drawn, folds)
    return Section(
        key=key,
        number=NUMBERS[key],
        title=subject(stage["title"]),
        tables=(table, noise_table(denoising, run.evidence)) if denoising else (table,),
        charts=tuple(figures),
        network=network,
        drawing=drawing,
    )


def _class_charts(run: Run, key: str) -> list[Chart]:
    stage = classifications(run.metrics)[key]
    drawn = [chart(run, f"{key}-confusion", "Confusion matrix", _confusion_words(stage), charts.confusion(stage))]
    if stage["roc"]:
        areas = [f"{display_name(name)} {decimal(curve['area'])}" for name, curve in stage["roc"].items()]
        drawn.append(chart(run, f"{key}-roc", "ROC curve", "Areas: " + ", ".join(areas), charts.roc(stage)))
    return drawn + _learning_charts(run, key)


def _fidelity_charts(run: Run, stage: RestorationStage) -> list[Chart]:
    learning = _learning_charts(run, "denoising")
    if gain(stage) is None:  # images without noise have an infinite PSNR and no gain
        return learning
    names = [name for name in stage["denoised"] if name != "all"]
    words = "; ".join(f"{display_name(name)}: {decimal(gain(stage, name), 2, sign=True)} dB" for name in names)
    caption = "Gain by noise type: each dot is one image, the box holds the middle half"
    return [chart(run, "denoising-gain", caption, words, charts.gains(run.predictions)), *learning]


def _learning_charts(run: Run, key: str) -> list[Chart]:
    history = read_history(run, key)
    if history is None:
        return []
    caption = heldout.caption(run.metrics["run"], key)
    return [chart(run, f"{key}-learning", caption, _learning_words(history), charts.learning(history))]


def _confusion_words(stage: ClassificationStage) -> str:
    names = [display_name(name) for name in stage["classes"]]
    rows = (
        f"{name} predicted as " + ", ".join(f"{other} {count}" for other, count in zip(names, counts, strict=True))
        for name, counts in zip(names, stage["confusion"], strict=True)
    )
    return "; ".join(rows)


def _learning_words(history: pd.DataFrame) -> str:
    texts = []
    for column in history.columns.drop(["epoch", "seconds"], errors="ignore"):
        values = history[column].dropna()
        if len(values):
            name = column.replace("_", " ").replace("heldout", "held-out")
            first, last = decimal(values.iloc[0]), decimal(values.iloc[-1])
            texts.append(f"{name} from {first} to {last}" if len(values) > 1 else f"{name} {last}")
    return f"{counted(len(history), 'epoch')}: " + ", ".join(texts)


def _network(key: str, training: Training | None, drawn: dict[str, str], folds: int) -> tuple[str, Markup | None]:
    """Describe the training, and draw the network unless an earlier stage has the same."""
    if training is None and folds > 1 and key != "transfer":
        return f"Trained separately in each of the {folds} folds; the pages of the folds have its drawing.", None
    if training is None:
        return "This stage has no network of its own.", None
    facts = (
        f"{training['parameters']:,} parameters, {counted(training['epochs'], 'epoch')} on "
        f"{counted(training['train_images'], 'image')}, "
        f"{duration(training['seconds'])} of training, {training['images_per_second']:.1f} images per second."
    )
    layers = str(training["layers"])
    if layers in drawn:
        return f"{facts} It has the same layers as stage {drawn[layers]} and was trained separately.", None
    drawn[layers] = NUMBERS[key]
    return facts, architecture.draw(training["layers"], f"Network of stage {NUMBERS[key]}")
