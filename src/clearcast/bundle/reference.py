"""What pictures were like when a bundle was made; ``clearcast.runtime.reference`` says what is kept."""

import numpy as np
import pandas as pd

from clearcast.domain import Label, NoiseType
from clearcast.imaging import Picture
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
_NUMBERS |= {"sigma": "sigma", "density": "density"}
_OF_TYPE = {"sigma": NoiseType.GAUSSIAN, "density": NoiseType.SALT_AND_PEPPER}  # as ``clearcast.runtime.drift`` looks
_VERDICT, _NOISE_TYPE = "said_denoised", "said_noise_type"


def reference_of(table: pd.DataFrame, pictures: str) -> Reference:
    """Sum up a table of pictures, in the columns of ``predictions.csv``, as far as it has them.

    Args:
        table: a row for each picture.
        pictures: the subset that they are of.
    """
    numbers = {name: table[column] for name, column in _NUMBERS.items() if column in table}
    for name, kind in _OF_TYPE.items():
        if name in numbers:
            numbers[name] = numbers[name][table[_NOISE_TYPE] == kind.value]
    reference: Reference = {
        "pictures": pictures,
        "numbers": {name: _spread(values) for name, values in numbers.items() if len(values)},
        "noise_types": {kind.value: float((table[_NOISE_TYPE] == kind.value).mean()) for kind in NoiseType},
        "verdicts": {label.value: float((table[_VERDICT] == label.value).mean()) for label in Label}
        if _VERDICT in table
        else {},
    }
    if "part" in table:
        reference["parts"] = table["part"].nunique()
    return reference


def _spread(column: "pd.Series[float]") -> Spread:
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
        look["sigma"], look["density"] = noise.sigma, noise.density
    if prediction.p_defect is not None:
        look["p_defect_denoised"] = prediction.p_defect
        look[_VERDICT] = (Label.DEFECT if prediction.defect else Label.OK).value
    return {**look, _NOISE_TYPE: noise.noise_type.value}
