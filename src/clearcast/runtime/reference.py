"""Drift reference (``reference.json``): statistics of a bundle's images, to compare later ones with."""

from typing import Final, NotRequired, TypedDict, cast

from clearcast.errors import OutputError
from clearcast.runtime.conforming import conforms, parse_json

REFERENCE: Final = "reference.json"
PERCENTILES: Final = (0, 1, 5, 25, 50, 75, 95, 99, 100)


class Spread(TypedDict):
    """Distribution of a number over ``count`` images; ``quantiles`` are its ``PERCENTILES``."""

    count: int
    quantiles: list[float]


class Reference(TypedDict):
    """Content of ``reference.json``.

    ``pictures``: the subset of rows whose noisy images these are; ``test``: the bundle was not trained on them.
    ``parts``: how many parts they show; absent: each another.
    ``numbers``: ``brightness`` and ``sharpness``, see ``looks``; ``contrast`` and ``blank_band``, see ``content`` (may
    be absent); ``p_defect``, 0..1, if the bundle gives verdicts; if it estimates noise levels, ``sigma`` of the
    images with predicted Gaussian noise, and ``density`` of those with salt and pepper, 0..1.
    ``noise_types`` and ``verdicts``: share of images by prediction, 0..1; ``verdicts`` is empty if the bundle gives
    none, and has ``retake`` if the bundle gives that.
    """

    pictures: str
    parts: NotRequired[int]
    numbers: dict[str, Spread]
    noise_types: dict[str, float]
    verdicts: dict[str, float]


def parse_reference(text: bytes, where: str) -> Reference:
    """Parse and check a ``reference.json``.

    Args:
        text: the file's content.
        where: path of the bundle, for messages.

    Raises:
        OutputError: it is invalid.
    """
    try:
        reference = parse_json(text)
    except (ValueError, RecursionError):
        reference = None
    if not conforms(reference, Reference) or not _is_consistent(cast(Reference, reference)):
        raise OutputError(f"{where}: {REFERENCE} is not a valid drift reference; recreate the bundle")
    return cast(Reference, reference)


def _is_consistent(reference: Reference) -> bool:
    """Return whether counts, quantiles and shares are possible; brightness is required, since it counts the images."""
    numbers = reference["numbers"]
    counts = [spread["count"] for spread in numbers.values()] + [reference.get("parts", 1)]
    shares = [*reference["noise_types"].values(), *reference["verdicts"].values()]
    return (
        "brightness" in numbers
        and all(len(spread["quantiles"]) == len(PERCENTILES) for spread in numbers.values())
        and min(counts) > 0
        and all(0 <= share <= 1 for share in shares)
    )
