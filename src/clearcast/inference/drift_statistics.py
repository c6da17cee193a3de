"""Drift reference (``reference.json``) of a bundle, and the tests that compare later images with it."""

import math
from dataclasses import dataclass
from typing import Final, NotRequired, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from clearcast.core.errors import OutputError
from clearcast.core.json_schema import matches_type, parse_json

REFERENCE_FILE: Final = "reference.json"
REFERENCE_PERCENTILES: Final = (0, 1, 5, 25, 50, 75, 95, 99, 100)
_MIN_IMAGES = 20  # images; with fewer, no change is reported
_FALSE_ALERT_PROBABILITY = 0.002  # largest one for one metric (Dvoretzky-Kiefer-Wolfowitz)
_MIN_DISTANCE = 0.5  # spreads by which a metric must have moved
_COMPARED_QUANTILES = np.linspace(0.05, 0.95, 91)  # without the tails, which limits the weight of outliers
_NORMAL_90 = 3.29  # standard deviations from the 5% to the 95% quantile of a normal distribution
_MIN_STANDARD_ERRORS = 3.5  # standard errors by which a share must have moved
_MIN_EFFECT_SIZE = 0.3  # Cohen's h by which a share must have moved: 0.50 to 0.65, or 0.02 to 0.08

_Floats = NDArray[np.float64]


class Distribution(TypedDict):
    """Distribution of a metric over ``count`` images; ``quantiles`` are its ``REFERENCE_PERCENTILES``."""

    count: int
    quantiles: list[float]


class DriftReference(TypedDict):
    """Content of ``reference.json``.

    ``pictures``: the subset of rows whose noisy images these are; ``test``: the bundle was not trained on them.
    ``parts``: how many parts they show; absent: each image shows another part.
    ``numbers``: the metrics ``brightness``, ``sharpness``, ``contrast`` and ``blank_band`` (see ``image_statistics``;
    the last two may be absent); ``p_defect``, 0..1, if the bundle gives verdicts; if it estimates noise levels,
    ``sigma`` of the images with predicted Gaussian noise, and ``density`` of those with salt and pepper, 0..1.
    ``noise_types`` and ``verdicts``: share of images by prediction, 0..1; ``verdicts`` is empty if the bundle gives
    none, and has ``retake`` if the bundle gives that.
    """

    pictures: str
    parts: NotRequired[int]
    numbers: dict[str, Distribution]
    noise_types: dict[str, float]
    verdicts: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class DistributionShift:
    """Change in the distribution of a metric.

    Attributes:
        distance: mean distance of quantiles (Wasserstein, from the 5% to the 95% one) in the reference's spreads.
        signed_distance: the same with signs: about 0 if only the variance changed.
        quartiles, reference_quartiles: the quantiles at 25, 50 and 75% of this run and of the reference.
        above, below: shares of images above the reference's 95% quantile, and below its 5% quantile.
    """

    distance: float
    signed_distance: float
    quartiles: _Floats
    reference_quartiles: _Floats
    above: float
    below: float


def parse_drift_reference(text: bytes, where: str) -> DriftReference:
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
    if not matches_type(reference, DriftReference) or not _is_consistent(cast(DriftReference, reference)):
        raise OutputError(f"{where}: {REFERENCE_FILE} is not a valid drift reference; recreate the bundle")
    return cast(DriftReference, reference)


def _is_consistent(reference: DriftReference) -> bool:
    """Return whether counts, quantiles and shares are possible; brightness is required, since it counts the images."""
    numbers = reference["numbers"]
    counts = [spread["count"] for spread in numbers.values()] + [reference.get("parts", 1)]
    shares = [*reference["noise_types"].values(), *reference["verdicts"].values()]
    return (
        "brightness" in numbers
        and all(len(spread["quantiles"]) == len(REFERENCE_PERCENTILES) for spread in numbers.values())
        and min(counts) > 0
        and all(0 <= share <= 1 for share in shares)
    )


def detect_shift(
    values: _Floats, reference: Distribution, min_spread: float, parts: int | None = None
) -> DistributionShift | None:
    """Return the change of a metric; None if it may be chance, or is too small.

    Args:
        values: of this run's images, float (n,).
        reference: distribution in the reference.
        min_spread: lower bound of the spread, for a reference with almost none.
        parts: how many parts the reference's images show, if the metric is a property of the part; None: it is not, or
            each image shows another part.
    """
    if min(len(values), reference["count"]) < _MIN_IMAGES:
        return None
    quantiles = np.array(reference["quantiles"])
    low, high = np.interp((5, 95), REFERENCE_PERCENTILES, quantiles)
    distances = np.quantile(values, _COMPARED_QUANTILES) - np.interp(
        100 * _COMPARED_QUANTILES, REFERENCE_PERCENTILES, quantiles
    )
    distances /= max((high - low) / _NORMAL_90, min_spread)
    shift = DistributionShift(
        distance=float(np.abs(distances).mean()),
        signed_distance=float(distances.mean()),
        quartiles=np.quantile(values, (0.25, 0.5, 0.75)),
        reference_quartiles=np.interp((25, 50, 75), REFERENCE_PERCENTILES, quantiles),
        above=float((values > high).mean()),
        below=float((values < low).mean()),
    )
    error = math.sqrt(1 / len(values) + 1 / min(reference["count"], parts or reference["count"]))
    beyond_chance = (
        _kolmogorov_smirnov(values, quantiles) > math.sqrt(math.log(2 / _FALSE_ALERT_PROBABILITY) / 2) * error
    )
    return shift if beyond_chance and shift.distance >= _MIN_DISTANCE else None


def has_share_shifted(count: int, images: int, reference: float, reference_size: int) -> bool:
    """Return whether a share differs from the reference's by more than chance, and substantially.

    Args:
        count: how many of this run's images are in the share.
        images: how many images this run has.
        reference: the share in the reference, 0..1.
        reference_size: how many images the reference has, or parts if the share is one of parts.
    """
    if images < _MIN_IMAGES:
        return False
    effect_size = abs(_angle(count, images) - _angle(reference * reference_size, reference_size))
    return effect_size > max(_MIN_EFFECT_SIZE, _MIN_STANDARD_ERRORS * math.sqrt(1 / images + 1 / reference_size))


def arcsine_interval(share: float, images: int) -> tuple[float, float]:
    """Return the 95% confidence interval of a share, by the arcsine transformation; it contains the share.

    >>> [round(bound, 2) for bound in arcsine_interval(0.5, 100)]
    [0.4, 0.6]
    """
    angle, reach = _angle(share * images, images), 1.96 / math.sqrt(images)
    low, high = max(0.0, angle - reach), min(math.pi, angle + reach)
    return min(share, math.sin(low / 2) ** 2), max(share, math.sin(high / 2) ** 2)


def _angle(count: float, images: int) -> float:
    """Transform a share so that its standard error is about 1 / sqrt(images) (Anscombe 1948)."""
    return 2 * math.asin(math.sqrt((count + 3 / 8) / (images + 3 / 4)))


def _kolmogorov_smirnov(values: _Floats, quantiles: _Floats) -> float:
    """Return the Kolmogorov-Smirnov statistic at the quantiles of the reference, for numbers with or without ties."""
    shares = np.array(REFERENCE_PERCENTILES) / 100
    ordered = np.sort(values)
    at_most = np.searchsorted(ordered, quantiles, side="right") / len(values)
    below = np.searchsorted(ordered, quantiles, side="left") / len(values)
    return float(max((shares - at_most).max(), (below - shares).max()))
