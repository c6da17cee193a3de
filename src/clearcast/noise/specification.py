"""Specification of a noise type: parameters, ranges, level estimate; and checks of parameters and image arrays."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import PictureError, PictureFault, RecipeError

FloatImage = NDArray[np.float32]
"""Float32 (height, width) or (height, width, 3), values in 0..1."""
ValueRange = tuple[float, float]
"""Lowest and highest value."""


@dataclass(frozen=True)
class NoiseParameters:
    """Base class of the parameters of one noise; subclasses reject invalid values."""


@dataclass(frozen=True)
class NoiseRange:
    """Base class of the ranges that noise parameters are sampled from; each field has a default."""


ParametersT = TypeVar("ParametersT", bound=NoiseParameters)
RangeT = TypeVar("RangeT", bound=NoiseRange)


@dataclass(frozen=True, kw_only=True)
class NoiseLevelEstimate(Generic[ParametersT]):
    """Noise level that networks estimate for a noise type: one number on the 0..1 scale, at least 0.

    Attributes:
        name: name of the level, such as "sigma"; also of its column.
        of: returns the level of known parameters.
        describe: formats a level for messages, such as "standard deviation 25 grey levels".
        maximum: highest possible level; higher estimates are clipped.
    """

    name: str
    of: Callable[[ParametersT], float]
    describe: Callable[[float], str]
    maximum: float = math.inf


@dataclass(frozen=True, kw_only=True)
class RobustnessLevels(Generic[ParametersT]):
    """Noise strengths at which a study measures robustness to a noise type.

    Attributes:
        name: name of the strength, with its unit.
        strengths: ascending, from hardly visible to beyond the default range.
        parameters: samples parameters of a strength for an image of ``shape``.
    """

    name: str
    strengths: tuple[float, ...]
    parameters: Callable[[float, np.random.Generator, tuple[int, ...]], ParametersT]


@dataclass(frozen=True, kw_only=True)
class NoiseSpecification(Generic[ParametersT, RangeT]):
    """Specification of a noise type.

    Attributes:
        display_name: name in tables and figures, such as "Salt-and-pepper".
        sheet_word: word that ``clearcast corrupt`` writes into the noise column.
        words: spellings accepted in sheets, in lower-case letters only; "&" counts as "and", a trailing "noise" is cut.
        parameters: class of the parameters.
        default_range: range for ``clearcast corrupt``.
        training_range: range for the degradation of training images; wider than usual.
        second_range: the same for noise that is added to another noise; None: ``training_range``.
        sample: samples parameters from a range for an image of ``shape`` (height, width, ...) in pixels.
        apply: adds the noise to a copy of an image and clips to 0..1.
        robustness: strengths of the study's robustness curves.
        estimate: the level that networks estimate; None if they estimate none.
        comes_last: whether the noise is added after all others, such as impulses of a sensor.
        columns: columns of ``levels.csv``, which ``clearcast corrupt`` writes; None: the fields of ``parameters``.
        cells: returns the values of ``columns`` by name; None: the fields of ``parameters``.
    """

    display_name: str
    sheet_word: str
    words: tuple[str, ...]
    parameters: type[ParametersT]
    default_range: RangeT
    training_range: RangeT
    second_range: RangeT | None = None
    sample: Callable[[RangeT, np.random.Generator, tuple[int, ...]], ParametersT]
    apply: Callable[[FloatImage, ParametersT, np.random.Generator], FloatImage]
    robustness: RobustnessLevels[ParametersT]
    estimate: NoiseLevelEstimate[ParametersT] | None = None
    comes_last: bool = False
    columns: tuple[str, ...] | None = None
    cells: Callable[[ParametersT], dict[str, object]] | None = None

    def table_columns(self) -> tuple[str, ...]:
        """Return the columns of ``levels.csv`` that describe this noise type."""
        return self.columns if self.columns is not None else tuple(each.name for each in fields(self.parameters))

    def table_cells(self, parameters: ParametersT) -> dict[str, object]:
        """Return the values of ``table_columns`` by name."""
        return self.cells(parameters) if self.cells else vars(parameters)


AnySpecification = NoiseSpecification[Any, Any]


def add_and_clip(image: FloatImage, noise: FloatImage) -> FloatImage:
    """Return image plus noise, clipped to 0..1."""
    total = image + noise
    return np.clip(total, 0, 1, out=total)


def require_in_range(name: str, value: float, low: float, high: float, meaning: str) -> None:
    """Reject a number outside low..high, and one that is not finite.

    Raises:
        RecipeError: the number is out of range; the message explains it by ``meaning``.
    """
    if not (math.isfinite(value) and low <= value <= high):
        span = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        expected = f"a number {span}" if math.isfinite(low) else "a finite number"
        raise RecipeError(f"{name}: expected {expected}, got {value} ({meaning})")


def require_value_range(name: str, span: ValueRange, low: float, high: float) -> None:
    """Reject a range whose ends lie outside low..high or are in the wrong order.

    Raises:
        RecipeError: see ``require_in_range``.
    """
    for value in span:
        require_in_range(name, value, low, high, "both ends of the range must be within these limits")
    if span[0] > span[1]:
        raise RecipeError(f"{name}: expected the lowest value first, ({span[1]}, {span[0]}), got {span}")


def compress_as_jpeg(image: ImageArray, quality: int) -> ImageArray:
    """Encode and decode a uint8 image as JPEG of ``quality`` 1..100; its shape does not change.

    Training images are degraded in memory; this adds the compression that image files have.

    Raises:
        RecipeError: the quality is outside 1..100.
        PictureError: see ``corrupt_image``.
    """
    require_jpeg_quality(quality)
    require_uint8_image(image)
    channels = Channels.RGB if image.ndim == 3 else Channels.GREY
    return imaging.decode_image(imaging.encode_image(image, ".jpeg", jpeg_quality=quality), channels)


def require_jpeg_quality(quality: int) -> None:
    """Raise ``RecipeError`` for a JPEG quality outside 1..100."""
    require_in_range("jpeg_quality", quality, 1, 100, "100 keeps most detail, and 80 is common in cameras")


def require_float_image(image: FloatImage) -> None:
    """Raise ``PictureError`` for an array that is not a float32 image."""
    _require_layout(image, np.float32)


def require_uint8_image(image: ImageArray) -> None:
    """Raise ``PictureError`` for an array that is not a uint8 image."""
    _require_layout(image, np.uint8)


def _require_layout(pixels: NDArray[np.generic], dtype: type[np.generic]) -> None:
    """Reject another dtype: values of 0..255 in place of 0..1 would be clipped to white."""
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != dtype or not fits:
        scale = "0..255" if dtype is np.uint8 else "0..1"
        raise PictureError(
            PictureFault.UNSUPPORTED,
            f"cannot add noise: expected an array of {np.dtype(dtype)} on the {scale} scale, of shape (height, width) "
            f"or (height, width, 3), got {pixels.dtype} of shape {pixels.shape}",
        )
