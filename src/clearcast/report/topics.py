"""Sections of the page by analysis: calibration, escape and overkill, retakes, robustness, parts."""

from collections.abc import Callable, Mapping

from clearcast.evaluation.evidence.contract import Decision, Figure, OperatingPoint, RobustnessCurve
from clearcast.evaluation.evidence.words import counted
from clearcast.evaluation.measures import CLASSIFICATION_MEASURES, DECISION_MEASURES
from clearcast.report.charts import evidence as charts
from clearcast.report.figures import Chart, chart
from clearcast.report.numbers import bounds, decimal, measured, sentence
from clearcast.report.parts import parts
from clearcast.report.sources import Run, classifications, display_name, subject
from clearcast.report.tables import INTERVAL, Table
from clearcast.report.topic import Panel, Topic

_UNFOLDED = ("noisy", "denoised")  # the images that a line has; the panels of the other stages are collapsed
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


def topics(run: Run) -> list[Topic]:
    """Make the sections of all analyses in the evidence; without evidence only the one on parts, if known."""
    evidence = run.evidence
    if evidence is None:
        return parts(run)
    decisions = {
        key: evidence["decisions"][key] for key in classifications(run.metrics) if key in evidence["decisions"]
    }
    robustness = tuple(_robustness_panel(run, *item) for item in evidence["robustness"].items())
    sections = [
        _decision_topic("calibration", "Calibration", _CALIBRATION_INTRO, run, decisions, _calibration_panel),
        _decision_topic("operating", "Escape against overkill", _OPERATING_INTRO, run, decisions, _operating_panel),
        _decision_topic("retake", "Retake", _RETAKE_INTRO, run, decisions, _retake_panel),
        Topic("robustness", "Robustness", _ROBUSTNESS_INTRO, robustness),
    ]
    return [*(topic for topic in sections if topic.panels or topic.folded), *parts(run)]


def _decision_topic(
    key: str,
    title: str,
    intro: str,
    run: Run,
    decisions: Mapping[str, Decision],
    make_panel: Callable[[Run, str, Decision], Panel | None],
) -> Topic:
    """Section with a panel for each ok/defect stage; the panels of stages that no line has are collapsed."""
    panels = {stage: make_panel(run, stage, decision) for stage, decision in decisions.items()}
    shown = {stage: panel for stage, panel in panels.items() if panel is not None}
    return Topic(
        key,
        title,
        intro,
        panels=tuple(panel for stage, panel in shown.items() if stage in _UNFOLDED),
        folded=tuple(panel for stage, panel in shown.items() if stage not in _UNFOLDED),
    )


def _calibration_panel(run: Run, stage: str, decision: Decision) -> Panel | None:
    calibration = decision["calibration"]
    if calibration is None:
        return None
    rows = (
        ("Temperature", ", ".join(decimal(one, 3) for one in calibration["temperatures"]), ""),
        ("Calibration error before", *_value_and_bounds(calibration["error_before"])),
        ("Calibration error after", *_value_and_bounds(calibration["error_after"])),
        ("Validation images", f"{calibration['validation_images']:,}", ""),
    )
    words = "; ".join(
        f"{counted(one['images'], 'image')} with a mean probability of {decimal(one['said'], 2)}, share of defects "
        f"{decimal(one['true'], 2)}"
        for one in calibration["bins_after"]
        if one["images"]
    )
    caption = "Reliability before and after calibration"
    figure = chart(run, f"{stage}-calibration", caption, f"Calibrated: {words}", charts.reliability(calibration))
    table = Table("Expected calibration error", ("", "Value", INTERVAL), rows)
    return Panel(_stage_title(run, stage), "", (table,), (figure,))


