"""Columns of ``predictions.csv`` for one image: prediction, image quality and image statistics; needs no torch."""

import math
from collections.abc import Callable, Hashable
from typing import Any

from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import SheetError
from clearcast.core.evidence_schema import Stage
from clearcast.core.numbers import sigmoid
from clearcast.data.validation import UsableRows
from clearcast.inference.image_statistics import (
    measure_blank_band,
    measure_brightness,
    measure_contrast,
    measure_sharpness,
)
from clearcast.inference.model import MIN_IMAGE_SIDE
from clearcast.inference.prediction import Prediction
from clearcast.metrics.image_quality import measure_image_quality
from clearcast.types import Label


def refuse_small_images(rows: UsableRows) -> None:
    """Refuse images that are too small for the networks.

    Raises:
        SheetError: one is.
    """
    for row in rows.sheet.rows:
        info = rows.metadata[row.noisy].header
        if info and min(info.width, info.height) < MIN_IMAGE_SIDE:
            raise SheetError(
                f"{rows.sheet.path}: row {row.number}: {row.noisy}: expected at least {MIN_IMAGE_SIDE} x "
                f"{MIN_IMAGE_SIDE} pixels, got {info.width} x {info.height}; remove such rows from the sheet"
            )


def prediction_columns(
    noisy: ImageArray, prediction: Prediction, reference: ImageArray | None, predict: Callable[[ImageArray], Prediction]
) -> dict[Hashable, Any]:
    """Make the columns of ``predictions.csv`` for one image; see ``clearcast.core.evidence_schema``.

    Args:
        noisy: uint8 (height, width) or (height, width, 3).
        prediction: for ``noisy``, with the denoised image.
        reference: the reference image, of the same shape; None if it is unknown: the columns that need it are NaN or
            left out.
        predict: gives the prediction for ``reference``, for comparison.
    """
    denoised, noise = prediction.denoised, prediction.noise
    assert denoised is not None
    columns = _quality_columns("noisy", noisy, reference) | _quality_columns("denoised", denoised, reference)
    if reference is not None:
        of_reference = predict(reference)
        columns |= {"said_noise_type_reference": of_reference.noise.noise_type.value}
        columns |= verdict_columns(Stage.REFERENCE, of_reference.log_odds, of_reference.defect)
    columns |= {f"p_{kind}": probability for kind, probability in noise.probabilities.items()}
    columns |= {"said_noise_type": noise.noise_type.value}
    if prediction.has_noise_levels:
        columns |= {"noise_level": noise.level}
        columns |= {noise_type.estimate.name: level for noise_type, level in noise.levels.items()}
    columns |= {
        "brightness": measure_brightness(noisy),
        "contrast": measure_contrast(noisy),
        "sharpness": measure_sharpness(denoised),
    }
    images = (noisy, denoised) if reference is None else (noisy, denoised, reference)
    columns |= {"blank_band": max(map(measure_blank_band, images))}  # noise may hide it
    return columns | verdict_columns(Stage.DENOISED, prediction.log_odds, prediction.defect)


def _quality_columns(name: str, image: ImageArray, reference: ImageArray | None) -> dict[Hashable, Any]:
    """Make the image quality columns of an image; NaN without a reference."""
    quality = None if reference is None else measure_image_quality(image, reference)
    return {f"{measure}_{name}": getattr(quality, measure, math.nan) for measure in ("psnr", "ssim", "mse")}


def verdict_columns(stage: Stage, log_odds: float | None, defect: bool | None) -> dict[Hashable, Any]:
    """Make the verdict columns of one stage; none without a verdict.

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
