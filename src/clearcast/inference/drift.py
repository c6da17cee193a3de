"""Drift monitoring: compare the images of a run with those that the bundle was measured on."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clearcast.inference.drift_statistics import (
    DistributionShift,
    DriftReference,
    arcsine_interval,
    detect_shift,
    has_share_shifted,
)
from clearcast.noise import noise_types_with_level
from clearcast.noise.registry import NoiseType
from clearcast.types import Inspection, Verdict

_KEPT = 1000  # size of the uniform sample of images whose numbers are kept


@dataclass(frozen=True, kw_only=True)
class _MetricText:
    """Texts for a metric. ``scale``: factor to ``unit``. ``least``: smallest spread, before that factor."""

    title: str
    higher: str
    lower: str
    advice: str
    unit: str = ""
    scale: float = 1.0
    digits: int = 0
    least: float


_METRICS = {
    "brightness": _MetricText(
        title="Brightness",
        unit=" grey levels",
        higher="are brighter than",
        lower="are darker than",
        advice="check the lamp and the camera's exposure",
        least=1.0,
    ),
    "sharpness": _MetricText(
        title="Sharpness (variance of the Laplacian)",
        higher="are sharper than",
        lower="are more blurred than",
        advice="check focus, lens and distance, and whether the camera vibrates",
        least=1.0,
    ),
    "sigma": _MetricText(
        title="Gaussian noise",
        unit=" grey levels",
        scale=255,
        higher="with Gaussian noise have more of it than",
        lower="with Gaussian noise have less of it than",
        advice="check the light and the camera's gain",
        least=1 / 255,
    ),
    "density": _MetricText(
        title="Salt and pepper",
        unit="% of the pixels",
        scale=100,
        digits=1,
        higher="with salt and pepper have more of it than",
        lower="with salt and pepper have less of it than",
        advice="check the camera and its cable",
        least=0.005,
    ),
    "p_defect": _MetricText(
        title="Probability of defect",
        digits=2,
        higher="have a higher one than",
        lower="have a lower one than",
        advice="inspect some of these parts by eye",
        least=0.02,
    ),
}
_OF_TYPE = {kind.estimate.name: kind for kind in noise_types_with_level()}  # only images of that type count


class DriftDetector:
    """Statistics of a run's images, in constant memory, compared with a bundle's drift reference.

    Args:
        reference: the bundle's.
        seed: of the random sample of images whose numbers are kept.
    """

    def __init__(self, reference: DriftReference, *, seed: int = 0) -> None:
        self._reference = reference
        self._kept: dict[str, list[float]] = {name: [] for name in _METRICS}
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
            value = _metric(name, inspection)
            if value is not None:
                self._keep(name, value)

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

    def _keep(self, name: str, value: float) -> None:
        """Keep each image of the run with the same probability (Vitter 1985, algorithm R)."""
        kept = self._kept[name]
        self._counts[name] += 1
        if len(kept) < _KEPT:
            kept.append(value)
            return
        place = self._rng.randrange(self._counts[name])
        if place < _KEPT:
            kept[place] = value

    def _metric_changes(self) -> Iterator[str]:
        for name, text in _METRICS.items():
            known = self._reference["numbers"].get(name)
            if known and not (name == "p_defect" and self._verdict_changes()):
                parts = None if name in _OF_TYPE else self._parts  # noise varies from image to image
                if shift := detect_shift(np.array(self._kept[name]).round(6), known, text.least, parts):
                    yield f"{text.title}: {_describe(shift, text, self._referenced)}; {text.advice}."

    def _noise_changes(self) -> str:
        counts, known = self._noise_types, self._reference["noise_types"]
        changed = [
            kind
            for kind in NoiseType
            if has_share_shifted(counts[kind], counts.total(), known.get(kind, 0.0), self._pictures)
        ]
        if not changed:
            return ""
        shares = [f"{_share_text(counts[kind], counts.total())} {kind.display_name.lower()}" for kind in changed]
        before = [f"{known.get(kind, 0.0):.0%}" for kind in changed]
        listed = ", ".join(f"{now} instead of {then}" for now, then in zip(shares, before, strict=True))
        return f"Noise types: {listed}; check what disturbs the camera, unless you selected such images."

    def _verdict_changes(self) -> str:
        counts, known = self._verdicts, self._reference["verdicts"]
        if not known:
            return ""
        referenced = self._parts or self._pictures
        changed = [
            f"{_share_text(counts[verdict], counts.total())} {verdict} instead of {known.get(verdict, 0.0):.0%}"
            for verdict in (Verdict.DEFECT, Verdict.RETAKE)
            if has_share_shifted(counts[verdict], counts.total(), known.get(verdict, 0.0), referenced)
        ]
        if not changed:
            return ""
        return (
            f"Verdicts: {', '.join(changed)} of {self._referenced}; inspect some of these parts by eye, unless you "
            "expected that."
        )

    @property
    def _pictures(self) -> int:
        return self._reference["numbers"]["brightness"]["count"]

    @property
    def _parts(self) -> int | None:
        return self._reference.get("parts")

    @property
    def _referenced(self) -> str:
        tested = self._reference["pictures"] == "test"
        return f"those that the model was {'measured' if tested else 'trained'} on"


def _metric(name: str, inspection: Inspection) -> float | None:
    if name == "p_defect":
        return inspection.p_defect
    if inspection.looks is None or _OF_TYPE.get(name, inspection.noise_type) != inspection.noise_type:
        return None
    value: float | None = getattr(inspection.looks, name)
    return value


def _describe(shift: DistributionShift, text: _MetricText, referenced: str) -> str:
    now, then = (
        [f"{text.scale * value:.{text.digits}f}" for value in quantiles] for quantiles in (shift.now, shift.then)
    )
    if abs(shift.moved) < shift.spreads / 2:
        return f"the middle half lies from {now[0]} to {now[2]}, not from {then[0]} to {then[2]}{text.unit}"
    up = shift.moved > 0
    share, compared = (shift.above, text.higher) if up else (shift.below, text.lower)
    middle = f"{now[1]} instead of {then[1]}{text.unit} in the middle"
    return f"{middle}; {share:.0%} of the images {compared} 95% of {referenced}"


def _share_text(count: int, pictures: int) -> str:
    low, high = arcsine_interval(count / pictures, pictures)
    return f"{count / pictures:.0%} ({low:.0%} to {high:.0%})"
