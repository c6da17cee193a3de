"""Rendering of stored images for browsers; None if the stored file is damaged or no image."""

import io

import numpy as np

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import PictureError
from clearcast.inference.image_outputs import draw_heat_map

_THUMBNAIL_SIDE = 160  # pixels
_BROWSER_FORMATS = frozenset({"JPEG", "MPO", "PNG", "WEBP"})  # MPO is a JPEG of several images


def make_thumbnail(data: bytes) -> bytes | None:
    """Return a thumbnail as JPEG, at most 160 pixels on its longer side."""
    try:
        image = imaging.decode_image(data, Channels.RGB)
    except PictureError:
        return None
    height, width = image.shape[:2]
    scale = min(1.0, _THUMBNAIL_SIDE / max(height, width))
    small = imaging.resize_image(image, max(1, round(scale * height)), max(1, round(scale * width)))
    return imaging.encode_image(small, ".jpg")


def to_browser_format(data: bytes) -> bytes | None:
    """Return a JPEG, PNG or WebP unchanged, and other formats as PNG."""
    try:
        if imaging.probe_image(data).format in _BROWSER_FORMATS:
            return data
        return imaging.encode_image(imaging.shrink_to_fit(imaging.decode_image(data, Channels.RGB), ".png"), ".png")
    except PictureError:
        return None


def render_heat_map(shown: bytes, evidence: bytes) -> bytes | None:
    """Return an image with its heat map as PNG.

    Args:
        shown: an encoded image.
        evidence: a .npy file of float16 (h, w), log-odds of defect per position.
    """
    try:
        log_odds = np.load(io.BytesIO(evidence), allow_pickle=False).astype(np.float32)
        image = imaging.decode_image(shown, Channels.RGB)
    except (ValueError, EOFError, PictureError):
        return None
    return imaging.encode_image(imaging.shrink_to_fit(draw_heat_map(image, log_odds), ".png"), ".png")
