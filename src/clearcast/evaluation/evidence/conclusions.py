"""What the differences between two bundles allow to say, in plain sentences."""

import pandas as pd

from clearcast.domain import Verdict
from clearcast.evaluation.evidence.differences import ALL, Aspect, Difference
from clearcast.evaluation.evidence.words import counted

_DECIDES = {
    Aspect.VERDICTS: (
        "accuracy",
        "escapes",
        "overkills",
        "retakes",
    ),  # the ROC area knows nothing of the threshold that is used
    Aspect.NOISE_TYPES: ("accuracy",),
    Aspect.RESTORING: ("PSNR", "SSIM"),
}
_UNITS = {"PSNR": (1.0, " dB", 2), "SSIM": (1.0, "", 3)}  # factor, unit and decimals
_SHARE = (100.0, " points", 1)


def conclusions(found: list[Difference], changes: pd.DataFrame) -> list[str]:
    """A sentence for each aspect that was compared, and which verdicts change; every difference is B minus A.

    Args:
        found: see ``differences``.
        changes: see ``changed``.
    """
    said = []
    for aspect, names in _DECIDES.items():
        decides = [each for each in found if each.aspect is aspect and each.noise == ALL and each.measure in names]
        if decides:
            said.append(f"{str(aspect).capitalize()}: {_which(decides)}.")
        if decides and aspect is Aspect.VERDICTS:
            said.append(_changes(decides[0].images, changes))
    return said


def _which(decides: list[Difference]) -> str:
    """Who is better, by all measures whose difference is beyond chance."""
    first = decides[0]
    behind = f"on {counted(first.images, 'image')} of {counted(first.parts, 'part')}"
    if first.parts < 2:
        return f"no difference can be told, since all images show one part ({_told(first)})"
    beyond = {side: [each for each in decides if each.better == side] for side in ("A", "B")}
    if beyond["A"] and beyond["B"]:
        each_one = "; ".join(f"{side} in {_all(measures)}" for side, measures in beyond.items())
        return f"neither is better throughout, but {each_one}, {behind}; what each mistake costs decides"
    for side, measures in beyond.items():
        if measures:
            return f"{side} is better: {_all(measures)}, {behind}"
    return f"no difference beyond chance: {_told(first)}, {behind}"


def _all(measures: list[Difference]) -> str:
    return ", ".join(map(_told, measures))


def _told(each: Difference) -> str:
    """Such as "accuracy +3.1 points (95%: +1.0 to +5.2)"."""
    factor, unit, digits = _UNITS.get(each.measure, _SHARE)
    value, low, high = (
        None if bound is None else f"{factor * bound + 0.0:+.{digits}f}"
        for bound in (each.difference["value"], each.difference["low"], each.difference["high"])
    )
    ends = "" if low is None or high is None else f" (95%: {low} to {high})"
    return f"{each.measure} {value}{unit}{ends}"


def _changes(images: int, changes: pd.DataFrame) -> str:
    if changes.empty:
        return f"No verdict changes: A and B say the same of all {counted(images, 'image')}."
    retaken = (changes["said_a"] == Verdict.RETAKE) | (changes["said_b"] == Verdict.RETAKE)
    mended, spoiled = (int((~retaken & (changes["right"] == side)).sum()) for side in ("B", "A"))
    beside = f", {int(retaken.sum()):,} to or from retake" if retaken.any() else ""
    return (
        f"{len(changes):,} of {counted(images, 'verdict')} would change from A to B: {mended:,} from wrong to right, "
        f"{spoiled:,} from right to wrong{beside}."
    )
