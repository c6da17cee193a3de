"""The records that decoding takes and gives."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from clearcast.errors import PictureFault

Picture = NDArray[np.uint8]


class Channels(StrEnum):
    """How many colour channels a decoded picture has."""

    RGB = "rgb"
    GREY = "grey"

    @property
    def depth(self) -> int:
        """3 for RGB, 1 for grey."""
        return 3 if self is Channels.RGB else 1


@dataclass(frozen=True)
class PictureInfo:
    """What a picture's header says; ``bits`` are those of one channel, ``mode`` is Pillow's name of the channels.

    ``width`` and ``height`` are those of the stored pixels, before a camera's EXIF orientation is applied.
    ``transparent``: whether the file has an alpha channel or transparent colours, used or not.
    """

    format: str
    mode: str
    bits: int
    width: int
    height: int
    transparent: bool = False

    @property
    def is_grey(self) -> bool:
        """Whether all colours are grey, by the kind of file; a palette may be grey without it."""
        return self.mode in {"L", "LA"}


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What a file's headers and lists say, without decoding pixels.

    Attributes:
        format: JPEG, PNG, BMP, TIFF or WEBP.
        width, height: of the stored pixels.
        frames: how many pictures the file holds: pages, frames, views; not previews, masks or gain maps.
        unit: what a frame is called in this format, in the singular.
        truncated: why the file cannot be whole; "" if nothing speaks against it.
        bounded: whether size and structure bound the time and memory of decoding.
        goes_on: whether other data follow behind the picture's end; only of JPEGs.
        transparent: whether there is an alpha channel; only where the format's header is read here alone (WebP).
    """

    format: str
    width: int
    height: int
    frames: int = 1
    unit: str = "frame"
    truncated: str = ""
    bounded: bool = True
    goes_on: bool = False
    transparent: bool = False


class DecodingError(Exception):
    """A file that cannot be decoded, or should not be; the message does not name the file."""

    def __init__(self, fault: PictureFault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault


def refuse_cost(reason: str) -> DecodingError:
    """The error of a file that would take far more work or memory than its picture is worth."""
    return DecodingError(PictureFault.TOO_LARGE, f"{reason}; save the picture again, without anything but its pixels")


def refuse_damage(reason: str) -> DecodingError:
    """The error of a file whose structure makes no sense."""
    return DecodingError(PictureFault.UNREADABLE, f"damaged ({reason}); copy the file again, or save it anew")


@contextmanager
def suppress_damage() -> Iterator[None]:
    """Leave the rest of the block where something beside the picture is damaged, such as its EXIF."""
    try:
        yield
    except DecodingError as error:
        if error.fault is not PictureFault.UNREADABLE:
            raise
