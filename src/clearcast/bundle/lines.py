"""One line of ``predictions.csv``: what a bundle says of a noisy picture whose truth is known, and how good that is."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from scipy.special import expit

from clearcast.domain import Label
from clearcast.evaluation.fidelity import fidelity
from clearcast.evaluation.stage import Stage
from clearcast.imaging import Picture
from clearcast.noise.telling import NoiseEstimate
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
        opinion: on the restored picture; None where the bundle does not judge.
    """

    restored: Picture
    noise: NoiseEstimate
    tells_levels: bool = True
    opinion: Opinion | None


def line_of(noisy: Picture, reference: Picture, seen: Seen, seen_reference: Seen) -> dict[Hashable, Any]:
    """What was said of a noisy picture and, for comparison, of its noise-free one; see ``evidence/contract.py``.

    Args:
        noisy, reference: uint8 of one shape.
        seen: what was said of ``noisy``.
        seen_reference: what was said of ``reference``, as if it were a picture to inspect.
    """
    line: dict[Hashable, Any] = {}
    for which, picture in (("noisy", noisy), ("denoised", seen.restored)):
        measured = fidelity(picture, reference)
        line |= {f"{name}_{which}": getattr(measured, name) for name in ("psnr", "ssim", "mse")}
    told, unspoilt = seen.noise, seen_reference.noise
    line |= {f"p_{kind}": chance for kind, chance in told.probabilities.items()}
    line |= {"said_noise_type": told.noise_type.value, "said_noise_type_reference": unspoilt.noise_type.value}
    if seen.tells_levels:
        line |= {"noise_level": told.level, "sigma": told.sigma, "density": told.density}
    line |= {"brightness": brightness(noisy), "sharpness": sharpness(seen.restored)}
    for stage, opinion in ((Stage.REFERENCE, seen_reference.opinion), (Stage.DENOISED, seen.opinion)):
        line |= verdict_columns(stage, opinion)
    return line


def verdict_columns(stage: Stage, opinion: Opinion | None) -> dict[Hashable, Any]:
    """What is said of one picture at one stage; nothing where there is no opinion."""
    if opinion is None:
        return {}
    return {
        f"p_defect_{stage}": float(expit(opinion.logit)),
        f"logit_{stage}": opinion.logit,
        f"said_{stage}": (Label.DEFECT if opinion.defect else Label.OK).value,
    }
