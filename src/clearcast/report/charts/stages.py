"""Charts of a study's stages: confusion matrix, ROC curve, learning curves, gains and accuracies."""

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from clearcast.metrics.results import ClassificationResult
from clearcast.report.charts.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    PURPLE,
    SQUARE,
    WIDE,
    apply_style,
    new_figure,
)
from clearcast.report.formatting import DASH
from clearcast.report.run_reader import display_name


@apply_style
def draw_confusion(stage: ClassificationResult) -> Figure:
    """Draw a confusion matrix, true classes in rows; each cell with its count and its share of the row."""
    counts = np.array(stage["confusion"])
    images = counts.sum(axis=1, keepdims=True)
    names = [textwrap.fill(display_name(name), 9) for name in stage["classes"]]
    figure, axes = new_figure(SQUARE, 2.7)
    for (row, column), count in np.ndenumerate(counts):
        share = count / images[row, 0] if images[row, 0] else None
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=BLUE, alpha=0.04 + 0.96 * (share or 0)))
        ink = PAPER if share and share > 0.5 else INK
        axes.text(column, row - 0.08, f"{count:,}", ha="center", va="center", color=ink, fontsize=12)
        words = DASH if share is None else f"{share:.1%}"
        axes.text(column, row + 0.22, words, ha="center", va="center", color=ink, fontsize=8)
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), xlabel="Predicted", ylabel="True")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names, rotation=90, va="center", multialignment="center")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    return figure


@apply_style
def draw_roc(stage: ClassificationResult) -> Figure:
    """Draw the ROC curve of defect, with the point of the verdicts, or one curve for each class."""
    figure, axes = new_figure(SQUARE, 2.7 + 0.18 * (2 + len(stage["roc"])))
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1, label="Chance")
    for colour, (name, curve) in zip((BLUE, ORANGE, GREEN, PURPLE), stage["roc"].items(), strict=False):
        label = f"{display_name(name)}, area {curve['area']:.4f}"
        axes.plot(curve["fpr"], curve["tpr"], color=colour, linewidth=1.6, label=label)
    sensitivity, specificity = stage["metrics"].get("sensitivity"), stage["metrics"].get("specificity")
    if sensitivity is not None and specificity is not None:
        axes.plot(1 - specificity, sensitivity, "o", color=ORANGE, markersize=6, label="the verdicts", clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="False positive rate", ylabel="True positive rate")
    figure.legend(loc="outside lower left", fontsize=8, handlelength=1.4)  # inside, it would hide curves
    return figure


@apply_style
def draw_learning_curves(history: pd.DataFrame) -> Figure:
    """Draw the loss on training and held-out images by epoch, and the accuracy if the history has it."""
    panels = [panel for panel in ("loss", "accuracy") if f"train_{panel}" in history]
    figure, first = new_figure(WIDE, 2.8, columns=len(panels))
    for axes, panel in zip(figure.axes, panels, strict=True):
        for subset, colour, text in (("train", BLUE, "training"), ("heldout", ORANGE, "held-out")):
            curve = history[["epoch", f"{subset}_{panel}"]].dropna()
            axes.plot(curve["epoch"], curve[f"{subset}_{panel}"], "o-", color=colour, markersize=2.5, label=text)
        ends = (history["epoch"].min() - 0.5, history["epoch"].max() + 0.5)  # a width even for a single epoch
        axes.set(xlabel="Epoch", ylabel=panel.capitalize(), xlim=ends)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    first.legend()
    return figure


@apply_style
def draw_gains(predictions: pd.DataFrame) -> Figure:
    """Draw the gain in PSNR of each image: a box and all images as dots, by noise type."""
    finite = predictions[np.isfinite(predictions["psnr_noisy"]) & np.isfinite(predictions["psnr_denoised"])]
    gained = (finite["psnr_denoised"] - finite["psnr_noisy"]).groupby(finite["noise_type"])
    groups = {display_name(str(name)): values.to_numpy() for name, values in gained}
    figure, axes = new_figure(WIDE, 1.2 + 0.55 * len(groups))
    axes.axvline(0, color=MUTED, linewidth=1)
    rng = np.random.default_rng(0)  # only jitters dots that would overlap
    for place, values in enumerate(groups.values()):
        heights = place + rng.uniform(-0.28, 0.28, len(values))
        axes.plot(values, heights, ".", color=BLUE, alpha=0.35, markersize=5, markeredgewidth=0)
    line = {"color": INK, "linewidth": 1.1}
    if groups:  # none if every image is identical to its reference
        axes.boxplot(
            list(groups.values()), positions=range(len(groups)), widths=0.5, orientation="horizontal", showfliers=False,
            boxprops=line, whiskerprops=line, capprops=line, medianprops=line | {"color": ORANGE, "linewidth": 2},
        )  # fmt: skip
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set(xlabel="Gain in PSNR by denoising, dB", ylim=(max(len(groups), 1) - 0.5, -0.5))
    return figure


@apply_style
def draw_accuracies(
    stages: Mapping[str, ClassificationResult], intervals: Mapping[str, tuple[float, float]], kind: str
) -> Figure:
    """Draw the accuracy by stage with its interval, described by ``kind``, and the published figure."""
    figure, axes = new_figure(WIDE, 1.0 + 0.42 * len(stages))
    for place, (name, stage) in enumerate(stages.items()):
        axes.plot(intervals[name], (place, place), color=BLUE, linewidth=2.2, solid_capstyle="butt")
        axes.plot(stage["metrics"]["accuracy"], place, "o", color=BLUE, markersize=7, label=f"ours, with {kind}")
        if stage["published"] and "accuracy" in stage["published"]:
            axes.plot(stage["published"]["accuracy"], place, "D", color=ORANGE, markersize=6, label="published")
    axes.set_yticks(range(len(stages)), list(stages))
    axes.set(xlabel="Accuracy on test images", ylim=(len(stages) - 0.5, -0.5))
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return figure
