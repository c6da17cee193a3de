"""What pictures were like when a bundle was made: what later ones are compared with."""

from typing import Final, NotRequired, TypedDict, cast

from clearcast.errors import OutputError
from clearcast.runtime.conforming import conforms, parse_json

REFERENCE: Final = "reference.json"
PERCENTILES: Final = (0, 1, 5, 25, 50, 75, 95, 99, 100)


class Spread(TypedDict):
    """How a number was spread over ``count`` pictures; ``quantiles`` are its ``PERCENTILES``."""

    count: int
    quantiles: list[float]


class Reference(TypedDict):
    """The content of ``reference.json``.

    ``pictures``: the subset of rows whose noisy pictures these are, which did not teach where that is ``test``.
    ``parts``: how many parts they show; where it is not said, each another.
    ``numbers``: ``brightness`` and ``sharpness``, see ``looks``; ``contrast`` and ``blank_band``, see ``content``
    (absent in older bundles); ``p_defect``, 0..1, where the bundle judges; where it
    tells them, ``sigma`` of the pictures that were said to have grain, and ``density`` of those with salt and pepper,
    0..1. ``noise_types`` and ``verdicts``: the share of pictures of which each was said, 0..1; ``verdicts`` is empty
    where the bundle does not judge, and names ``retake`` where it gives that.
    """

    pictures: str
    parts: NotRequired[int]
    numbers: dict[str, Spread]
    noise_types: dict[str, float]
    verdicts: dict[str, float]


def parse_reference(text: bytes, where: str) -> Reference:
    """Read a ``reference.json``.

    Args:
        text: the file's content.
        where: the bundle, for messages.

    Raises:
        OutputError: it is none.
    """
    try:
        reference = parse_json(text)
    except (ValueError, RecursionError):
        reference = None
    if not conforms(reference, Reference) or not _can_be(cast(Reference, reference)):
        raise OutputError(f"{where}: its {REFERENCE} does not say what pictures were like; make the bundle again")
    return cast(Reference, reference)


def _can_be(reference: Reference) -> bool:
    """Whether what is compared later can be: brightness counts pictures, and whoever divides by counts needs some."""
    numbers = reference["numbers"]
    counts = [spread["count"] for spread in numbers.values()] + [reference.get("parts", 1)]
    shares = [*reference["noise_types"].values(), *reference["verdicts"].values()]
    return (
        "brightness" in numbers
        and all(len(spread["quantiles"]) == len(PERCENTILES) for spread in numbers.values())
        and min(counts) > 0
        and all(0 <= share <= 1 for share in shares)
    )
