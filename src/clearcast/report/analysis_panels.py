"""Sections of the page with the evidence: calibration, operating points, retakes, robustness and parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clearcast.core.evidence_schema import DecisionResult, Evidence, OperatingPoint, RobustnessCurve, ValueWithCI
from clearcast.core.numbers import format_count
from clearcast.metrics.measures import CLASSIFICATION_MEASURES, DECISION_MEASURES
from clearcast.metrics.results import RunInfo
from clearcast.report.charts import evidence as charts
from clearcast.report.charts.style import Chart, make_chart
from clearcast.report.formatting import complete_sentence, format_bounds, format_decimal, format_value_with_ci
from clearcast.report.run_reader import RunResults, classification_stages, display_name, short_stage_title
from clearcast.report.study_tables import INTERVAL_HEADING, TextTable, select_main_comparison
from clearcast.report.summary import comparison_name, to_points

_SPLIT_KINDS = {
    "grouped": "by whole parts",
    "random": "at random",
    "column": "a column of the sheet",
    "file": "a saved split",
}
_GROUP_SOURCES = {
    "found": "found by comparing the images",
    "file": "given in a file",
    "column": "a column of the sheet",
    "split": "listed in the saved split",
}
_EXPANDED_STAGES = ("noisy", "denoised")  # classify images that exist in production; other panels are collapsed
_CALIBRATION_INTRO = (
    "If calibrated, images with a probability of 0.8 are defects eight times in ten. A temperature divides the "
    "network's logits; it is fitted on validation images and measured on test images. A dot's area is its share of the "
    "images."
)
_OPERATING_INTRO = (
    "A lower threshold lets fewer defects escape and calls more ok parts defect. Bands are 95% intervals; in the right "
    "chart, those of the escape rate."
)
_RETAKE_INTRO = (
    "Giving a verdict only on the images of highest confidence, and retaking the others, lowers the share of wrong "
    "verdicts. The curve shows this share from all images (right) to few (left)."
)
_ROBUSTNESS_INTRO = (
    "Noise of rising level was added to the reference images of the test set, which were then classified at the "
    "threshold 0.5. Bands are 95% intervals."
)


@dataclass(frozen=True)
class Panel:
    """Results of one stage or noise type: a sentence, tables and charts, each of which may be empty."""

    title: str
    sentence: str
    tables: tuple[TextTable, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class AnalysisSection:
    """A section of panels under one heading; ``collapsed`` panels open on demand. ``key`` is the section's anchor."""

    key: str
    title: str
    intro: str
    panels: tuple[Panel, ...]
    collapsed: tuple[Panel, ...] = ()


def make_analysis_sections(run: RunResults) -> list[AnalysisSection]:
    """Make the sections of all analyses in the evidence; without evidence only the one on parts, if known."""
    evidence = run.evidence
    if evidence is None:
        return _parts_section(run)
    decisions = {
        key: evidence["decisions"][key] for key in classification_stages(run.metrics) if key in evidence["decisions"]
    }
    robustness = tuple(_robustness_panel(run, *item) for item in evidence["robustness"].items())
    sections = [
        _decision_section("calibration", "Calibration", _CALIBRATION_INTRO, run, decisions, _calibration_panel),
        _decision_section("operating", "Escape against overkill", _OPERATING_INTRO, run, decisions, _operating_panel),
        _decision_section("retake", "Retake", _RETAKE_INTRO, run, decisions, _retake_panel),
        AnalysisSection("robustness", "Robustness", _ROBUSTNESS_INTRO, robustness),
    ]
    return [*(section for section in sections if section.panels or section.collapsed), *_parts_section(run)]


def _decision_section(
    key: str,
    title: str,
    intro: str,
    run: RunResults,
    decisions: Mapping[str, DecisionResult],
    make_panel: Callable[[RunResults, str, DecisionResult], Panel | None],
) -> AnalysisSection:
    """Make a section with a panel for each ok/defect stage; only those of ``_EXPANDED_STAGES`` are not collapsed."""
    panels = {stage: make_panel(run, stage, decision) for stage, decision in decisions.items()}
    shown = {stage: panel for stage, panel in panels.items() if panel is not None}
    return AnalysisSection(
        key,
        title,
        intro,
        panels=tuple(panel for stage, panel in shown.items() if stage in _EXPANDED_STAGES),
        collapsed=tuple(panel for stage, panel in shown.items() if stage not in _EXPANDED_STAGES),
    )


