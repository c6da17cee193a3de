"""Sentences on the differences between two bundles."""

import pandas as pd

from clearcast.domain import Verdict
from clearcast.evaluation.evidence.differences import ALL, Aspect, Difference
from clearcast.evaluation.evidence.words import counted
from clearcast.evaluation.measures import CLASSIFICATION_MEASURES, DECISION_MEASURES, QUALITY_MEASURES

_DECISIVE = {
    # Not the ROC area: it does not depend on the threshold in use.
    Aspect.VERDICTS: (
        CLASSIFICATION_MEASURES["accuracy"],
        *(DECISION_MEASURES[key] for key in ("escape", "overkill", "retake")),
    ),
    Aspect.NOISE_TYPES: (CLASSIFICATION_MEASURES["accuracy"],),
    Aspect.RESTORING: (QUALITY_MEASURES["psnr"], QUALITY_MEASURES["ssim"]),
}


def conclusions(found: list[Difference], changes: pd.DataFrame) -> list[str]:
    """Write one sentence for each compared aspect, and one on the changed verdicts; each difference is B minus A.

    Args:
        found: see ``differences``.
        changes: see ``changed``.
    """
    sentences = []
    for aspect, measures in _DECISIVE.items():
        decisive = [each for each in found if each.aspect is aspect and each.noise == ALL and each.info in measures]
        if decisive:
            sentences.append(f"{aspect.display_name.capitalize()}: {_better_text(decisive)}.")
        if decisive and aspect is Aspect.VERDICTS:
            sentences.append(_changes_text(decisive[0].images, changes))
    return sentences


def _better_text(decisive: list[Difference]) -> str:
    """Name the better bundle, by all measures whose difference is beyond chance."""
    first = decisive[0]
    behind = f"on {counted(first.images, 'image')} of {counted(first.parts, 'part')}"
    if first.parts < 2:
        return f"no difference can be established, since all images show one part ({_difference_text(first)})"
    beyond = {side: [each for each in decisive if each.better == side] for side in ("A", "B")}
    if beyond["A"] and beyond["B"]:
        sides = "; ".join(f"{side} is better in {_joined(measures)}" for side, measures in beyond.items())
        return f"neither is better throughout: {sides}, {behind}; choose by the cost of each mistake"
    for side, measures in beyond.items():
        if measures:
            return f"{side} is better: {_joined(measures)}, {behind}"
    return f"no difference beyond chance: {_difference_text(first)}, {behind}"


def _joined(measures: list[Difference]) -> str:
    return ", ".join(map(_difference_text, measures))


def _difference_text(each: Difference) -> str:
    """Write a difference such as "accuracy +3.1 points (95%: +1.0 to +5.2)"."""
    info = each.info
    factor, digits = (100.0, 1) if info.is_share else (1.0, info.decimals)
    unit = " points" if info.is_share else f" {info.unit}".rstrip()
    value, low, high = (
        None if bound is None else f"{factor * bound + 0.0:+.{digits}f}"
        for bound in (each.difference["value"], each.difference["low"], each.difference["high"])
    )
    ends = "" if low is None or high is None else f" (95%: {low} to {high})"
    return f"{each.measure} {value}{unit}{ends}"


def _changes_text(images: int, changes: pd.DataFrame) -> str:
    if changes.empty:
        return f"No verdict changes: A and B agree on all {counted(images, 'image')}."
    retaken = (changes["said_a"] == Verdict.RETAKE) | (changes["said_b"] == Verdict.RETAKE)
    corrected, broken = (int((~retaken & (changes["right"] == side)).sum()) for side in ("B", "A"))
    retakes = f", {int(retaken.sum()):,} to or from retake" if retaken.any() else ""
    return (
        f"{len(changes):,} of {counted(images, 'verdict')} would change from A to B: {corrected:,} from wrong to "
        f"right, {broken:,} from right to wrong{retakes}."
    )
