"""Checks of image arrays, and JPEG compression after the noise."""

import numpy as np
from numpy.typing import NDArray

from clearcast import imaging
from clearcast.errors import PictureError, PictureFault
from clearcast.imaging import Channels, Picture
from clearcast.noise.specification import Image, require


def after_jpeg(image: Picture, quality: int) -> Picture:
    """The uint8 image after encoding and decoding as JPEG of ``quality`` 1..100; shape and range are kept.

    It gives noise that is made in memory, as in training, what a file does to it.

    Raises:
        RecipeError: the quality is outside 1..100.
        PictureError: see ``corrupt``.
    """
    require_jpeg_quality(quality)
    require_picture(image)
    channels = Channels.RGB if image.ndim == 3 else Channels.GREY
    return imaging.decode(imaging.encode(image, ".jpeg", jpeg_quality=quality), channels)


def require_jpeg_quality(quality: int) -> None:
    """Reject a JPEG quality outside 1..100 (``RecipeError``)."""
    require("jpeg_quality", quality, 1, 100, "100 keeps most detail, and 80 is common in cameras")


def require_image(image: Image) -> None:
    """Reject what is not a float32 image (``PictureError``)."""
    _require_layout(image, np.float32)


def require_picture(image: Picture) -> None:
    """Reject what is not a uint8 image (``PictureError``)."""
    _require_layout(image, np.uint8)


def _require_layout(pixels: NDArray[np.generic], dtype: type[np.generic]) -> None:
    """Guard against a common slip: values in 0..255, given where 0..1 is expected, would come back nearly all white."""
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != dtype or not fits:
        scale = "0..255" if dtype is np.uint8 else "0..1"
        raise PictureError(
            PictureFault.UNSUPPORTED,
            f"cannot add noise: expected an array of {np.dtype(dtype)} on the {scale} scale, of shape (height, width) "
            f"or (height, width, 3), got {pixels.dtype} of shape {pixels.shape}",
        )