def _operating_panel(run: Run, stage: str, decision: Decision) -> Panel:
    points = {"The study's verdicts": decision["plain"], "Chosen": decision["chosen"]}
    rows = tuple(_operating_row(name, point) for name, point in points.items() if point)
    escape, overkill = DECISION_MEASURES["escape"].title, DECISION_MEASURES["overkill"].title
    columns = ("", "Threshold", "Escapes", escape, "Overkills", overkill, CLASSIFICATION_MEASURES["accuracy"].title)
    table = Table(f"Rates of the thresholds, with {INTERVAL}s", columns, rows)
    figures: tuple[Chart, ...] = ()
    if decision["curve"]:
        words = "; ".join(
            f"{name} {row[1]}: escape {row[3]}, overkill {row[5]}" for name, row in zip(points, rows, strict=False)
        )
        drawing = charts.operating(decision, decision["curve"])
        figures = (chart(run, f"{stage}-operating", "Escape and overkill over all thresholds", words, drawing),)
    return Panel(_stage_title(run, stage), sentence(decision["sentence"]), (table,), figures)


def _retake_panel(run: Run, stage: str, decision: Decision) -> Panel | None:
    risk, retake = decision["risk"], decision["retake"]
    if not risk["coverage"]:
        return None
    tables: tuple[Table, ...] = ()
    if retake:
        rows = (
            ("Log-odds from the threshold", ", ".join(decimal(one, 3) for one in retake["cutoffs"]), ""),
            ("Coverage", *_value_and_bounds(retake["coverage"])),
        )
        tables = (Table("With these retakes", ("", "Value", INTERVAL), rows),)
    words = "; ".join(_risk_at(decision, coverage) for coverage in (1.0, 0.9, 0.75, 0.5))
    figure = chart(run, f"{stage}-retake", "Risk against coverage", words, charts.retakes(decision))
    return Panel(_stage_title(run, stage), sentence(retake["sentence"]) if retake else "", tables, (figure,))


def _risk_at(decision: Decision, coverage: float) -> str:
    """Describe the risk at the point nearest to a coverage."""
    risk = decision["risk"]
    place = min(range(len(risk["coverage"])), key=lambda one: abs(risk["coverage"][one] - coverage))
    return f"at a coverage of {risk['coverage'][place]:.0%}, {risk['risk'][place]:.1%} of the verdicts are wrong"


def _robustness_panel(run: Run, noise: str, curve: RobustnessCurve) -> Panel:
    titles = (CLASSIFICATION_MEASURES["accuracy"].title, DECISION_MEASURES["escape"].title)
    columns = ("Level", "Images", *(f"{title}, {which}" for title in titles for which in charts.INPUTS))
    rows = tuple(
        (
            f"{point['level']:g}",
            f"{point['images']:,}",
            *(measured(point["accuracy"].get(which), 3) for which in charts.INPUTS),
            *(measured(point["escape"].get(which), 3) for which in charts.INPUTS),
        )
        for point in curve["points"]
    )
    table = Table(f"Verdicts by level, with {INTERVAL}s", columns, rows)
    words = "; ".join(f"level {row[0]}: accuracy {row[2]} noisy, {row[3]} denoised" for row in rows)
    name = f"{display_name(noise)} noise"
    figure = chart(run, f"robustness-{noise}", f"{name}: measures by level", words, charts.robustness(curve))
    return Panel(name, sentence(curve["sentence"]), (table,), (figure,))


def _operating_row(name: str, point: OperatingPoint) -> tuple[str, ...]:
    return (
        name,
        ", ".join(dict.fromkeys(decimal(one, 3) for one in point["thresholds"])),
        f"{point['escapes']:,} of {point['defects']:,}",
        measured(point["escape"], 3),
        f"{point['overkills']:,} of {point['oks']:,}",
        measured(point["overkill"], 3),
        measured(point["accuracy"], 3),
    )


def _value_and_bounds(figure: Figure) -> tuple[str, str]:
    return decimal(figure["value"], 3), bounds(figure)


def _stage_title(run: Run, stage: str) -> str:
    return subject(classifications(run.metrics)[stage]["title"])
