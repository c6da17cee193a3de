"""Golden samples and drift reference of a bundle.

Golden samples are images with their expected predictions, which verify a bundle on another machine. The drift reference
has the statistics of the images and predictions that the bundle was measured on.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.files import replace_file
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.inference.drift_statistics import REFERENCE_PERCENTILES, Distribution, DriftReference
from clearcast.inference.image_statistics import (
    measure_blank_band,
    measure_brightness,
    measure_contrast,
    measure_sharpness,
)
from clearcast.inference.prediction import Prediction
from clearcast.inference.verification import GOLDEN_FILE, GoldenSample
from clearcast.noise import noise_types_with_level
from clearcast.noise.registry import NoiseType
from clearcast.pipelines.parity import PredictFunction
from clearcast.types import Label, Verdict

_GOLDEN_COUNT = 4
_GOLDEN_SIDE = 512  # pixels at most
_MARGIN = 0.02  # of p_defect from the threshold, so that rounding errors of a machine change no verdict

_NUMBER_COLUMNS = {  # columns of predictions.csv, by the name in the drift reference
    "brightness": "brightness",
    "contrast": "contrast",
    "blank_band": "blank_band",
    "sharpness": "sharpness",
    "p_defect": "p_defect_denoised",
}
_LEVEL_TYPES = {kind.estimate.name: kind for kind in noise_types_with_level()}  # by the column of their level
_NUMBER_COLUMNS |= {name: name for name in _LEVEL_TYPES}
_VERDICT_COLUMN, _NOISE_TYPE_COLUMN = "said_denoised", "said_noise_type"


def write_golden_samples(
    folder: Path, images: Sequence[ImageArray], predict: PredictFunction, threshold: float | None
) -> None:
    """Write ``golden/`` and ``golden.json``, preferring images whose ``p_defect`` is not close to the threshold.

    Args:
        folder: the bundle's.
        images: to choose from, uint8 (height, width) or (height, width, 3); large ones are cropped to their centre.
        predict: computes the expected predictions.
        threshold: of ``p_defect``.
    """
    predicted = [(image, predict(image)) for image in map(crop_to_centre, images)]
    predicted.sort(key=lambda pair: _is_close(pair[1], threshold))
    written: list[GoldenSample] = []
    for number, (image, prediction) in enumerate(predicted[:_GOLDEN_COUNT]):
        name = f"golden/{number}.png"
        imaging.save_image(folder / name, image)
        written.append(_golden_sample(name, prediction))
    with replace_file(folder / GOLDEN_FILE) as temporary:
        temporary.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _is_close(prediction: Prediction, threshold: float | None) -> bool:
    p_defect = prediction.p_defect
    return p_defect is not None and threshold is not None and abs(p_defect - threshold) < _MARGIN


def _golden_sample(name: str, prediction: Prediction) -> GoldenSample:
    defect = prediction.defect
    return {
        "file": name,
        "p_defect": prediction.p_defect,
        "verdict": None if defect is None else (Verdict.DEFECT if defect else Verdict.OK).value,
        "noise_type": prediction.noise.noise_type.value,
        "p_noise": {kind.value: probability for kind, probability in prediction.noise.probabilities.items()},
    }


def load_sample_images(sheet: Sheet, rows: Sequence[SheetRow], channels: Channels) -> list[ImageArray]:
    """Load a noisy image of each noise type and label; the first ones differ in type and cover both labels.

    Args:
        sheet: resolves the paths.
        rows: to choose from.
        channels: grey or colour.
    """
    first: dict[tuple[int, int], SheetRow] = {}
    for row in rows:
        label = tuple(Label).index(row.label) if row.label else 0
        first.setdefault((tuple(NoiseType).index(row.noise_type), label), row)
    order = sorted(first, key=lambda pair: (sum(pair) % 2, pair))
    return [imaging.load_image(sheet.resolve(first[pair].noisy), channels) for pair in order]


def crop_to_centre(image: ImageArray) -> ImageArray:
    """Crop an image to its centre, of at most ``_GOLDEN_SIDE`` pixels a side."""
    top, left = (max(0, size - _GOLDEN_SIDE) // 2 for size in image.shape[:2])
    return np.ascontiguousarray(image[top : top + _GOLDEN_SIDE, left : left + _GOLDEN_SIDE])


def compute_drift_reference(table: pd.DataFrame, subset: str) -> DriftReference:
    """Compute the drift reference from a table of images.

    Args:
        table: a row for each image, with columns of ``predictions.csv``; those that are missing are left out.
        subset: that of the images.
    """
    numbers = {name: table[column] for name, column in _NUMBER_COLUMNS.items() if column in table}
    for name, kind in _LEVEL_TYPES.items():
        if name in numbers:
            numbers[name] = numbers[name][table[_NOISE_TYPE_COLUMN] == kind.value]
    reference: DriftReference = {
        "pictures": subset,
        "numbers": {name: _quantiles(values) for name, values in numbers.items() if len(values)},
        "noise_types": {kind.value: float((table[_NOISE_TYPE_COLUMN] == kind.value).mean()) for kind in NoiseType},
        "verdicts": {label.value: float((table[_VERDICT_COLUMN] == label.value).mean()) for label in Label}
        if _VERDICT_COLUMN in table
        else {},
    }
    if "part" in table:
        reference["parts"] = table["part"].nunique()
    return reference


def _quantiles(column: "pd.Series[float]") -> Distribution:
    values = column.to_numpy(np.float64)
    return {"count": len(values), "quantiles": np.percentile(values, REFERENCE_PERCENTILES).round(6).tolist()}


def drift_reference_row(image: ImageArray, prediction: Prediction) -> dict[str, object]:
    """Return the columns that ``compute_drift_reference`` needs of one image.

    Args:
        image: the noisy image, uint8 (height, width) or (height, width, 3).
        prediction: for ``image``, with the denoised image.
    """
    noise, denoised = prediction.noise, prediction.denoised
    assert denoised is not None
    statistics: dict[str, object] = {
        "brightness": measure_brightness(image),
        "contrast": measure_contrast(image),
        "blank_band": max(map(measure_blank_band, (image, denoised))),  # noise may hide it
        "sharpness": measure_sharpness(denoised),
    }
    if prediction.has_noise_levels:
        statistics |= {kind.estimate.name: level for kind, level in noise.levels.items()}
    if prediction.p_defect is not None:
        statistics["p_defect_denoised"] = prediction.p_defect
        statistics[_VERDICT_COLUMN] = (Label.DEFECT if prediction.defect else Label.OK).value
    return {**statistics, _NOISE_TYPE_COLUMN: noise.noise_type.value}
