"""Example images of the page: noisy, denoised and reference thumbnails, the gallery, and wrong verdicts."""

import base64
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import PictureError
from clearcast.metrics.evidence.scores import VERDICT_STAGES
from clearcast.report.formatting import format_decimal
from clearcast.report.run_reader import RunResults, display_name
from clearcast.types import Label

PredictionRecord = Mapping[Hashable, Any]  # one line of predictions.csv

_CAPTIONS = {"noisy": "Noisy", "denoised": "Denoised", "reference": "Reference"}
_JPEG_QUALITY = 85
# For each noise type. The numbers keep the page small enough to send by mail.
GALLERY_SPREAD, GALLERY_WORST, GALLERY_BEST = 8, 8, 4
_GALLERY_SIDE = 256
MAX_WRONG_VERDICTS = 24  # of each kind; the others are in predictions.csv
_WRONG_VERDICT_SIDE = 144


@dataclass(frozen=True)
class Thumbnail:
    """One thumbnail: its data URI, or the ``problem`` why there is none."""

    caption: str
    source: str
    problem: str


def make_triptych(run: RunResults, record: PredictionRecord, side: int) -> tuple[Thumbnail, ...]:
    """Make thumbnails of the noisy, denoised and reference image of a test row, at most ``side`` pixels wide and high.

    All take the shape of the denoised image, which is the networks' input size, so that they can be compared.
    """
    folders = {"denoised": run.folder, "noisy": run.root, "reference": run.root}
    loaded = {
        column: _load_or_explain(folder, record[column]) for column, folder in folders.items() if column in record
    }
    height, width = next((image.shape[:2] for image in loaded.values() if not isinstance(image, str)), (side, side))
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return tuple(_thumbnail(caption, loaded[column], size) for column, caption in _CAPTIONS.items() if column in loaded)


def _load_or_explain(folder: Path, name: object) -> ImageArray | str:
    """Load an image, or return the reason why it cannot be loaded, so that the page survives a missing image."""
    if not isinstance(name, str):
        return "the sheet lists none"
    try:
        return imaging.load_image(folder / name, Channels.RGB)
    except PictureError as error:
        return str(error)


def _thumbnail(caption: str, loaded: ImageArray | str, size: tuple[int, int]) -> Thumbnail:
    if isinstance(loaded, str):
        return Thumbnail(caption, "", loaded)
    data = imaging.encode_image(imaging.resize_image(loaded, *size), ".jpg", jpeg_quality=_JPEG_QUALITY)
    return Thumbnail(caption, "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii"), "")


@dataclass(frozen=True)
class GalleryImage:
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


def choose_gallery_rows(predictions: pd.DataFrame) -> dict[str, list[int]]:
    """Choose positions in ``predictions`` for each view, in display order.

    ``spread`` has even steps through each noise type from its lowest PSNR to its highest. ``worst`` and ``best`` have
    the extremes of each noise type, sorted by the PSNR of the denoised image.
    """
    measured = predictions.reset_index(drop=True).dropna(subset="psnr_denoised")
    ascending = measured.sort_values(["psnr_denoised", "row"])
    groups = [group.index for _, group in ascending.groupby("noise_type")]
    steps = [
        np.unique(np.linspace(0, len(group) - 1, min(GALLERY_SPREAD, len(group))).round().astype(int))
        for group in groups
    ]
    return {
        "spread": [int(row) for group, step in zip(groups, steps, strict=True) for row in group[step]],
        "worst": ascending.groupby("noise_type").head(GALLERY_WORST).index.tolist(),
        "best": ascending[::-1].groupby("noise_type").head(GALLERY_BEST).index.tolist(),
    }


def make_gallery(run: RunResults) -> list[GalleryImage]:
    """Make the gallery's images, each once, those of the spread first."""
    views = choose_gallery_rows(run.predictions)
    positions = dict.fromkeys(position for chosen in views.values() for position in chosen)
    records = run.predictions.to_dict("records")
    return [
        _gallery_image(run, records[row], {view: chosen.index(row) for view, chosen in views.items() if row in chosen})
        for row in positions
    ]


def _gallery_image(run: RunResults, record: PredictionRecord, views: dict[str, int]) -> GalleryImage:
    return GalleryImage(
        row=record["row"],
        name=Path(record["noisy"]).name,
        noise_type=record["noise_type"],
        noise=display_name(record["noise_type"]),
        label=display_name(record["label"]),
        psnr=f"{format_decimal(record['psnr_noisy'], 2)} → {format_decimal(record['psnr_denoised'], 2)} dB",
        ssim=f"{format_decimal(record['ssim_noisy'])} → {format_decimal(record['ssim_denoised'])}",
        views=views,
        images=make_triptych(run, record, _GALLERY_SIDE),
    )


@dataclass(frozen=True)
class StagePrediction:
    """Prediction of one stage: the probability of defect, and whether the verdict is wrong."""

    stage: str
    p_defect: str
    wrong: bool


@dataclass(frozen=True)
class WrongVerdict:
    """An image that at least one stage misclassified."""

    row: int
    name: str
    noise: str
    predictions: tuple[StagePrediction, ...]
    images: tuple[Thumbnail, ...]


@dataclass(frozen=True)
class WrongVerdicts:
    """Images with one kind of mistake: those shown, their total, and the number of each stage."""

    title: str
    shown: tuple[WrongVerdict, ...]
    total: int
    by_stage: dict[str, int]


def list_wrong_verdicts(run: RunResults) -> list[WrongVerdicts]:
    """List escapes, then overkills; empty if no stage gives verdicts."""
    if not _stages(run):
        return []
    return [
        _wrong_verdicts_of_label(run, "Escapes: defects called ok", Label.DEFECT),
        _wrong_verdicts_of_label(run, "Overkills: ok parts called defect", Label.OK),
    ]


def _wrong_verdicts_of_label(run: RunResults, title: str, label: Label) -> WrongVerdicts:
    rows = run.predictions[run.predictions["label"] == label]
    wrong = pd.DataFrame({stage: rows[f"said_{stage}"] != label for stage in _stages(run)})
    p_defect = pd.DataFrame({stage: rows[f"p_defect_{stage}"] for stage in _stages(run)})
    confidence = (1 - p_defect if label is Label.DEFECT else p_defect).where(wrong).max(axis=1).dropna()
    order = confidence.sort_values(ascending=False, kind="stable").index
    shown = rows.loc[order[:MAX_WRONG_VERDICTS]].to_dict("records")
    by_stage = {stage: int(wrong[stage].sum()) for stage in _stages(run)}
    return WrongVerdicts(title, tuple(_wrong_verdict(run, record) for record in shown), len(order), by_stage)


def _wrong_verdict(run: RunResults, record: PredictionRecord) -> WrongVerdict:
    predictions = tuple(
        StagePrediction(
            stage, format_decimal(record[f"p_defect_{stage}"], 3), record[f"said_{stage}"] != record["label"]
        )
        for stage in _stages(run)
    )
    name, noise = Path(record["noisy"]).name, display_name(record["noise_type"])
    return WrongVerdict(record["row"], name, noise, predictions, make_triptych(run, record, _WRONG_VERDICT_SIDE))


def _stages(run: RunResults) -> list[str]:
    return [stage.value for stage in VERDICT_STAGES if stage in run.metrics["stages"]]
