"""Pictures as a browser shows them, made of what a shelf keeps; None where that is damaged or no picture."""

import io

import numpy as np

from clearcast import imaging
from clearcast.errors import PictureError
from clearcast.imaging import Channels
from clearcast.runtime.heat import draw_heat

_SIDE = 160  # pixels of a thumbnail
_SHOWN = frozenset({"JPEG", "MPO", "PNG", "WEBP"})  # by every browser; MPO is a JPEG of several pictures


def thumbnail_of(data: bytes) -> bytes | None:
    """A JPEG of at most 160 pixels a side."""
    try:
        picture = imaging.decode(data, Channels.RGB)
    except PictureError:
        return None
    height, width = picture.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    small = imaging.resize(picture, max(1, round(scale * height)), max(1, round(scale * width)))
    return imaging.encode(small, ".jpg")


def viewable_of(data: bytes) -> bytes | None:
    """The bytes themselves, if they are a JPEG, PNG or WebP; else a PNG of the picture."""
    try:
        if imaging.probe(data).format in _SHOWN:
            return data
        return imaging.encode(imaging.shrink_to_fit(imaging.decode(data, Channels.RGB), ".png"), ".png")
    except PictureError:
        return None


def heat_of(shown: bytes, evidence: bytes) -> bytes | None:
    """A PNG of a picture with its heat map.

    Args:
        shown: a picture's file.
        evidence: a .npy of float16 (h, w), log-odds of defect by place.
    """
    try:
        spoken = np.load(io.BytesIO(evidence), allow_pickle=False).astype(np.float32)
        picture = imaging.decode(shown, Channels.RGB)
    except (ValueError, EOFError, PictureError):
        return None
    return imaging.encode(imaging.shrink_to_fit(draw_heat(picture, spoken), ".png"), ".png")
