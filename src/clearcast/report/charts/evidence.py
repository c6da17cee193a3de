"""Charts of a run's evidence: differences, reliability, operating curves, risk and robustness."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clearcast.core.evidence_schema import (
    CalibrationResult,
    DecisionResult,
    OperatingCurve,
    OperatingPoint,
    ReliabilityBin,
    RobustnessCurve,
    StageComparison,
)
from clearcast.core.evidence_schema import ValueWithCI as Measured
from clearcast.metrics.measures import CLASSIFICATION_MEASURES, DECISION_MEASURES, QUALITY_MEASURES
from clearcast.report.charts.style import (
    BLUE,
    GREEN,
    INK,
    MIDDLE,
    MUTED,
    ORANGE,
    WIDE,
    add_legend_below,
    apply_style,
    new_figure,
)

INPUT_STYLES = {"noisy": ("noisy images", ORANGE), "denoised": ("denoised images", BLUE)}
CURVE_TITLES: Mapping[Literal["accuracy", "escape", "psnr", "ssim"], str] = {
    "accuracy": CLASSIFICATION_MEASURES["accuracy"].label,
    "escape": DECISION_MEASURES["escape"].label,
    "psnr": QUALITY_MEASURES["psnr"].label,
    "ssim": QUALITY_MEASURES["ssim"].label,
}


@apply_style
def draw_differences(comparisons: Sequence[StageComparison], names: Sequence[str]) -> Figure:
    """Draw the difference in accuracy of each comparison, in points, with its interval and the zero line."""
    figure, axes = new_figure(MIDDLE, 0.6 + 0.25 * len(comparisons))
    axes.axvline(0, color=INK, linewidth=1.2)
    for place, comparison in enumerate(comparisons):
        colour = GREEN if comparison["established"] else MUTED
        value, low, high = (100 * number for number in _value_and_bounds(comparison["difference"]))
        axes.plot((low, high), (place, place), color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot(value, place, "o", color=colour, markersize=7)
    axes.set_yticks(range(len(comparisons)), names)
    axes.set(xlabel="Gain in accuracy, points", ylim=(len(comparisons) - 0.4, -0.6))
    return figure


@apply_style
def draw_reliability(calibration: CalibrationResult) -> Figure:
    """Draw a reliability diagram, before and after calibration; a dot's area is its share of the images."""
    figure, axes = new_figure(MIDDLE, 3.1)
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1, label="perfect calibration")
    _draw_bins(axes, calibration["bins_before"], ORANGE, "before")
    _draw_bins(axes, calibration["bins_after"], BLUE, "after")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="Mean probability of defect", ylabel="Share of defects")
    add_legend_below(figure, [axes], columns=3)
    return figure


@apply_style
def draw_operating_curves(decision: DecisionResult, curve: OperatingCurve) -> Figure:
    """Draw escape and overkill rates by threshold with their intervals, and one against the other."""
    figure, _ = new_figure(WIDE, 3.3, columns=2)
    by_threshold, trade_off = figure.axes
    _draw_rates(by_threshold, curve)
    _draw_trade_off(trade_off, curve)
    _draw_point(by_threshold, trade_off, decision["plain"], "s", MUTED, "at 0.5")
    if decision["chosen"]:
        _draw_point(by_threshold, trade_off, decision["chosen"], "o", GREEN, "chosen")
    add_legend_below(figure, figure.axes, columns=4)
    return figure


