"""Gallery of test images: a representative spread by default, the worst and the best on demand."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from clearcast.report.numbers import decimal
from clearcast.report.pictures import Record, Thumbnail, triptych
from clearcast.report.sources import Run, display_name

# For each noise type. The numbers keep the page small enough to send by mail.
SPREAD, WORST, BEST = 8, 8, 4
_SIDE = 256


@dataclass(frozen=True)
class Sample:
    """One image of the gallery. ``views``: its position in each view that shows it."""

    row: int
    name: str
    noise_type: str
    noise: str
    label: str
    psnr: str
    ssim: str
    views: dict[str, int]
    images: tuple[Thumbnail, ...]


def choose(predictions: pd.DataFrame) -> dict[str, list[int]]:
    """Choose positions in ``predictions`` for each view, in display order.

    ``spread`` has even steps through each noise type from its lowest PSNR to its highest. ``worst`` and ``best`` have
    the extremes of each noise type, sorted by the PSNR of the denoised image.
    """
    psnr = predictions.reset_index(drop=True).dropna(subset="psnr_denoised")
    ascending = psnr.sort_values(["psnr_denoised", "row"])
    groups = [group.index for _, group in ascending.groupby("noise_type")]
    steps = [np.unique(np.linspace(0, len(group) - 1, min(SPREAD, len(group))).round().astype(int)) for group in groups]
    return {
        "spread": [int(place) for group, step in zip(groups, steps, strict=True) for place in group[step]],
        "worst": ascending.groupby("noise_type").head(WORST).index.tolist(),
        "best": ascending[::-1].groupby("noise_type").head(BEST).index.tolist(),
    }


def samples(run: Run) -> list[Sample]:
    """Make the gallery's images, each once, those of the spread first."""
    views = choose(run.predictions)
    places = dict.fromkeys(place for chosen in views.values() for place in chosen)
    records = run.predictions.to_dict("records")
    return [
        _sample(run, records[place], {view: chosen.index(place) for view, chosen in views.items() if place in chosen})
        for place in places
    ]


def _sample(run: Run, record: Record, views: dict[str, int]) -> Sample:
    return Sample(
        row=record["row"],
        name=Path(record["noisy"]).name,
        noise_type=record["noise_type"],
        noise=display_name(record["noise_type"]),
        label=display_name(record["label"]),
        psnr=f"{decimal(record['psnr_noisy'], 2)} → {decimal(record['psnr_denoised'], 2)} dB",
        ssim=f"{decimal(record['ssim_noisy'])} → {decimal(record['ssim_denoised'])}",
        views=views,
        images=triptych(run, record, _SIDE),
    )
