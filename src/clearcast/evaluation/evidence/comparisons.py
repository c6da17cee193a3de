"""Paired comparisons of two stages on the same test images."""

import pandas as pd

from clearcast.evaluation.evidence.contract import Comparison, Figure
from clearcast.evaluation.evidence.figures import figure
from clearcast.evaluation.evidence.words import counted, span
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.statistics.intervals import difference_interval
from clearcast.evaluation.statistics.paired import mcnemar
from clearcast.evaluation.statistics.sample import Sample

_PAIRS = (
    (Stage.NOISY, Stage.DENOISED),
    (Stage.NOISY, Stage.TRANSFER),
    (Stage.NOISY, Stage.REFERENCE),
    (Stage.DENOISED, Stage.REFERENCE),
)
_SUBJECTS = {Stage.DENOISED: "denoising", Stage.TRANSFER: "denoising without retraining stage 1's network"}


def comparisons(test: pd.DataFrame, seed: int) -> list[Comparison]:
    """Compare every pair of stages of interest of which both were run."""
    return [
        _compare(rows, first, second, seed)
        for first, second in _PAIRS
        if {f"said_{first}", f"said_{second}"} <= set(test)
        and not (rows := test.dropna(subset=[f"said_{first}", f"said_{second}"])).empty
    ]


def _compare(rows: pd.DataFrame, first: Stage, second: Stage, seed: int) -> Comparison:
    before, after = ((rows[f"said_{stage}"] == rows["label"]).to_numpy(bool) for stage in (first, second))
    sample = Sample(rows["part"].to_numpy(str), seed=seed)
    difference = figure(sample.estimate_ratios(after.astype(float) - before), difference_interval)
    corrected, broken = int((after & ~before).sum()), int((before & ~after).sum())
    low, high = difference["low"], difference["high"]
    established = low is not None and high is not None and (low > 0 or high < 0)
    return {
        "first": first.value,
        "second": second.value,
        "images": sample.images,
        "parts": sample.groups,
        "difference": difference,
        "mended": corrected,
        "spoiled": broken,
        "mcnemar_p": mcnemar(corrected, broken),
        "established": established,
        "sentence": f"{_change_text(first, second, difference)}: {_certainty_text(established, sample.groups)}",
    }


def _change_text(first: Stage, second: Stage, difference: Figure) -> str:
    value = difference["value"] or 0.0
    interval = span(difference) if value >= 0 else span(difference).replace("95%", "95% of the change")
    points = f"{abs(100 * value):.1f} points ({interval})"
    if second is Stage.REFERENCE:
        relation = f"{points} {'above' if value > 0 else 'below'}" if value else f"the same ({interval}) as"
        return f"accuracy on noise-free images is {relation} that on {first} ones"
    if not value:
        return f"{_SUBJECTS[second]} did not change accuracy ({interval})"
    return f"{_SUBJECTS[second]} {'raised' if value > 0 else 'lowered'} accuracy by {points}"


def _certainty_text(established: bool, parts: int) -> str:
    return f"{'established' if established else 'not established'} on {counted(parts, 'part')}"
