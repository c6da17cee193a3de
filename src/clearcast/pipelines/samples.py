"""Sample of the test rows, for the figure of sample images that a training draws."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clearcast.core.decoding.image_info import ImageArray
from clearcast.noise.registry import NoiseType

_ROWS_PER_TYPE = 3


@dataclass(frozen=True, kw_only=True)
class SampleRow:
    """The images of one test row, and what the networks predict.

    Attributes:
        noise_type, label: from the sheet, such as ``gaussian`` and ``ok``.
        predicted_noise_type: by the networks.
        noisy, denoised: uint8 (height, width) or (height, width, 3).
        reference: likewise, the noise-free image; None if it is unknown.
        psnr: of the denoised image, in dB; None without a reference.
        defect: whether a defect is predicted; None without a classifier.
        heat_map: of the defect, float (height, width) in 0..1; None without a classifier.
    """

    noise_type: NoiseType
    predicted_noise_type: NoiseType
    label: str
    noisy: ImageArray
    denoised: ImageArray
    reference: ImageArray | None
    psnr: float | None
    defect: bool | None
    heat_map: NDArray[np.float32] | None


def choose_sample_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Choose a few rows of ``predictions.csv`` for each noise type, from the worst denoised one to the best."""
    by_type = table.sort_values("psnr_denoised").groupby("noise_type")
    return pd.concat([group.iloc[_evenly_spaced(len(group))] for _, group in by_type])


def _evenly_spaced(count: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(_ROWS_PER_TYPE, count)).round().astype(int).tolist()))