def _calibration_panel(run: RunResults, stage: str, decision: DecisionResult) -> Panel | None:
    calibration = decision["calibration"]
    if calibration is None:
        return None
    rows = (
        ("Temperature", ", ".join(format_decimal(one, 3) for one in calibration["temperatures"]), ""),
        ("Calibration error before", *_value_and_bounds(calibration["error_before"])),
        ("Calibration error after", *_value_and_bounds(calibration["error_after"])),
        ("Validation images", f"{calibration['validation_images']:,}", ""),
    )
    bins = "; ".join(
        f"{format_count(one['images'], 'image')} with a mean probability of {format_decimal(one['said'], 2)}, "
        f"share of defects {format_decimal(one['true'], 2)}"
        for one in calibration["bins_after"]
        if one["images"]
    )
    caption = "Reliability before and after calibration"
    chart = make_chart(
        run, f"{stage}-calibration", caption, f"Calibrated: {bins}", charts.draw_reliability(calibration)
    )
    table = TextTable("Expected calibration error", ("", "Value", INTERVAL_HEADING), rows)
    return Panel(_stage_title(run, stage), "", (table,), (chart,))


def _operating_panel(run: RunResults, stage: str, decision: DecisionResult) -> Panel:
    points = {"The study's verdicts": decision["plain"], "Chosen": decision["chosen"]}
    rows = tuple(_operating_row(name, point) for name, point in points.items() if point)
    escape, overkill = DECISION_MEASURES["escape"].title, DECISION_MEASURES["overkill"].title
    columns = ("", "Threshold", "Escapes", escape, "Overkills", overkill, CLASSIFICATION_MEASURES["accuracy"].title)
    table = TextTable(f"Rates of the thresholds, with {INTERVAL_HEADING}s", columns, rows)
    drawn: tuple[Chart, ...] = ()
    if decision["curve"]:
        description = "; ".join(
            f"{name} {row[1]}: escape {row[3]}, overkill {row[5]}" for name, row in zip(points, rows, strict=False)
        )
        figure = charts.draw_operating_curves(decision, decision["curve"])
        caption = "Escape and overkill over all thresholds"
        drawn = (make_chart(run, f"{stage}-operating", caption, description, figure),)
    return Panel(_stage_title(run, stage), complete_sentence(decision["sentence"]), (table,), drawn)


def _operating_row(name: str, point: OperatingPoint) -> tuple[str, ...]:
    return (
        name,
        ", ".join(dict.fromkeys(format_decimal(one, 3) for one in point["thresholds"])),
        f"{point['escapes']:,} of {point['defects']:,}",
        format_value_with_ci(point["escape"], 3),
        f"{point['overkills']:,} of {point['oks']:,}",
        format_value_with_ci(point["overkill"], 3),
        format_value_with_ci(point["accuracy"], 3),
    )


def _retake_panel(run: RunResults, stage: str, decision: DecisionResult) -> Panel | None:
    risk, retake = decision["risk"], decision["retake"]
    if not risk["coverage"]:
        return None
    tables: tuple[TextTable, ...] = ()
    if retake:
        rows = (
            ("Log-odds from the threshold", ", ".join(format_decimal(one, 3) for one in retake["cutoffs"]), ""),
            ("Coverage", *_value_and_bounds(retake["coverage"])),
        )
        tables = (TextTable("With these retakes", ("", "Value", INTERVAL_HEADING), rows),)
    description = "; ".join(_risk_text(decision, coverage) for coverage in (1.0, 0.9, 0.75, 0.5))
    figure = charts.draw_risk_coverage(decision)
    chart = make_chart(run, f"{stage}-retake", "Risk against coverage", description, figure)
    return Panel(_stage_title(run, stage), complete_sentence(retake["sentence"]) if retake else "", tables, (chart,))


