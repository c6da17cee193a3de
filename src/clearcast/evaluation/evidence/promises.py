"""Sentences that say what a choice does, and what the images behind it can promise."""

import math

from clearcast.evaluation.evidence.contract import Figure, OperatingPoint
from clearcast.evaluation.evidence.tables import Judged
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.evidence.words import counted, figure_text, limit, percent
from clearcast.evaluation.statistics.sample import Flags

_CLAIM = 0.01  # the escape rate that the sentence speaks of where none was asked for


def asked_for(wishes: Wishes) -> str:
    """What the threshold was chosen by.

    >>> asked_for(Wishes(escape_cost=10))
    'an escape costs 10, an overkill 1'
    >>> asked_for(Wishes(max_escape=0.01))
    'at most 1% escapes'
    """
    if wishes.max_escape is not None:
        return f"at most {limit(wishes.max_escape)} escapes"
    if wishes.escape_cost == wishes.overkill_cost == 1:
        return "an escape costs as much as an overkill, the default"
    return f"an escape costs {wishes.escape_cost:g}, an overkill {wishes.overkill_cost:g}"


def choice_sentence(
    point: OperatingPoint, test: Judged, said: Flags, validation: Judged, rehearsed: Flags, wishes: Wishes
) -> str:
    """What a chosen threshold does on test images, and what the validation images that chose it can promise.

    Args:
        point: what the choice does on test images.
        test: the test images.
        said: shape (test images,), whether the choice calls them defects.
        validation: the validation images.
        rehearsed: shape (validation images,), the same of them.
        wishes: what was asked.
    """
    claim = _CLAIM if wishes.max_escape is None else wishes.max_escape
    images = counted(len(validation.part), "validation image")
    sentences = [
        f"Chosen on {images}: {asked_for(wishes)}.",
        f"On test images {_mistakes(point)}.",
        f"{_escaped('validation', validation, rehearsed)}.",
    ]
    if point["defects"] and not point["escapes"]:
        sentences.append(f"{_escaped('test', test, said)}.")
    if 0 < claim < 1:
        needed = math.ceil(3 / claim - 1e-9)
        sentences.append(f"To claim at most {limit(claim)} takes about {needed:,} defect parts without an escape.")
    return " ".join(sentences)


def no_choice_sentence(reason: str, point: OperatingPoint) -> str:
    """Why nothing was chosen, what to do, and what the study's own verdicts do."""
    return f"{reason}. As they are, {_mistakes(point)}."


def _mistakes(point: OperatingPoint) -> str:
    escapes = _some(point["escapes"], point["defects"], "defect", point["escape"])
    overkills = _some(point["overkills"], point["oks"], "ok image", point["overkill"])
    return f"escapes are {escapes}, overkills {overkills}"


def _some(mistakes: int, images: int, thing: str, rate: Figure) -> str:
    if not images:
        return f"not known, since there is no {thing}"
    return f"{mistakes:,} of {counted(images, thing)} ({figure_text(rate)})"


def _escaped(which: str, judged: Judged, said: Flags) -> str:
    """Of parts, since the images of one part escape together; by the rule of three where none did (Hanley 1983)."""
    parts = judged.parts_of(judged.defect)
    escaped = judged.parts_of(judged.defect & ~said)
    behind = f"{counted(parts, 'defect part')} of the {which} images"
    if escaped:
        return f"Images of {escaped:,} of the {behind} escape"
    return (
        f"No image of the {behind} escapes, which supports at most {percent(min(1.0, 3 / parts))} escapes (3/{parts:,})"
    )
