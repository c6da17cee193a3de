"""What pictures were like when a bundle was made; ``clearcast.runtime.reference`` says what is kept."""

import numpy as np
import pandas as pd

from clearcast.bundle.proving import Said
from clearcast.domain import Label, NoiseType
from clearcast.imaging import Picture
from clearcast.noise import estimated_noises
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


def look_of(picture: Picture, said: Said) -> dict[str, object]:
    """What ``reference_of`` asks of a picture, uint8 (height, width) or (height, width, 3)."""
    look: dict[str, object] = {
        "brightness": brightness(picture),
        "contrast": contrast(picture),
        "blank_band": max(map(blank_band, (picture, said.restored))),  # noise may hide it
        "sharpness": sharpness(said.restored),
    }
    if said.levels is not None:
        names = (kind.estimate.name for kind in estimated_noises(said.noise_types))
        look |= dict(zip(names, said.levels, strict=True))
    if said.p_defect is not None:
        look["p_defect_denoised"] = said.p_defect
        look[_VERDICT] = (Label.DEFECT if said.defect else Label.OK).value
    return {**look, _NOISE_TYPE: said.noise_types[int(said.p_noise.argmax())].value}
