"""Sentences on a chosen threshold: its effect, and the escape rate that the images behind it support."""

import math

from clearcast.evaluation.evidence.contract import Figure, OperatingPoint
from clearcast.evaluation.evidence.tables import Judged
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.evidence.words import counted, figure_text, limit, percent
from clearcast.evaluation.statistics.sample import Flags

_DEFAULT_CLAIM = 0.01  # escape rate that the sentence refers to if the policy has none


def asked_for(policy: Wishes) -> str:
    """Describe the policy that the threshold was chosen by.

    >>> asked_for(Wishes(escape_cost=10))
    'an escape costs 10, an overkill 1'
    >>> asked_for(Wishes(max_escape=0.01))
    'at most 1% escapes'
    """
    if policy.max_escape is not None:
        return f"at most {limit(policy.max_escape)} escapes"
    if policy.escape_cost == policy.overkill_cost == 1:
        return "an escape costs as much as an overkill (the default)"
    return f"an escape costs {policy.escape_cost:g}, an overkill {policy.overkill_cost:g}"


def choice_sentence(
    point: OperatingPoint,
    test: Judged,
    predicted: Flags,
    validation: Judged,
    validation_predicted: Flags,
    policy: Wishes,
) -> str:
    """Describe a chosen threshold: its effect on test images, and the escape rate that the images support.

    Args:
        point: rates of the choice on test images.
        test: the test images.
        predicted: shape (test images,), whether the choice calls them defects.
        validation: the validation images.
        validation_predicted: shape (validation images,), whether the choice calls them defects.
        policy: what the choice was made by.
    """
    claim = _DEFAULT_CLAIM if policy.max_escape is None else policy.max_escape
    images = counted(len(validation.part), "validation image")
    sentences = [
        f"Chosen on {images}: {asked_for(policy)}.",
        f"On test images {_mistakes_text(point)}.",
        f"{_escapes_text('validation', validation, validation_predicted)}.",
    ]
    if point["defects"] and not point["escapes"]:
        sentences.append(f"{_escapes_text('test', test, predicted)}.")
    if 0 < claim < 1:
        needed = math.ceil(3 / claim - 1e-9)
        sentences.append(
            f"A claim of at most {limit(claim)} escapes requires about {needed:,} defect parts without an escape."
        )
    return " ".join(sentences)


def no_choice_sentence(reason: str, point: OperatingPoint) -> str:
    """Explain why nothing was chosen, with the mistakes of the study's own verdicts."""
    return f"{reason}. At the threshold 0.5, {_mistakes_text(point)}."


def _mistakes_text(point: OperatingPoint) -> str:
    escapes = _rate_text(point["escapes"], point["defects"], "defect", point["escape"])
    overkills = _rate_text(point["overkills"], point["oks"], "ok image", point["overkill"])
    return f"escapes are {escapes}, overkills {overkills}"


def _rate_text(mistakes: int, images: int, noun: str, rate: Figure) -> str:
    if not images:
        return f"unknown, since there is no {noun}"
    return f"{mistakes:,} of {counted(images, noun)} ({figure_text(rate)})"


def _escapes_text(subset: str, scores: Judged, predicted: Flags) -> str:
    """Count escapes by part, since images of one part escape together; rule of three (Hanley 1983) without escapes."""
    parts = scores.parts_of(scores.defect)
    escaped = scores.parts_of(scores.defect & ~predicted)
    behind = f"{counted(parts, 'defect part')} of the {subset} images"
    if escaped:
        return f"Images of {escaped:,} of the {behind} escape"
    return f"No image of the {behind} escapes, which supports at most {percent(min(1.0, 3 / parts))} (3/{parts:,})"
