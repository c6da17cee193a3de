"""Types and errors of image decoding."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from clearcast.core.errors import PictureFault

ImageArray = NDArray[np.uint8]


class Channels(StrEnum):
    """Colour channels of a decoded image."""

    RGB = "rgb"
    GREY = "grey"

    @property
    def depth(self) -> int:
        """Number of channels: 3 for RGB, 1 for grey."""
        return 3 if self is Channels.RGB else 1


@dataclass(frozen=True)
class ImageHeader:
    """Image header.

    Attributes:
        format: JPEG, PNG, BMP, TIFF or WEBP.
        mode: Pillow's name of the channels.
        bits: bits per channel.
        width, height: size of the stored pixels, before the EXIF orientation is applied.
        transparent: whether the file has an alpha channel or transparent colours, used or not.
    """

    format: str
    mode: str
    bits: int
    width: int
    height: int
    transparent: bool = False

    @property
    def is_grey(self) -> bool:
        """Whether the mode is grey; a palette image can have only grey colours and another mode."""
        return self.mode in {"L", "LA"}


@dataclass(frozen=True, kw_only=True)
class ImageStructure:
    """Structure of an image file, parsed from its headers and segment lists without decoding pixels.

    Attributes:
        format: JPEG, PNG, BMP, TIFF or WEBP.
        width, height: size of the stored pixels.
        frames: number of images in the file: pages, frames, views; not previews, masks or gain maps.
        unit: the format's word for a frame, in the singular.
        truncated: reason why the file is incomplete; "" if it seems complete.
        bounded: whether size and structure bound the time and memory of decoding.
        has_trailing_data: whether other data follow the image; only set for JPEG.
        transparent: whether there is an alpha channel; only set for WebP, whose header Pillow does not read.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    unit: str = "frame"
    truncated: str = ""
    bounded: bool = True
    has_trailing_data: bool = False
    transparent: bool = False


class DecodingError(Exception):
    """A file cannot be decoded, or is refused; the message does not name the file."""

    def __init__(self, fault: PictureFault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault


def cost_error(reason: str) -> DecodingError:
    """Return the error for a file whose decoding would cost far more than its image justifies."""
    return DecodingError(PictureFault.TOO_LARGE, f"{reason}; save the image again, without metadata")


def damage_error(reason: str) -> DecodingError:
    """Return the error for a file with an invalid structure."""
    return DecodingError(PictureFault.UNREADABLE, f"damaged ({reason}); copy the file or save the image again")


@contextmanager
def suppress_damage_errors() -> Iterator[None]:
    """Suppress errors about damage (not about cost), for data other than the pixels, such as EXIF."""
    try:
        yield
    except DecodingError as error:
        if error.fault is not PictureFault.UNREADABLE:
            raise
