"""What pictures were like when a bundle was made: what later ones are compared with."""

from typing import Final, NotRequired, TypedDict

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
    ``numbers``: ``brightness`` and ``sharpness``, see ``looks``; ``p_defect``, 0..1, where the bundle judges; where it
    tells them, ``sigma`` of the pictures that were said to have grain, and ``density`` of those with salt and pepper,
    0..1. ``noise_types`` and ``verdicts``: the share of pictures of which each was said, 0..1; ``verdicts`` is empty
    where the bundle does not judge.
    """

    pictures: str
    parts: NotRequired[int]
    numbers: dict[str, Spread]
    noise_types: dict[str, float]
    verdicts: dict[str, float]
