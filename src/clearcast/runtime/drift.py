"""Tell when pictures are no longer what a bundle was measured on."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clearcast.domain import Inspection, NoiseType, Verdict
from clearcast.noise import estimated_noises
from clearcast.runtime.reference import Reference
from clearcast.runtime.shifts import Shift, share_interval, share_moved, shift_of

_KEPT = 1000  # pictures whose numbers are kept, drawn evenly of all


@dataclass(frozen=True, kw_only=True)
class _Words:
    """How a number is spoken of. ``scale``: factor to ``unit``. ``least``: the least spread, before that factor."""

    title: str
    more: str
    less: str
    advice: str
    unit: str = ""
    scale: float = 1.0
    digits: int = 0
    least: float


_NUMBERS = {
    "brightness": _Words(
        title="Brightness",
        unit=" grey levels",
        more="are brighter than",
        less="are darker than",
        advice="look at the lamp and the camera's exposure",
        least=1.0,
    ),
    "sharpness": _Words(
        title="Sharpness (variance of the Laplacian)",
        more="are sharper than",
        less="are more blurred than",
        advice="look at focus, lens and distance, and whether the camera shakes",
        least=1.0,
    ),
    "sigma": _Words(
        title="Grain",
        unit=" grey levels",
        scale=255,
        more="with grain have more of it than",
        less="with grain have less of it than",
        advice="look at light and the camera's gain",
        least=1 / 255,
    ),
    "density": _Words(
        title="Salt and pepper",
        unit="% of the pixels",
        scale=100,
        digits=1,
        more="with salt and pepper have more of it than",
        less="with salt and pepper have less of it than",
        advice="look at the camera and its cable",
        least=0.005,
    ),
    "p_defect": _Words(
        title="Probability of defect",
        digits=2,
        more="have a higher one than",
        less="have a lower one than",
        advice="look at some of these parts yourself",
        least=0.02,
    ),
}
_OF_TYPE = {kind.estimate.name: kind for kind in estimated_noises()}  # a level counts only for its type


class Drift:
    """What a run of pictures was like, in constant memory, beside a bundle's reference.

    Args:
        reference: the bundle's.
        seed: of which pictures' numbers are kept.
    """

    def __init__(self, reference: Reference, *, seed: int = 0) -> None:
        self._reference = reference
        self._kept: dict[str, list[float]] = {name: [] for name in _NUMBERS}
        self._seen = Counter[str]()
        self._noise_types = Counter[NoiseType]()
        self._verdicts = Counter[Verdict]()
        self._rng = random.Random(seed)

    def see(self, inspection: Inspection) -> None:
        """Take up one picture; one that could not be inspected has nothing to tell."""
        if inspection.noise_type:
            self._noise_types[inspection.noise_type] += 1
        if inspection.verdict:
            self._verdicts[inspection.verdict] += 1
        for name in _NUMBERS:
            value = _number(name, inspection)
            if value is not None:
                self._keep(name, value)

    def sentences(self) -> list[str]:
        """What changed, how much and what to look at, a sentence or two each; none where nothing did."""
        told = list(self._about_numbers())
        if noise := self._about_noise():
            told.append(noise)
        if verdicts := self._about_verdicts():
            told.append(verdicts)
        if told:
            told.append(
                "So the figures that the bundle was measured at may not hold for these pictures. Check some of them by "
                "eye; where the change is here to stay, train with such pictures."
            )
        return told

    def _keep(self, name: str, value: float) -> None:
        """Each picture of the run is kept with the same chance (Vitter 1985, algorithm R)."""
        kept = self._kept[name]
        self._seen[name] += 1
        if len(kept) < _KEPT:
            kept.append(value)
            return
        place = self._rng.randrange(self._seen[name])
        if place < _KEPT:
            kept[place] = value

    def _about_numbers(self) -> Iterator[str]:
        for name, words in _NUMBERS.items():
            known = self._reference["numbers"].get(name)
            if known and not (name == "p_defect" and self._about_verdicts()):
                parts = None if name in _OF_TYPE else self._parts  # noise differs from picture to picture
                if shift := shift_of(np.array(self._kept[name]).round(6), known, words.least, parts):
                    yield f"{words.title}: {_described(shift, words, self._those)}; {words.advice}."

    def _about_noise(self) -> str:
        seen, known = self._noise_types, self._reference["noise_types"]
        changed = [
            kind for kind in NoiseType if share_moved(seen[kind], seen.total(), known.get(kind, 0.0), self._pictures)
        ]
        if not changed:
            return ""
        shares = [f"{_share(seen[kind], seen.total())} {kind.display_name.lower()}" for kind in changed]
        before = [f"{known.get(kind, 0.0):.0%}" for kind in changed]
        listed = ", ".join(f"{now} instead of {then}" for now, then in zip(shares, before, strict=True))
        return f"Noise types: {listed}; look at what disturbs the camera, if you did not choose such pictures."

    def _about_verdicts(self) -> str:
        seen, known = self._verdicts, self._reference["verdicts"]
        if not known:
            return ""
        referenced = self._parts or self._pictures
        changed = [
            f"{_share(seen[verdict], seen.total())} {verdict} instead of {known.get(verdict, 0.0):.0%}"
            for verdict in (Verdict.DEFECT, Verdict.RETAKE)
            if share_moved(seen[verdict], seen.total(), known.get(verdict, 0.0), referenced)
        ]
        if not changed:
            return ""
        return (
            f"Verdicts: {', '.join(changed)} of {self._those}; look at some of these parts yourself, if you did not "
            "expect that."
        )

    @property
    def _pictures(self) -> int:
        return self._reference["numbers"]["brightness"]["count"]

    @property
    def _parts(self) -> int | None:
        return self._reference.get("parts")

    @property
    def _those(self) -> str:
        tested = self._reference["pictures"] == "test"
        return f"those that the model {'was measured on' if tested else 'learned from'}"


def _number(name: str, inspection: Inspection) -> float | None:
    if name == "p_defect":
        return inspection.p_defect
    if inspection.looks is None or _OF_TYPE.get(name, inspection.noise_type) != inspection.noise_type:
        return None
    value: float | None = getattr(inspection.looks, name)
    return value


def _described(shift: Shift, words: _Words, those: str) -> str:
    now, then = (
        [f"{words.scale * value:.{words.digits}f}" for value in quantiles] for quantiles in (shift.now, shift.then)
    )
    if abs(shift.moved) < shift.spreads / 2:
        return f"the middle half lies from {now[0]} to {now[2]}, not from {then[0]} to {then[2]}{words.unit}"
    up = shift.moved > 0
    share, compared = (shift.above, words.more) if up else (shift.below, words.less)
    middle = f"{now[1]} instead of {then[1]}{words.unit} in the middle"
    return f"{middle}; {share:.0%} of the pictures {compared} 95% of {those}"


def _share(count: int, pictures: int) -> str:
    low, high = share_interval(count / pictures, pictures)
    return f"{count / pictures:.0%} ({low:.0%} to {high:.0%})"
