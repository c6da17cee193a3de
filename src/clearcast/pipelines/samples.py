"""A sample of test rows, whose images a bundle shows after training."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clearcast.core.decoding.image_info import ImageArray
from clearcast.noise.registry import NoiseType

_EACH = 3  # rows of each noise type


@dataclass(frozen=True, kw_only=True)
class SampleRow:
    """The images of one test row, and what the networks predict.

    Attributes:
        noise_type, predicted_noise_type: the true one and the predicted one.
        label: the true one, such as ``ok``.
        noisy, denoised: uint8 (height, width) or (height, width, 3).
        reference: likewise, the noise-free image; None if it is unknown.
        psnr: of the denoised image, in dB; None without a reference.
        defect: the prediction; None without a classifier.
        heat_map: float (height, width) in 0..1, where the defect is; None without a classifier.
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
    """A few rows of each noise type, from the one that is denoised worst to the best; of ``predictions.csv``."""
    by_type = table.sort_values("psnr_denoised").groupby("noise_type")
    return pd.concat([group.iloc[_spread(len(group))] for _, group in by_type])


def _spread(count: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(_EACH, count)).round().astype(int).tolist()))
