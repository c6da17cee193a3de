"""One line of ``predictions.csv``: what a bundle says of a noisy picture whose truth is known, and how good that is."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from scipy.special import expit

from clearcast.domain import Label
from clearcast.evaluation.fidelity import fidelity
from clearcast.evaluation.stage import Stage
from clearcast.imaging import Picture
from clearcast.noise.estimation import NoiseEstimate
from clearcast.runtime.content import blank_band, contrast
from clearcast.runtime.looks import brightness, sharpness


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """A verdict: calibrated log-odds of defect, and whether they lie above the bundle's threshold."""

    logit: float
    defect: bool


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is said of one picture.

    Attributes:
        restored: the picture without noise, uint8 of its shape.
        noise: what spoils it.
        tells_levels: whether the bundle says how strong noise is; else those in ``noise`` mean nothing.
        opinion: on the picture, restored where the bundle judges it so; None where it does not judge.
    """

    restored: Picture
    noise: NoiseEstimate
    tells_levels: bool = True
    opinion: Opinion | None


def line_of(
    noisy: Picture, seen: Seen, reference: Picture | None, ask: Callable[[Picture], Seen]
) -> dict[Hashable, Any]:
    """What was said of a noisy picture and, for comparison, of its noise-free one; see ``evidence/contract.py``.

    Args:
        noisy: uint8.
        seen: what was said of it.
        reference: of its shape; None where it is unknown, and then what needs it is NaN or left out.
        ask: says of ``reference`` what it would of a picture to inspect.
    """
    line: dict[Hashable, Any] = {}
    for which, picture in (("noisy", noisy), ("denoised", seen.restored)):
        measured = None if reference is None else fidelity(picture, reference)
        line |= {f"{name}_{which}": getattr(measured, name, math.nan) for name in ("psnr", "ssim", "mse")}
    if reference is not None:
        unspoilt = ask(reference)
        line |= {"said_noise_type_reference": unspoilt.noise.noise_type.value}
        line |= verdict_columns(Stage.REFERENCE, unspoilt.opinion)
    told = seen.noise
    line |= {f"p_{kind}": chance for kind, chance in told.probabilities.items()}
    line |= {"said_noise_type": told.noise_type.value}
    if seen.tells_levels:
        line |= {"noise_level": told.level, "sigma": told.sigma, "density": told.density}
    line |= {"brightness": brightness(noisy), "contrast": contrast(noisy), "sharpness": sharpness(seen.restored)}
    shown = (noisy, seen.restored) if reference is None else (noisy, seen.restored, reference)
    line |= {"blank_band": max(map(blank_band, shown))}  # noise may hide it
    return line | verdict_columns(Stage.DENOISED, seen.opinion)


def verdict_columns(stage: Stage, opinion: Opinion | None) -> dict[Hashable, Any]:
    """What is said of one picture at one stage; nothing where there is no opinion."""
    if opinion is None:
        return {}
    return {
        f"p_defect_{stage}": float(expit(opinion.logit)),
        f"logit_{stage}": opinion.logit,
        f"said_{stage}": (Label.DEFECT if opinion.defect else Label.OK).value,
    }
