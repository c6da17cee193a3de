"""What another threshold does: a table for the terminal."""

from rich.table import Table

from clearcast.bundle.tuning import Tuned
from clearcast.evaluation.evidence.outcome import Tally
from clearcast.evaluation.evidence.words import span
from clearcast.report.numbers import DASH, decimal
from clearcast.runtime.verdicts import Rule

_ROWS = {"escapes": "escapes", "overkills": "overkill", "retaken": "retaken", "wrong": "wrong verdicts"}
_CAPTION = "escapes: of defects, called ok; overkill: of ok images, called defect; wrong: of the verdicts given"


def tuning_table(tuned: Tuned) -> Table:
    """The rule before and after, and what either does on test images, with 95% intervals over parts."""
    evidence = tuned.evidence
    images = f"{evidence['images']} test images of {evidence['parts']} parts"
    table = Table("", "before", "after", title=f"Verdicts on {images}", title_justify="left")
    table.caption, table.caption_justify = _CAPTION, "left"
    rules = (tuned.before, tuned.after)
    table.add_row("threshold", *(decimal(rule.threshold) for rule in rules))
    table.add_row("retake between", *(_retaken(rule) for rule in rules))
    for name, title in _ROWS.items():
        table.add_row(title, *(_text(getattr(each, name)) for each in (tuned.outcome_before, tuned.outcome_after)))
    return table


def _retaken(rule: Rule) -> str:
    return DASH if rule.retake_range is None else " and ".join(map(decimal, rule.retake_range))


def _text(tally: Tally) -> str:
    if not tally.images:
        return DASH
    return f"{tally.count:,} of {tally.images:,}\n{100 * tally.count / tally.images:.1f}% ({span(tally.share)})"
