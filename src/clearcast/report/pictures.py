"""Thumbnails of a test image, embedded in the page: noisy, denoised and reference side by side."""

import base64
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearcast import imaging
from clearcast.errors import PictureError
from clearcast.imaging import Channels, Picture
from clearcast.report.sources import Run

Record = Mapping[Hashable, Any]  # one line of predictions.csv

_CAPTIONS = {"noisy": "Noisy", "denoised": "Denoised", "reference": "Reference"}
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class Thumbnail:
    """One thumbnail: its data URI, or the ``problem`` why there is none."""

    caption: str
    source: str
    problem: str


def triptych(run: Run, record: Record, side: int) -> tuple[Thumbnail, ...]:
    """Make thumbnails of the noisy, denoised and reference image of a test row, at most ``side`` pixels wide and high.

    All take the shape of the denoised image, which is the networks' input size, so that they can be compared.
    """
    folders = {"denoised": run.folder, "noisy": run.root, "reference": run.root}
    loaded = {column: _load(folder, record[column]) for column, folder in folders.items() if column in record}
    height, width = next((found.shape[:2] for found in loaded.values() if not isinstance(found, str)), (side, side))
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return tuple(_thumbnail(caption, loaded[column], size) for column, caption in _CAPTIONS.items() if column in loaded)


def _load(folder: Path, name: object) -> Picture | str:
    """Load an image, or return the reason why it cannot be loaded, so that the page survives a missing image."""
    if not isinstance(name, str):
        return "the sheet lists none"
    try:
        return imaging.load(folder / name, Channels.RGB)
    except PictureError as error:
        return str(error)


def _thumbnail(caption: str, loaded: Picture | str, size: tuple[int, int]) -> Thumbnail:
    if isinstance(loaded, str):
        return Thumbnail(caption, "", loaded)
    data = imaging.encode(imaging.resize(loaded, *size), ".jpg", jpeg_quality=_JPEG_QUALITY)
    return Thumbnail(caption, "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii"), "")
