"""Terminal table of a tuned threshold: the decision rule before and after, with its rates."""

from rich.table import Table

from clearcast.bundle.tuning import Tuned
from clearcast.evaluation.evidence.outcome import Tally
from clearcast.evaluation.evidence.words import span
from clearcast.evaluation.measures import DECISION_MEASURES
from clearcast.report.numbers import DASH, decimal
from clearcast.runtime.verdicts import Rule

_ROWS = {  # field of Outcome -> name
    "escapes": DECISION_MEASURES["escape"].name,
    "overkills": DECISION_MEASURES["overkill"].name,
    "retaken": DECISION_MEASURES["retake"].name,
    "wrong": DECISION_MEASURES["risk"].name,
}
_CAPTION = "escapes: defects called ok; overkills: ok images called defect; wrong verdicts: of those given"


def tuning_table(tuned: Tuned) -> Table:
    """Tabulate the decision rule before and after, and its rates on test images, with 95% intervals over parts."""
    evidence = tuned.evidence
    images = f"{evidence['images']} test images of {evidence['parts']} parts"
    table = Table("", "before", "after", title=f"Verdicts on {images}", title_justify="left")
    table.caption, table.caption_justify = _CAPTION, "left"
    rules = (tuned.before, tuned.after)
    table.add_row("threshold", *(decimal(rule.threshold) for rule in rules))
    table.add_row("retake between", *(_retake_range(rule) for rule in rules))
    for field, name in _ROWS.items():
        table.add_row(name, *(_rate_text(getattr(each, field)) for each in (tuned.outcome_before, tuned.outcome_after)))
    return table


def _retake_range(rule: Rule) -> str:
    return DASH if rule.retake_range is None else " and ".join(map(decimal, rule.retake_range))


def _rate_text(rate: Tally) -> str:
    if not rate.images:
        return DASH
    return f"{rate.count:,} of {rate.images:,}\n{100 * rate.count / rate.images:.1f}% ({span(rate.share)})"
