"""Rendering of stored images for browsers; None if the stored file is damaged or no image."""

import io

import numpy as np

from clearcast import imaging
from clearcast.errors import PictureError
from clearcast.imaging import Channels
from clearcast.runtime.heat import draw_heat

_THUMBNAIL_SIDE = 160  # pixels
_BROWSER_FORMATS = frozenset({"JPEG", "MPO", "PNG", "WEBP"})  # MPO is a JPEG of several images


def thumbnail_of(data: bytes) -> bytes | None:
    """Return a thumbnail as JPEG, at most 160 pixels on its longer side."""
    try:
        picture = imaging.decode(data, Channels.RGB)
    except PictureError:
        return None
    height, width = picture.shape[:2]
    scale = min(1.0, _THUMBNAIL_SIDE / max(height, width))
    small = imaging.resize(picture, max(1, round(scale * height)), max(1, round(scale * width)))
    return imaging.encode(small, ".jpg")


def viewable_of(data: bytes) -> bytes | None:
    """Return a JPEG, PNG or WebP unchanged, and other formats as PNG."""
    try:
        if imaging.probe(data).format in _BROWSER_FORMATS:
            return data
        return imaging.encode(imaging.shrink_to_fit(imaging.decode(data, Channels.RGB), ".png"), ".png")
    except PictureError:
        return None


def heat_of(shown: bytes, evidence: bytes) -> bytes | None:
    """Return an image with its heat map as PNG.

    Args:
        shown: an encoded image.
        evidence: a .npy file of float16 (h, w), log-odds of defect per position.
    """
    try:
        log_odds = np.load(io.BytesIO(evidence), allow_pickle=False).astype(np.float32)
        picture = imaging.decode(shown, Channels.RGB)
    except (ValueError, EOFError, PictureError):
        return None
    return imaging.encode(imaging.shrink_to_fit(draw_heat(picture, log_odds), ".png"), ".png")
