"""Drift reference of a bundle: statistics of its test images; see ``clearcast.runtime.reference`` for the format."""

import numpy as np
import pandas as pd

from clearcast.domain import Label, NoiseType
from clearcast.imaging import Picture
from clearcast.noise import estimated_noises
from clearcast.runtime.answers import Prediction
from clearcast.runtime.content import blank_band, contrast
from clearcast.runtime.looks import brightness, sharpness
from clearcast.runtime.reference import PERCENTILES, Reference, Spread

_NUMBERS = {
    "brightness": "brightness",
    "contrast": "contrast",
    "blank_band": "blank_band",
    "sharpness": "sharpness",
    "p_defect": "p_defect_denoised",
}
_OF_TYPE = {kind.estimate.name: kind for kind in estimated_noises()}  # as in ``clearcast.runtime.drift``
_NUMBERS |= {name: name for name in _OF_TYPE}
_VERDICT, _NOISE_TYPE = "said_denoised", "said_noise_type"


def reference_of(table: pd.DataFrame, pictures: str) -> Reference:
    """Compute the drift reference from a table of images.

    Args:
        table: a row for each image, with columns of ``predictions.csv``; those that are missing are left out.
        pictures: the subset of the images.
    """
    numbers = {name: table[column] for name, column in _NUMBERS.items() if column in table}
    for name, kind in _OF_TYPE.items():
        if name in numbers:
            numbers[name] = numbers[name][table[_NOISE_TYPE] == kind.value]
    reference: Reference = {
        "pictures": pictures,
        "numbers": {name: _quantiles(values) for name, values in numbers.items() if len(values)},
        "noise_types": {kind.value: float((table[_NOISE_TYPE] == kind.value).mean()) for kind in NoiseType},
        "verdicts": {label.value: float((table[_VERDICT] == label.value).mean()) for label in Label}
        if _VERDICT in table
        else {},
    }
    if "part" in table:
        reference["parts"] = table["part"].nunique()
    return reference


def _quantiles(column: "pd.Series[float]") -> Spread:
    values = column.to_numpy(np.float64)
    return {"count": len(values), "quantiles": np.percentile(values, PERCENTILES).round(6).tolist()}


def look_of(picture: Picture, prediction: Prediction) -> dict[str, object]:
    """Return the columns that ``reference_of`` needs of an image, uint8 (height, width) or (height, width, 3).

    Args:
        picture: the noisy image.
        prediction: for it, with the denoised image.
    """
    noise, denoised = prediction.noise, prediction.denoised
    assert denoised is not None
    look: dict[str, object] = {
        "brightness": brightness(picture),
        "contrast": contrast(picture),
        "blank_band": max(map(blank_band, (picture, denoised))),  # noise may hide it
        "sharpness": sharpness(denoised),
    }
    if prediction.has_noise_levels:
        look |= {kind.estimate.name: level for kind, level in noise.levels.items()}
    if prediction.p_defect is not None:
        look["p_defect_denoised"] = prediction.p_defect
        look[_VERDICT] = (Label.DEFECT if prediction.defect else Label.OK).value
    return {**look, _NOISE_TYPE: noise.noise_type.value}
