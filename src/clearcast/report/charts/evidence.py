"""The figures of a run's evidence: how sure its figures are, and what its decisions cost."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clearcast.evaluation.evidence.contract import (
    Bin,
    Calibration,
    Comparison,
    Decision,
    OperatingCurve,
    OperatingPoint,
    RobustnessCurve,
)
from clearcast.evaluation.evidence.contract import Figure as Measured
from clearcast.report.charts.style import BLUE, GREEN, INK, MIDDLE, MUTED, ORANGE, WIDE, empty, legend_below, styled

INPUTS = {"noisy": ("noisy images", ORANGE), "denoised": ("denoised images", BLUE)}
MEASURES: Mapping[Literal["accuracy", "escape", "psnr", "ssim"], str] = {
    "accuracy": "Accuracy",
    "escape": "Escape rate",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
}


@styled
def differences(comparisons: Sequence[Comparison], names: Sequence[str]) -> Figure:
    """Each comparison's difference of accuracy in points with its interval, and the line of no difference."""
    figure, axes = empty(MIDDLE, 0.6 + 0.25 * len(comparisons))
    axes.axvline(0, color=INK, linewidth=1.2)
    for place, comparison in enumerate(comparisons):
        colour = GREEN if comparison["established"] else MUTED
        value, low, high = (100 * number for number in _numbers(comparison["difference"]))
        axes.plot((low, high), (place, place), color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot(value, place, "o", color=colour, markersize=7)
    axes.set_yticks(range(len(comparisons)), names)
    axes.set(xlabel="Points of accuracy gained", ylim=(len(comparisons) - 0.4, -0.6))
    return figure


@styled
def reliability(calibration: Calibration) -> Figure:
    """What was said against what is true, before and after calibration; a dot's area is its share of the images."""
    figure, axes = empty(MIDDLE, 3.1)
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1, label="as true as said")
    _bins(axes, calibration["bins_before"], ORANGE, "before")
    _bins(axes, calibration["bins_after"], BLUE, "after")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="Mean probability of defect", ylabel="Share of defects")
    legend_below(figure, [axes], columns=3)
    return figure


@styled
def operating(decision: Decision, curve: OperatingCurve) -> Figure:
    """Escape and overkill at every threshold with their intervals, and one against the other."""
    figure, _ = empty(WIDE, 3.3, columns=2)
    by_threshold, trade = figure.axes
    rates = {
        "escape": (curve["escape"], curve["escape_low"], curve["escape_high"], ORANGE),
        "overkill": (curve["overkill"], curve["overkill_low"], curve["overkill_high"], BLUE),
    }
    for rate, (values, low, high, colour) in rates.items():
        by_threshold.fill_between(curve["threshold"], low, high, color=colour, alpha=0.2, linewidth=0)
        by_threshold.plot(curve["threshold"], values, color=colour, linewidth=1.6, label=rate)
    trade.fill_between(
        curve["overkill"], curve["escape_low"], curve["escape_high"], color=MUTED, alpha=0.2, linewidth=0
    )
    trade.plot(curve["overkill"], curve["escape"], color=INK, linewidth=1.6)
    _mark(by_threshold, trade, decision["plain"], "s", MUTED, "at 0.5")
    if decision["chosen"]:
        _mark(by_threshold, trade, decision["chosen"], "o", GREEN, "chosen")
    by_threshold.set(xlim=(0, 1), ylim=(-0.01, 1.01), xlabel="Threshold, probability of defect", ylabel="Rate")
    trade.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="Overkill rate", ylabel="Escape rate")
    legend_below(figure, figure.axes, columns=4)
    return figure


@styled
def retakes(decision: Decision) -> Figure:
    """Share of wrong verdicts among the images judged, against the share judged, with the retakes that were asked."""
    risk, retake = decision["risk"], decision["retake"]
    figure, axes = empty(MIDDLE, 2.9)
    axes.fill_between(risk["coverage"], risk["risk_low"], risk["risk_high"], color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(risk["coverage"], risk["risk"], color=BLUE, linewidth=1.6, label="surest images first")
    if retake:
        axes.plot(
            _numbers(retake["coverage"])[0], _numbers(retake["risk"])[0], "o", color=GREEN, markersize=7,
            label="with retakes as asked", clip_on=False,
        )  # fmt: skip
    axes.set(xlim=(0, 1.01), xlabel="Coverage: share of images judged", ylabel="Risk: share of these wrong")
    likely = [high for share, high in zip(risk["coverage"], risk["risk_high"], strict=True) if share >= 0.2]
    axes.set_ylim(0, 1.1 * max([*likely, *risk["risk"], 0.05]))  # of the first few images nothing is known
    legend_below(figure, [axes], columns=2)
    return figure


@styled
def robustness(curve: RobustnessCurve) -> Figure:
    """Each measure against the level of a noise, with and without denoising, with intervals."""
    figure, _ = empty(WIDE, 4.6, rows=2, columns=2)
    for axes, (measure, name) in zip(figure.axes, MEASURES.items(), strict=True):
        for key, (label, colour) in INPUTS.items():
            points = [point for point in curve["points"] if key in point[measure]]
            levels = [point["level"] for point in points]
            figures = [_numbers(point[measure][key]) for point in points]
            if figures:
                values, low, high = zip(*figures, strict=True)
                axes.fill_between(levels, low, high, color=colour, alpha=0.2, linewidth=0)
                axes.plot(levels, values, "o-", color=colour, markersize=3.5, linewidth=1.6, label=label)
        axes.set(ylabel=name, xlabel=textwrap.fill(curve["level_name"], 52))
    legend_below(figure, figure.axes, columns=2)
    return figure


def _bins(axes: Axes, bins: Sequence[Bin], colour: str, label: str) -> None:
    filled = [(one["said"], one["true"], one["images"]) for one in bins if None not in (one["said"], one["true"])]
    if not filled:
        return
    said, true, images = zip(*filled, strict=True)
    axes.plot(said, true, color=colour, linewidth=1.2, label=label)
    axes.scatter(said, true, [12 + 160 * count / sum(images) for count in images], color=colour, alpha=0.75, zorder=2)


def _mark(by_threshold: Axes, trade: Axes, point: OperatingPoint, shape: str, colour: str, label: str) -> None:
    for threshold in point["thresholds"]:  # one a fold
        by_threshold.axvline(threshold, color=colour, linewidth=1.2, linestyle="--")
    trade.plot(
        _numbers(point["overkill"])[0], _numbers(point["escape"])[0], shape, color=colour, markersize=7, label=label,
        clip_on=False, zorder=3, linestyle="none",
    )  # fmt: skip


def _numbers(figure: Measured) -> tuple[float, float, float]:
    """Value, low and high; what is not defined becomes a gap in the drawing."""
    value, low, high = (
        math.nan if number is None else number for number in (figure["value"], figure["low"], figure["high"])
    )
    return value, low, high
