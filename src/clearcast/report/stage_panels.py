"""Sections of the page for the stages: tables, charts, and a drawing of the network."""

import math
import textwrap
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from clearcast.core.numbers import format_count
from clearcast.metrics.results import ClassificationResult, DenoisingResult, LayerInfo, TrainingInfo
from clearcast.report import caveats
from clearcast.report.charts import stages as charts
from clearcast.report.charts.style import Chart, make_chart
from clearcast.report.formatting import format_decimal, format_duration, independent_interval, render_template
from clearcast.report.run_reader import (
    RunResults,
    classification_stages,
    denoising_stage,
    display_name,
    read_history,
    short_stage_title,
)
from clearcast.report.study_tables import (
    STAGE_NUMBERS,
    VERDICT_STAGE_NAMES,
    TextTable,
    make_noise_table,
    make_stage_tables,
    psnr_gain,
)

_LAYER_WIDTH = 98  # pixels for one layer, enough for its widest word
_MAX_HEIGHT = 132  # of a block
_LINE_HEIGHT = 14
_MAX_LETTERS = 16  # of a line of text
_LAYERS_PER_ROW = 12
_FAMILIES = {"transpose": "up", "upsample": "up", "shuffle": "up", "conv": "conv", "pool": "pool", "linear": "dense"}


@dataclass(frozen=True)
class LayerBlock:
    """One drawn layer: a rectangle with lines of text below, as (text, style)."""

    x: float
    y: float
    width: float
    height: float
    family: str
    middle: float
    description: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LayerRow:
    """One line of blocks in the drawing, in pixels from its top: of the line, of its centre line, and of its texts."""

    top: int
    axis: float
    texts: float
    blocks: tuple[LayerBlock, ...]


def draw_network(layers: list[LayerInfo], title: str) -> Markup:
    """Draw a network as SVG: a block for each layer with name, kind, details, output shape and parameters."""
    count = math.ceil(len(layers) / _LAYERS_PER_ROW)
    per_row = math.ceil(len(layers) / count)
    rows: list[LayerRow] = []
    top = 0
    for start in range(0, len(layers), per_row):
        blocks = tuple(
            _layer_block(layer, place, layers) for place, layer in enumerate(layers[start : start + per_row])
        )
        rows.append(LayerRow(top, _MAX_HEIGHT / 2, _MAX_HEIGHT + 20, blocks))
        top += _MAX_HEIGHT + 40 + _LINE_HEIGHT * max(len(block.lines) for block in blocks)
    total = sum(layer["parameters"] for layer in layers)
    return render_template(
        "architecture.svg.j2",
        rows=rows,
        width=per_row * _LAYER_WIDTH,
        height=top,
        slot=_LAYER_WIDTH,
        line=_LINE_HEIGHT,
        title=title,
        total=total,
        count=len(layers),
    )


def _format_shape(layer: LayerInfo) -> str:
    """Format the output shape of a layer.

    >>> _format_shape({"name": "c", "kind": "Conv2d", "details": "", "output": [16, 64, 64], "parameters": 0})
    '16 × 64 × 64'
    """
    return " × ".join(str(size) for size in layer["output"])


def _layer_block(layer: LayerInfo, place: int, layers: list[LayerInfo]) -> LayerBlock:
    width, height = _block_size(layer, layers)
    middle = (place + 0.5) * _LAYER_WIDTH
    kind = layer["kind"].lower()
    return LayerBlock(
        x=middle - width / 2,
        y=(_MAX_HEIGHT - height) / 2,
        width=width,
        height=height,
        family=next((family for word, family in _FAMILIES.items() if word in kind), "other"),
        middle=middle,
        description=f"{layer['name']}: {layer['kind']} ({layer['details'] or 'no settings'}), "
        f"output {_format_shape(layer)}, {layer['parameters']:,} parameters",
        lines=_text_lines(layer),
    )


def _block_size(layer: LayerInfo, layers: list[LayerInfo]) -> tuple[float, float]:
    """Width and height of a block: by the logarithm of the channels and by pixels (or length, without pixels)."""
    channels, *pixels = layer["output"]
    if not pixels:
        return 8, 12 + 5 * math.log2(channels)
    largest = max(max(other["output"][1:], default=1) for other in layers)
    return 10 + 7 * math.log2(channels), max(4, _MAX_HEIGHT * math.sqrt(max(pixels) / largest))


def _text_lines(layer: LayerInfo) -> tuple[tuple[str, str], ...]:
    styled = [
        (layer["name"], "name"),
        (layer["kind"], "kind"),
        *((detail, "detail") for detail in layer["details"].split(", ") if detail),
        (_format_shape(layer), "shape"),
        (f"{layer['parameters']:,} param." if layer["parameters"] else "no parameters", "detail"),
    ]
    return tuple((words, style) for text, style in styled for words in textwrap.wrap(text, _MAX_LETTERS))


@dataclass(frozen=True)
class StageSection:
    """One stage. ``drawing`` is None if an earlier stage, named in ``network``, has the same network."""

    key: str
    number: str
    title: str
    tables: tuple[TextTable, ...]
    charts: tuple[Chart, ...]
    network: str
    drawing: Markup | None


def make_stage_sections(run: RunResults) -> list[StageSection]:
    """Make the sections of all stages of the run, in the order of the study."""
    drawn: dict[str, str] = {}  # layers -> number of the stage that has their drawing
    return [
        _stage_section(run, key, table, drawn) for key, table in make_stage_tables(run.metrics, run.evidence).items()
    ]


