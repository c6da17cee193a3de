"""The figures of a study. Each is drawn once and kept twice: as PNG beside the page and as SVG inside it."""

import io
import re
import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from clearcast.evaluation.results import ClassificationStage
from clearcast.report.numbers import interval
from clearcast.report.sources import display_name, subject

# Okabe and Ito's colours, told apart with any colour vision. In the page each becomes the style sheet's variable,
# so that figures follow its light, dark and printed looks.
INK, MUTED, GRID, PAPER = "#1d2733", "#5b6875", "#d5dbe1", "#ffffff"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#aa4499"
SQUARE, WIDE = 2.9, 8.0  # inches; square figures stand beside the table in the page, wide ones below it
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    PAPER: "var(--paper)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    PURPLE: "var(--purple)",
}
_styled = mpl.rc_context(
    {
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.facecolor": PAPER,
        "legend.edgecolor": "none",
    }
)


@_styled
def confusion(stage: ClassificationStage) -> Figure:
    """True classes in rows, said classes in columns; each cell with its count and its share of the row."""
    counts = np.array(stage["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [textwrap.fill(display_name(name), 9) for name in stage["classes"]]
    figure, axes = _figure(SQUARE, 2.7)
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=BLUE, alpha=0.04 + 0.96 * share))
        ink = PAPER if share > 0.5 else INK
        axes.text(column, row - 0.08, f"{count:,}", ha="center", va="center", color=ink, fontsize=12)
        axes.text(column, row + 0.22, f"{share:.1%}", ha="center", va="center", color=ink, fontsize=8)
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), xlabel="Said", ylabel="True")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names, rotation=90, va="center", multialignment="center")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    return figure


@_styled
def roc(stage: ClassificationStage) -> Figure:
    """The ROC curve of defect, with the point that the verdicts were said at; or one curve for each class."""
    figure, axes = _figure(SQUARE, 2.7 + 0.18 * (2 + len(stage["roc"])))
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1, label="Chance")
    for colour, (name, curve) in zip((BLUE, ORANGE, GREEN, PURPLE), stage["roc"].items(), strict=False):
        label = f"{display_name(name)}, area {curve['area']:.4f}"
        axes.plot(curve["fpr"], curve["tpr"], color=colour, linewidth=1.6, label=label)
    metrics = stage["metrics"]
    if "sensitivity" in metrics and "specificity" in metrics:
        point = (1 - metrics["specificity"], metrics["sensitivity"])
        axes.plot(*point, "o", color=ORANGE, markersize=6, label="the verdicts", clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="False alarms, share of the rest", ylabel="Found, share of the class")
    figure.legend(loc="outside lower left", fontsize=8, handlelength=1.4)  # inside it would hide curves
    return figure


@_styled
def learning(history: pd.DataFrame) -> Figure:
    """Loss by epoch on training and held-out pictures, and accuracy beside it where the history has it."""
    panels = [panel for panel in ("loss", "accuracy") if f"train_{panel}" in history]
    figure, first = _figure(WIDE, 2.8, columns=len(panels))
    for axes, panel in zip(figure.axes, panels, strict=True):
        for part, colour, text in (("train", BLUE, "training"), ("heldout", ORANGE, "held-out")):
            curve = history[["epoch", f"{part}_{panel}"]].dropna()
            axes.plot(curve["epoch"], curve[f"{part}_{panel}"], "o-", color=colour, markersize=2.5, label=text)
        ends = (history["epoch"].min() - 0.5, history["epoch"].max() + 0.5)  # a single epoch has a width too
        axes.set(xlabel="Epoch", ylabel=panel.capitalize(), xlim=ends)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    first.legend()
    return figure


@_styled
def gains(predictions: pd.DataFrame) -> Figure:
    """What denoising added to each picture's PSNR: a box and all pictures as dots, by noise type."""
    finite = predictions[np.isfinite(predictions["psnr_noisy"]) & np.isfinite(predictions["psnr_denoised"])]
    added = (finite["psnr_denoised"] - finite["psnr_noisy"]).groupby(finite["noise_type"])
    groups = {display_name(str(name)): values.to_numpy() for name, values in added}
    figure, axes = _figure(WIDE, 1.2 + 0.55 * len(groups))
    axes.axvline(0, color=MUTED, linewidth=1)
    rng = np.random.default_rng(0)  # only scatters dots that would hide each other
    for place, values in enumerate(groups.values()):
        heights = place + rng.uniform(-0.28, 0.28, len(values))
        axes.plot(values, heights, ".", color=BLUE, alpha=0.35, markersize=5, markeredgewidth=0)
    line = {"color": INK, "linewidth": 1.1}
    axes.boxplot(
        list(groups.values()), positions=range(len(groups)), widths=0.5, orientation="horizontal", showfliers=False,
        boxprops=line, whiskerprops=line, capprops=line, medianprops=line | {"color": ORANGE, "linewidth": 2},
    )  # fmt: skip
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set(xlabel="Gain in PSNR by denoising, dB", ylim=(len(groups) - 0.5, -0.5))
    return figure


@_styled
def accuracies(stages: dict[str, ClassificationStage]) -> Figure:
    """Each stage's accuracy with its 95 % interval, and the published figure."""
    figure, axes = _figure(WIDE, 1.0 + 0.42 * len(stages))
    for place, stage in enumerate(stages.values()):
        share, images = stage["metrics"]["accuracy"], stage["metrics"]["images"]
        axes.plot(interval(share, images), (place, place), color=BLUE, linewidth=2.2, solid_capstyle="butt")
        axes.plot(share, place, "o", color=BLUE, markersize=7, label="ours, with its 95 % interval")
        if stage["published"] and "accuracy" in stage["published"]:
            axes.plot(stage["published"]["accuracy"], place, "D", color=ORANGE, markersize=6, label="published")
    axes.set_yticks(range(len(stages)), [subject(stage["title"]) for stage in stages.values()])
    axes.set(xlabel="Accuracy on test pictures", ylim=(len(stages) - 0.5, -0.5))
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return figure


def keep(figure: Figure, path: Path) -> Markup:
    """Write a figure as PNG and return it as SVG whose colours and font are the page's."""
    figure.savefig(path, dpi=200, facecolor=PAPER, metadata={"Software": None})
    figure.set_layout_engine("none")  # both have one layout: work it out once
    buffer = io.StringIO()
    # The salt keeps the names inside one figure apart from those of another in the same page, and alike in each run.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", facecolor="none", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', svg, count=1)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(svg.replace("xlink:href", "href"))


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Axes]:
    """An empty figure in inches on its own canvas: no window system, and no list of open figures."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, axes[0, 0]
