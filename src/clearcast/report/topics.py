"""What the evidence says in full: calibration, escape against overkill, retakes, robustness and the parts behind it."""

from collections.abc import Callable, Mapping

from clearcast.evaluation.evidence.contract import Decision, Figure, OperatingPoint, RobustnessCurve
from clearcast.evaluation.evidence.words import counted
from clearcast.report.charts import evidence as charts
from clearcast.report.figures import Chart, chart
from clearcast.report.numbers import bounds, decimal, measured, sentence
from clearcast.report.parts import parts
from clearcast.report.sources import Run, classifications, display_name, subject
from clearcast.report.tables import INTERVAL, Table
from clearcast.report.topic import Panel, Topic

_OPEN = ("noisy", "denoised")  # what a line would judge; the other stages are folded away


def topics(run: Run) -> list[Topic]:
    """All topics that the run has evidence of; without evidence only its parts, where they are known."""
    evidence = run.evidence
    if evidence is None:
        return parts(run)
    decisions = {
        key: evidence["decisions"][key] for key in classifications(run.metrics) if key in evidence["decisions"]
    }
    made = [
        _decided("calibration", "Calibration", _CALIBRATION, run, decisions, _calibration),
        _decided("operating", "Escape against overkill", _OPERATING, run, decisions, _operating),
        _decided("retake", "Retake", _RETAKE, run, decisions, _retake),
        Topic(
            "robustness",
            "Robustness",
            _ROBUSTNESS,
            tuple(_robust(run, *item) for item in evidence["robustness"].items()),
        ),
    ]
    return [*(topic for topic in made if topic.panels or topic.folded), *parts(run)]


_CALIBRATION = (
    "A calibrated probability of 0.8 is right eight times in ten. One temperature divides the network's logits; it is "
    "fitted on validation images and measured on test images. A dot's area is its share of the images."
)
_OPERATING = (
    "The lower the threshold, the fewer defects escape and the more ok parts are called defect. Bands are 95% "
    "intervals; on the right, of the escape rate."
)
_RETAKE = (
    "Judging only the images that the network is surest of, and taking the others again, lowers the share of wrong "
    "verdicts. The curve shows by how much, down from all images on the right."
)
_ROBUSTNESS = (
    "Noise of rising level was added to the test pictures' references, and the pictures were judged at the threshold "
    "0.5; bands are 95% intervals."
)


def _decided(
    key: str,
    title: str,
    intro: str,
    run: Run,
    decisions: Mapping[str, Decision],
    panel: Callable[[Run, str, Decision], Panel | None],
) -> Topic:
    """A topic with a panel for each stage that says verdicts; those that no line would use are folded."""
    panels = {stage: panel(run, stage, decision) for stage, decision in decisions.items()}
    shown = {stage: one for stage, one in panels.items() if one is not None}
    return Topic(
        key,
        title,
        intro,
        panels=tuple(one for stage, one in shown.items() if stage in _OPEN),
        folded=tuple(one for stage, one in shown.items() if stage not in _OPEN),
    )


def _calibration(run: Run, stage: str, decision: Decision) -> Panel | None:
    found = decision["calibration"]
    if found is None:
        return None
    rows = (
        ("Temperature", ", ".join(decimal(one, 3) for one in found["temperatures"]), ""),
        ("Calibration error before", *_cells(found["error_before"])),
        ("Calibration error after", *_cells(found["error_after"])),
        ("Validation images", f"{found['validation_images']:,}", ""),
    )
    words = "; ".join(
        f"of {counted(one['images'], 'image')} said to be defects with {decimal(one['said'], 2)}, "
        f"{decimal(one['true'], 2)} are"
        for one in found["bins_after"]
        if one["images"]
    )
    figure = chart(
        run,
        f"{stage}-calibration",
        "Reliability before and after calibration",
        f"Calibrated: {words}",
        charts.reliability(found),
    )
    return Panel(
        _title(run, stage), "", (Table("Expected calibration error", ("", "Value", INTERVAL), rows),), (figure,)
    )


def _operating(run: Run, stage: str, decision: Decision) -> Panel:
    points = {"The study's verdicts": decision["plain"], "Chosen": decision["chosen"]}
    rows = tuple(_point(name, point) for name, point in points.items() if point)
    columns = ("", "Threshold", "Escapes", "Escape rate", "Overkills", "Overkill rate", "Accuracy")
    table = Table(f"What the thresholds do, with {INTERVAL}s", columns, rows)
    made: tuple[Chart, ...] = ()
    if decision["curve"]:
        words = "; ".join(
            f"{name} {row[1]}: escape {row[3]}, overkill {row[5]}" for name, row in zip(points, rows, strict=False)
        )
        drawn = charts.operating(decision, decision["curve"])
        made = (chart(run, f"{stage}-operating", "Escape and overkill over all thresholds", words, drawn),)
    return Panel(_title(run, stage), sentence(decision["sentence"]), (table,), made)


def _retake(run: Run, stage: str, decision: Decision) -> Panel | None:
    risk, found = decision["risk"], decision["retake"]
    if not risk["coverage"]:
        return None
    tables: tuple[Table, ...] = ()
    if found:
        rows = (
            ("Log-odds from the threshold", ", ".join(decimal(one, 3) for one in found["cutoffs"]), ""),
            ("Coverage", *_cells(found["coverage"])),
        )
        tables = (Table("With these retakes", ("", "Value", INTERVAL), rows),)
    words = "; ".join(_risk_at(decision, coverage) for coverage in (1.0, 0.9, 0.75, 0.5))
    figure = chart(run, f"{stage}-retake", "Risk against coverage", words, charts.retakes(decision))
    return Panel(_title(run, stage), sentence(found["sentence"]) if found else "", tables, (figure,))


def _risk_at(decision: Decision, coverage: float) -> str:
    """The risk at the judged share that comes nearest."""
    risk = decision["risk"]
    place = min(range(len(risk["coverage"])), key=lambda one: abs(risk["coverage"][one] - coverage))
    return f"of {risk['coverage'][place]:.0%} judged, {risk['risk'][place]:.1%} are wrong"


def _robust(run: Run, noise: str, curve: RobustnessCurve) -> Panel:
    columns = (
        "Level",
        "Images",
        *(f"{name}, {which}" for name in ("Accuracy", "Escape") for which in charts.INPUTS),
    )
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
    words = "; ".join(f"at {row[0]} accuracy {row[2]} as they are, {row[3]} denoised" for row in rows)
    name = f"{display_name(noise)} noise"
    figure = chart(run, f"robustness-{noise}", f"{name}: measures against its level", words, charts.robustness(curve))
    return Panel(name, sentence(curve["sentence"]), (table,), (figure,))


def _point(name: str, point: OperatingPoint) -> tuple[str, ...]:
    return (
        name,
        ", ".join(dict.fromkeys(decimal(one, 3) for one in point["thresholds"])),
        f"{point['escapes']:,} of {point['defects']:,}",
        measured(point["escape"], 3),
        f"{point['overkills']:,} of {point['oks']:,}",
        measured(point["overkill"], 3),
        measured(point["accuracy"], 3),
    )


def _cells(figure: Figure) -> tuple[str, str]:
    return decimal(figure["value"], 3), bounds(figure)


def _title(run: Run, stage: str) -> str:
    return subject(classifications(run.metrics)[stage]["title"])