def make_accuracy_chart(run: RunResults) -> Chart | None:
    """Make the chart of the accuracies of all ok/defect stages; None if none was run."""
    known = classification_stages(run.metrics)
    stages = {name: known[key] for key, name in VERDICT_STAGE_NAMES.items() if key in known}
    if not stages:
        return None
    description = "; ".join(f"{name}: {format_decimal(stage['metrics']['accuracy'])}" for name, stage in stages.items())
    kind = "its 95% interval" if run.evidence else "a 95% interval that assumes independent images"
    intervals = {
        name: _accuracy_interval(run, key, known[key]) for key, name in VERDICT_STAGE_NAMES.items() if key in known
    }
    figure = charts.draw_accuracies(stages, intervals, kind)
    return make_chart(run, "accuracy", "Accuracy of ok or defect by stage", description, figure)


def _accuracy_interval(run: RunResults, key: str, stage: ClassificationResult) -> tuple[float, float]:
    """Interval from the evidence, or that of independent images for a run without evidence."""
    if run.evidence is None:
        return independent_interval(stage["metrics"]["accuracy"], stage["metrics"]["images"])
    figure = run.evidence["classification"].get(key, {}).get("accuracy")
    ends = (figure["low"], figure["high"]) if figure else (None, None)
    return (math.nan if ends[0] is None else ends[0], math.nan if ends[1] is None else ends[1])


def _stage_section(run: RunResults, key: str, table: TextTable, drawn: dict[str, str]) -> StageSection:
    denoising = denoising_stage(run.metrics) if key == "denoising" else None
    stage = denoising or classification_stages(run.metrics)[key]
    figures = _quality_charts(run, denoising) if denoising else _classification_charts(run, key)
    folds = run.metrics["run"].get("folds", 1)
    network, drawing = _describe_network(key, stage["training"], drawn, folds)
    return StageSection(
        key=key,
        number=STAGE_NUMBERS[key],
        title=short_stage_title(stage["title"]),
        tables=(table, make_noise_table(denoising, run.evidence)) if denoising else (table,),
        charts=tuple(figures),
        network=network,
        drawing=drawing,
    )


def _classification_charts(run: RunResults, key: str) -> list[Chart]:
    stage = classification_stages(run.metrics)[key]
    figure = charts.draw_confusion(stage)
    drawn = [make_chart(run, f"{key}-confusion", "Confusion matrix", _describe_confusion(stage), figure)]
    if stage["roc"]:
        areas = [f"{display_name(name)} {format_decimal(curve['area'])}" for name, curve in stage["roc"].items()]
        drawn.append(make_chart(run, f"{key}-roc", "ROC curve", "Areas: " + ", ".join(areas), charts.draw_roc(stage)))
    return drawn + _learning_charts(run, key)


def _quality_charts(run: RunResults, stage: DenoisingResult) -> list[Chart]:
    learning = _learning_charts(run, "denoising")
    if psnr_gain(stage) is None:  # images without noise have an infinite PSNR and no gain
        return learning
    names = [name for name in stage["denoised"] if name != "all"]
    description = "; ".join(
        f"{display_name(name)}: {format_decimal(psnr_gain(stage, name), 2, sign=True)} dB" for name in names
    )
    caption = "Gain by noise type: each dot is one image, the box holds the middle half"
    return [make_chart(run, "denoising-gain", caption, description, charts.draw_gains(run.predictions)), *learning]


def _learning_charts(run: RunResults, key: str) -> list[Chart]:
    history = read_history(run, key)
    if history is None:
        return []
    caption = caveats.learning_curve_caption(run.metrics["run"], key)
    return [
        make_chart(run, f"{key}-learning", caption, _describe_learning(history), charts.draw_learning_curves(history))
    ]


def _describe_confusion(stage: ClassificationResult) -> str:
    names = [display_name(name) for name in stage["classes"]]
    rows = (
        f"{name} predicted as " + ", ".join(f"{other} {count}" for other, count in zip(names, counts, strict=True))
        for name, counts in zip(names, stage["confusion"], strict=True)
    )
    return "; ".join(rows)


def _describe_learning(history: pd.DataFrame) -> str:
    texts = []
    for column in history.columns.drop(["epoch", "seconds"], errors="ignore"):
        values = history[column].dropna()
        if len(values):
            name = column.replace("_", " ").replace("heldout", "held-out")
            first, last = format_decimal(values.iloc[0]), format_decimal(values.iloc[-1])
            texts.append(f"{name} from {first} to {last}" if len(values) > 1 else f"{name} {last}")
    return f"{format_count(len(history), 'epoch')}: " + ", ".join(texts)


def _describe_network(
    key: str, training: TrainingInfo | None, drawn: dict[str, str], folds: int
) -> tuple[str, Markup | None]:
    """Describe the training, and draw the network unless an earlier stage has the same."""
    if training is None and folds > 1 and key != "transfer":
        return f"Trained separately in each of the {folds} folds; the pages of the folds have its drawing.", None
    if training is None:
        return "This stage has no network of its own.", None
    facts = (
        f"{training['parameters']:,} parameters, {format_count(training['epochs'], 'epoch')} on "
        f"{format_count(training['train_images'], 'image')}, "
        f"{format_duration(training['seconds'])} of training, {training['images_per_second']:.1f} images per second."
    )
    layers = str(training["layers"])
    if layers in drawn:
        return f"{facts} It has the same layers as stage {drawn[layers]} and was trained separately.", None
    drawn[layers] = STAGE_NUMBERS[key]
    return facts, draw_network(training["layers"], f"Network of stage {STAGE_NUMBERS[key]}")