@apply_style
def draw_risk_coverage(decision: DecisionResult) -> Figure:
    """Draw the share of wrong verdicts by coverage, with the chosen retakes."""
    risk, retake = decision["risk"], decision["retake"]
    figure, axes = new_figure(MIDDLE, 2.9)
    axes.fill_between(risk["coverage"], risk["risk_low"], risk["risk_high"], color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(risk["coverage"], risk["risk"], color=BLUE, linewidth=1.6, label="highest confidence first")
    if retake:
        coverage, chosen_risk = _value_and_bounds(retake["coverage"])[0], _value_and_bounds(retake["risk"])[0]
        axes.plot(coverage, chosen_risk, "o", color=GREEN, markersize=7, label="chosen retakes", clip_on=False)
    axes.set(xlim=(0, 1.01), xlabel="Coverage: share of images with a verdict", ylabel="Risk: share of wrong verdicts")
    highs = [high for share, high in zip(risk["coverage"], risk["risk_high"], strict=True) if share >= 0.2]
    axes.set_ylim(0, 1.1 * max([*highs, *risk["risk"], 0.05]))  # the interval of the first few images is too wide
    add_legend_below(figure, [axes], columns=2)
    return figure


@apply_style
def draw_robustness(curve: RobustnessCurve) -> Figure:
    """Draw each measure by noise level, with and without denoising, with intervals."""
    figure, _ = new_figure(WIDE, 4.6, rows=2, columns=2)
    for axes, (measure, name) in zip(figure.axes, CURVE_TITLES.items(), strict=True):
        for key, (label, colour) in INPUT_STYLES.items():
            points = [point for point in curve["points"] if key in point[measure]]
            levels = [point["level"] for point in points]
            figures = [_value_and_bounds(point[measure][key]) for point in points]
            if figures:
                values, low, high = zip(*figures, strict=True)
                axes.fill_between(levels, low, high, color=colour, alpha=0.2, linewidth=0)
                axes.plot(levels, values, "o-", color=colour, markersize=3.5, linewidth=1.6, label=label)
        axes.set(ylabel=name, xlabel=textwrap.fill(curve["level_name"], 52))
    add_legend_below(figure, figure.axes, columns=2)
    return figure


def _draw_rates(axes: Axes, curve: OperatingCurve) -> None:
    rates = {
        "escape": (curve["escape"], curve["escape_low"], curve["escape_high"], ORANGE),
        "overkill": (curve["overkill"], curve["overkill_low"], curve["overkill_high"], BLUE),
    }
    for rate, (values, low, high, colour) in rates.items():
        axes.fill_between(curve["threshold"], low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(curve["threshold"], values, color=colour, linewidth=1.6, label=rate)
    axes.set(xlim=(0, 1), ylim=(-0.01, 1.01), xlabel="Threshold (probability of defect)", ylabel="Rate")


def _draw_trade_off(axes: Axes, curve: OperatingCurve) -> None:
    overkill, (low, high) = curve["overkill"], (curve["escape_low"], curve["escape_high"])
    axes.fill_between(overkill, low, high, color=MUTED, alpha=0.2, linewidth=0)
    axes.plot(overkill, curve["escape"], color=INK, linewidth=1.6)
    limits = (-0.01, 1.01)
    axes.set(
        xlim=limits, ylim=limits, xlabel=DECISION_MEASURES["overkill"].label, ylabel=DECISION_MEASURES["escape"].label
    )


def _draw_bins(axes: Axes, bins: Sequence[ReliabilityBin], colour: str, label: str) -> None:
    filled = [(one["said"], one["true"], one["images"]) for one in bins if None not in (one["said"], one["true"])]
    if not filled:
        return
    probability, share, images = zip(*filled, strict=True)
    axes.plot(probability, share, color=colour, linewidth=1.2, label=label)
    areas = [12 + 160 * count / sum(images) for count in images]
    axes.scatter(probability, share, areas, color=colour, alpha=0.75, zorder=2)


def _draw_point(
    by_threshold: Axes, trade_off: Axes, point: OperatingPoint, shape: str, colour: str, label: str
) -> None:
    for threshold in point["thresholds"]:  # one a fold
        by_threshold.axvline(threshold, color=colour, linewidth=1.2, linestyle="--")
    overkill, escape = _value_and_bounds(point["overkill"])[0], _value_and_bounds(point["escape"])[0]
    (mark,) = trade_off.plot(overkill, escape, shape, color=colour, markersize=7, label=label, linestyle="none")
    mark.set(clip_on=False, zorder=3)


def _value_and_bounds(figure: Measured) -> tuple[float, float, float]:
    """Value and bounds; undefined ones are NaN and leave a gap in the drawing."""
    value, low, high = (
        math.nan if number is None else number for number in (figure["value"], figure["low"], figure["high"])
    )
    return value, low, high
