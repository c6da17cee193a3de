"""Drift detector: compares the images of a run with those that the bundle was measured on."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clearcast.bundle.archive import BundlePackage
from clearcast.inference.drift_statistics import (
    REFERENCE_FILE,
    DistributionShift,
    DriftReference,
    arcsine_interval,
    detect_shift,
    has_share_shifted,
    parse_drift_reference,
)
from clearcast.noise import noise_types_with_level
from clearcast.noise.registry import NoiseType
from clearcast.types import Inspection, Verdict

_SAMPLE_SIZE = 1000  # images in the uniform sample whose metrics are kept


@dataclass(frozen=True, kw_only=True)
class _MetricText:
    """Texts for a metric. ``scale``: factor to ``unit``. ``min_spread``: lower bound of the spread, unscaled."""

    title: str
    higher: str
    lower: str
    advice: str
    unit: str = ""
    scale: float = 1.0
    digits: int = 0
    min_spread: float


_METRICS = {
    "brightness": _MetricText(
        title="Brightness",
        unit=" grey levels",
        higher="are brighter than",
        lower="are darker than",
        advice="check the lamp and the camera's exposure",
        min_spread=1.0,
    ),
    "sharpness": _MetricText(
        title="Sharpness (variance of the Laplacian)",
        higher="are sharper than",
        lower="are more blurred than",
        advice="check focus, lens and distance, and whether the camera vibrates",
        min_spread=1.0,
    ),
    "sigma": _MetricText(
        title="Gaussian noise",
        unit=" grey levels",
        scale=255,
        higher="with Gaussian noise have more of it than",
        lower="with Gaussian noise have less of it than",
        advice="check the light and the camera's gain",
        min_spread=1 / 255,
    ),
    "density": _MetricText(
        title="Salt and pepper",
        unit="% of the pixels",
        scale=100,
        digits=1,
        higher="with salt and pepper have more of it than",
        lower="with salt and pepper have less of it than",
        advice="check the camera and its cable",
        min_spread=0.005,
    ),
    "p_defect": _MetricText(
        title="Probability of defect",
        digits=2,
        higher="have a higher one than",
        lower="have a lower one than",
        advice="inspect some of these parts by eye",
        min_spread=0.02,
    ),
}
_NOISE_TYPE_OF_METRIC = {
    kind.estimate.name: kind for kind in noise_types_with_level()
}  # only images of that noise type count


def make_drift_detector(package: BundlePackage) -> "DriftDetector | None":
    """Create the drift detector of a bundle; None if the bundle has no drift reference."""
    if REFERENCE_FILE not in package.names():
        return None
    return DriftDetector(parse_drift_reference(package.read(REFERENCE_FILE), str(package.path)))


class DriftDetector:
    """Statistics of a run's images, in constant memory, compared with a bundle's drift reference.

    Args:
        reference: the bundle's.
        seed: of the random sample of images whose metrics are kept.
    """

    def __init__(self, reference: DriftReference, *, seed: int = 0) -> None:
        self._reference = reference
        self._samples: dict[str, list[float]] = {name: [] for name in _METRICS}
        self._counts = Counter[str]()
        self._noise_types = Counter[NoiseType]()
        self._verdicts = Counter[Verdict]()
        self._rng = random.Random(seed)

    def add(self, inspection: Inspection) -> None:
        """Add one inspection; one with an error adds nothing."""
        if inspection.noise_type:
            self._noise_types[inspection.noise_type] += 1
        if inspection.verdict:
            self._verdicts[inspection.verdict] += 1
        for name in _METRICS:
            value = _metric_value(name, inspection)
            if value is not None:
                self._add_to_sample(name, value)

    def sentences(self) -> list[str]:
        """Return what changed, by how much and what to check, in one or two sentences each; empty without a change."""
        changes = list(self._metric_changes())
        if noise := self._noise_changes():
            changes.append(noise)
        if verdicts := self._verdict_changes():
            changes.append(verdicts)
        if changes:
            changes.append(
                "So the figures that were measured for the bundle may not hold for these images. Check some of them by "
                "eye; if the change is permanent, train with such images."
            )
        return changes

    def _add_to_sample(self, name: str, value: float) -> None:
        """Keep each image of the run with the same probability (Vitter 1985, algorithm R)."""
        sample = self._samples[name]
        self._counts[name] += 1
        if len(sample) < _SAMPLE_SIZE:
            sample.append(value)
            return
        index = self._rng.randrange(self._counts[name])
        if index < _SAMPLE_SIZE:
            sample[index] = value

    def _metric_changes(self) -> Iterator[str]:
        for name, text in _METRICS.items():
            reference = self._reference["numbers"].get(name)
            if reference and not (name == "p_defect" and self._verdict_changes()):
                # Noise varies from image to image, not from part to part.
                parts = None if name in _NOISE_TYPE_OF_METRIC else self._reference_parts
                if shift := detect_shift(np.array(self._samples[name]).round(6), reference, text.min_spread, parts):
                    yield f"{text.title}: {_describe_shift(shift, text, self._reference_description)}; {text.advice}."

    def _noise_changes(self) -> str:
        counts, reference = self._noise_types, self._reference["noise_types"]
        changed = [
            kind
            for kind in NoiseType
            if has_share_shifted(counts[kind], counts.total(), reference.get(kind, 0.0), self._reference_images)
        ]
        if not changed:
            return ""
        shares = [f"{_format_share(counts[kind], counts.total())} {kind.display_name.lower()}" for kind in changed]
        before = [f"{reference.get(kind, 0.0):.0%}" for kind in changed]
        listed = ", ".join(f"{now} instead of {then}" for now, then in zip(shares, before, strict=True))
        return f"Noise types: {listed}; check what disturbs the camera, unless you selected such images."

    def _verdict_changes(self) -> str:
        counts, reference = self._verdicts, self._reference["verdicts"]
        if not reference:
            return ""
        reference_size = self._reference_parts or self._reference_images
        changed = [
            f"{_format_share(counts[verdict], counts.total())} {verdict} instead of {reference.get(verdict, 0.0):.0%}"
            for verdict in (Verdict.DEFECT, Verdict.RETAKE)
            if has_share_shifted(counts[verdict], counts.total(), reference.get(verdict, 0.0), reference_size)
        ]
        if not changed:
            return ""
        return (
            f"Verdicts: {', '.join(changed)} of {self._reference_description}; inspect some of these parts by eye, "
            "unless you expected that."
        )

    @property
    def _reference_images(self) -> int:
        return self._reference["numbers"]["brightness"]["count"]

    @property
    def _reference_parts(self) -> int | None:
        return self._reference.get("parts")

    @property
    def _reference_description(self) -> str:
        tested = self._reference["pictures"] == "test"
        return f"those that the model was {'measured' if tested else 'trained'} on"


def _metric_value(name: str, inspection: Inspection) -> float | None:
    if name == "p_defect":
        return inspection.p_defect
    if inspection.looks is None or _NOISE_TYPE_OF_METRIC.get(name, inspection.noise_type) != inspection.noise_type:
        return None
    value: float | None = getattr(inspection.looks, name)
    return value


def _describe_shift(shift: DistributionShift, text: _MetricText, reference: str) -> str:
    current, before = (
        [f"{text.scale * value:.{text.digits}f}" for value in quantiles]
        for quantiles in (shift.quartiles, shift.reference_quartiles)
    )
    if abs(shift.signed_distance) < shift.distance / 2:
        return f"the middle half lies from {current[0]} to {current[2]}, not from {before[0]} to {before[2]}{text.unit}"
    higher = shift.signed_distance > 0
    share, compared = (shift.above, text.higher) if higher else (shift.below, text.lower)
    middle = f"{current[1]} instead of {before[1]}{text.unit} in the middle"
    return f"{middle}; {share:.0%} of the images {compared} 95% of {reference}"


def _format_share(count: int, images: int) -> str:
    low, high = arcsine_interval(count / images, images)
    return f"{count / images:.0%} ({low:.0%} to {high:.0%})"
