"""Section on the parts behind a run's figures: their number, the split, and the stages compared on them."""

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
    "split": "listed in the saved split",
}


def parts(run: Run) -> list[Topic]:
    """Make the section on parts; empty if nothing is known of them."""
    evidence = run.evidence
    if evidence is None and "groups" not in run.metrics["run"]:
        return []
    rows = [*(_test_rows(evidence) if evidence else ()), *_split_rows(run.metrics["run"])]
    panels = [Panel("", "", (Table("Parts and images", ("", "Count"), tuple(rows)),), ())]
    if evidence and evidence["comparisons"]:
        panels.append(_comparison_panel(evidence))
    return [Topic("parts", "Parts", sentence(evidence["method"]) if evidence else "", tuple(panels))]


def _test_rows(evidence: Evidence) -> list[tuple[str, str]]:
    by_label = (
        (f"Parts tested, {display_name(label)}", f"{count:,}") for label, count in evidence["parts_by_label"].items()
    )
    return [("Test images", f"{evidence['images']:,}"), ("Parts tested", f"{evidence['parts']:,}"), *by_label]


def _split_rows(info: RunInfo) -> list[tuple[str, str]]:
    rows = [("Kind of split", _SPLITS.get(info["split_kind"], info["split_kind"]))] if "split_kind" in info else []
    groups = info.get("groups")
    if groups:
        rows += [
            ("Parts in the sheet", f"{groups['parts']:,}"),
            ("Rows of the sheet", f"{groups['rows']:,}"),
            ("Largest number of rows of one part", f"{groups['largest']:,}"),
            ("Source of the parts", _SOURCES.get(groups["source"], groups["source"])),
        ]
    return rows


def _comparison_panel(evidence: Evidence) -> Panel:
    """Table of all comparisons; the sentence of the main one stands on the first screen."""
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
    columns = ("", f"Points of accuracy ({INTERVAL})", "Corrected", "Made wrong", "McNemar's p")
    return Panel("Stages compared on the same images", others, (Table("Accuracy, image by image", columns, rows),), ())