def _risk_text(decision: DecisionResult, coverage: float) -> str:
    """Describe the risk at the point nearest to a coverage."""
    risk = decision["risk"]
    nearest = min(range(len(risk["coverage"])), key=lambda index: abs(risk["coverage"][index] - coverage))
    return f"at a coverage of {risk['coverage'][nearest]:.0%}, {risk['risk'][nearest]:.1%} of the verdicts are wrong"


def _robustness_panel(run: RunResults, noise: str, curve: RobustnessCurve) -> Panel:
    titles = (CLASSIFICATION_MEASURES["accuracy"].title, DECISION_MEASURES["escape"].title)
    columns = ("Level", "Images", *(f"{title}, {which}" for title in titles for which in charts.INPUT_STYLES))
    rows = tuple(
        (
            f"{point['level']:g}",
            f"{point['images']:,}",
            *(format_value_with_ci(point["accuracy"].get(which), 3) for which in charts.INPUT_STYLES),
            *(format_value_with_ci(point["escape"].get(which), 3) for which in charts.INPUT_STYLES),
        )
        for point in curve["points"]
    )
    table = TextTable(f"Verdicts by level, with {INTERVAL_HEADING}s", columns, rows)
    description = "; ".join(f"level {row[0]}: accuracy {row[2]} noisy, {row[3]} denoised" for row in rows)
    name = f"{display_name(noise)} noise"
    figure = charts.draw_robustness(curve)
    chart = make_chart(run, f"robustness-{noise}", f"{name}: measures by level", description, figure)
    return Panel(name, complete_sentence(curve["sentence"]), (table,), (chart,))


def _parts_section(run: RunResults) -> list[AnalysisSection]:
    """Make the section on parts; an empty list if nothing is known of them."""
    evidence = run.evidence
    if evidence is None and "groups" not in run.metrics["run"]:
        return []
    rows = [*(_test_rows(evidence) if evidence else ()), *_split_rows(run.metrics["run"])]
    panels = [Panel("", "", (TextTable("Parts and images", ("", "Count"), tuple(rows)),), ())]
    if evidence and evidence["comparisons"]:
        panels.append(_comparison_panel(evidence))
    return [AnalysisSection("parts", "Parts", complete_sentence(evidence["method"]) if evidence else "", tuple(panels))]


def _test_rows(evidence: Evidence) -> list[tuple[str, str]]:
    by_label = (
        (f"Parts tested, {display_name(label)}", f"{count:,}") for label, count in evidence["parts_by_label"].items()
    )
    return [("Test images", f"{evidence['images']:,}"), ("Parts tested", f"{evidence['parts']:,}"), *by_label]


def _split_rows(info: RunInfo) -> list[tuple[str, str]]:
    rows = [("Kind of split", _SPLIT_KINDS.get(info["split_kind"], info["split_kind"]))] if "split_kind" in info else []
    groups = info.get("groups")
    if groups:
        rows += [
            ("Parts in the sheet", f"{groups['parts']:,}"),
            ("Rows of the sheet", f"{groups['rows']:,}"),
            ("Largest number of rows of one part", f"{groups['largest']:,}"),
            ("Source of the parts", _GROUP_SOURCES.get(groups["source"], groups["source"])),
        ]
    return rows


def _comparison_panel(evidence: Evidence) -> Panel:
    """Table of all comparisons; the sentence of the main one stands on the first screen."""
    rows = tuple(
        (
            comparison_name(one),
            format_value_with_ci(to_points(one["difference"]), 1, sign=True),
            f"{one['mended']:,}",
            f"{one['spoiled']:,}",
            f"{one['mcnemar_p']:.2g}",
        )
        for one in evidence["comparisons"]
    )
    main = select_main_comparison(evidence)
    others = " ".join(complete_sentence(one["sentence"]) for one in evidence["comparisons"] if one is not main)
    columns = ("", f"Points of accuracy ({INTERVAL_HEADING})", "Corrected", "Made wrong", "McNemar's p")
    return Panel(
        "Stages compared on the same images", others, (TextTable("Accuracy, image by image", columns, rows),), ()
    )


def _value_and_bounds(value: ValueWithCI) -> tuple[str, str]:
    return format_decimal(value["value"], 3), format_bounds(value)


def _stage_title(run: RunResults, stage: str) -> str:
    return short_stage_title(classification_stages(run.metrics)[stage]["title"])
