"""The parts behind a run's figures: how many, how the split treats them, and the stages compared on them."""

from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.results import RunInfo
from clearcast.report.numbers import measured, sentence
from clearcast.report.sources import Run, display_name
from clearcast.report.summary import in_points, versus
from clearcast.report.tables import INTERVAL, Table, main_comparison
from clearcast.report.topic import Panel, Topic

_SPLITS = {
    "grouped": "by whole parts",
    "random": "at random",
    "column": "a column of the sheet",
    "file": "a saved split",
}
_SOURCES = {
    "found": "found by comparing the images",
    "file": "given in a file",
    "column": "a column of the sheet",
    "split": "as the saved split lists them",
}


def parts(run: Run) -> list[Topic]:
    """The topic, where anything is known of the parts."""
    evidence = run.evidence
    rows = [*(_tested(evidence) if evidence else ()), *_divided(run.metrics["run"])]
    if evidence is None and "groups" not in run.metrics["run"]:
        return []
    panels = [Panel("", "", (Table("Behind the figures", ("", "Count"), tuple(rows)),), ())]
    if evidence and evidence["comparisons"]:
        panels.append(_compared(evidence))
    return [Topic("parts", "Parts", sentence(evidence["method"]) if evidence else "", tuple(panels))]


def _tested(evidence: Evidence) -> list[tuple[str, str]]:
    by_label = (
        (f"Parts tested, {display_name(label)}", f"{count:,}") for label, count in evidence["parts_by_label"].items()
    )
    return [("Test images", f"{evidence['images']:,}"), ("Parts tested", f"{evidence['parts']:,}"), *by_label]


def _divided(info: RunInfo) -> list[tuple[str, str]]:
    told = [("Kind of split", _SPLITS.get(info["split_kind"], info["split_kind"]))] if "split_kind" in info else []
    groups = info.get("groups")
    if groups:
        told += [
            ("Parts in the sheet", f"{groups['parts']:,}"),
            ("Rows of the sheet", f"{groups['rows']:,}"),
            ("Rows of the part with the most", f"{groups['largest']:,}"),
            ("How parts are known", _SOURCES.get(groups["source"], groups["source"])),
        ]
    return told


def _compared(evidence: Evidence) -> Panel:
    """All comparisons as a table; the sentence of the main one stands on the first screen."""
    rows = tuple(
        (
            versus(one),
            measured(in_points(one["difference"]), 1, sign=True),
            f"{one['mended']:,}",
            f"{one['spoiled']:,}",
            f"{one['mcnemar_p']:.2g}",
        )
        for one in evidence["comparisons"]
    )
    main = main_comparison(evidence)
    others = " ".join(sentence(one["sentence"]) for one in evidence["comparisons"] if one is not main)
    columns = ("", f"Points of accuracy ({INTERVAL})", "Mended", "Spoiled", "McNemar's p")
    return Panel("Stages compared on the same images", others, (Table("Accuracy, image by image", columns, rows),), ())
