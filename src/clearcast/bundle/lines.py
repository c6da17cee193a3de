"""Row of ``predictions.csv``: the prediction for a noisy image with known truth, and its measures of image quality."""

import math
from collections.abc import Callable, Hashable
from typing import Any

from clearcast.domain import Label
from clearcast.evaluation.fidelity import fidelity
from clearcast.evaluation.stage import Stage
from clearcast.imaging import Picture
from clearcast.log_odds import sigmoid
from clearcast.runtime.answers import Prediction
from clearcast.runtime.content import blank_band, contrast
from clearcast.runtime.looks import brightness, sharpness


def line_of(
    noisy: Picture, prediction: Prediction, reference: Picture | None, predict: Callable[[Picture], Prediction]
) -> dict[Hashable, Any]:
    """Return the columns of ``predictions.csv`` for one image; see ``evidence/contract.py``.

    Args:
        noisy: uint8 (height, width) or (height, width, 3).
        prediction: for ``noisy``, with the denoised image.
        reference: the reference image, of the same shape; None if it is unknown: the columns that need it are NaN or
            left out.
        predict: gives the prediction for ``reference``, for comparison.
    """
    denoised, noise = prediction.denoised, prediction.noise
    assert denoised is not None
    line: dict[Hashable, Any] = {}
    for which, image in (("noisy", noisy), ("denoised", denoised)):
        quality = None if reference is None else fidelity(image, reference)
        line |= {f"{name}_{which}": getattr(quality, name, math.nan) for name in ("psnr", "ssim", "mse")}
    if reference is not None:
        of_reference = predict(reference)
        line |= {"said_noise_type_reference": of_reference.noise.noise_type.value}
        line |= verdict_columns(Stage.REFERENCE, of_reference.log_odds, of_reference.defect)
    line |= {f"p_{kind}": chance for kind, chance in noise.probabilities.items()}
    line |= {"said_noise_type": noise.noise_type.value}
    if prediction.has_noise_levels:
        line |= {"noise_level": noise.level, "sigma": noise.sigma, "density": noise.density}
    line |= {"brightness": brightness(noisy), "contrast": contrast(noisy), "sharpness": sharpness(denoised)}
    images = (noisy, denoised) if reference is None else (noisy, denoised, reference)
    line |= {"blank_band": max(map(blank_band, images))}  # noise may hide it
    return line | verdict_columns(Stage.DENOISED, prediction.log_odds, prediction.defect)


def verdict_columns(stage: Stage, log_odds: float | None, defect: bool | None) -> dict[Hashable, Any]:
    """Return the verdict columns of one stage; none without a verdict.

    Args:
        stage: names the columns.
        log_odds: calibrated log-odds of defect.
        defect: whether they exceed the bundle's threshold.
    """
    if log_odds is None or defect is None:
        return {}
    return {
        f"p_defect_{stage}": sigmoid(log_odds),
        f"logit_{stage}": log_odds,
        f"said_{stage}": (Label.DEFECT if defect else Label.OK).value,
    }
