"""Checks of image arrays, and JPEG compression after the noise."""

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
    """Base of the records that hold one noise's parameters; they reject values without a meaning."""


@dataclass(frozen=True)
class NoiseRange:
    """Base of the records from which levels are drawn; each field has a default."""


LevelT = TypeVar("LevelT", bound=NoiseParameters)
RangeT = TypeVar("RangeT", bound=NoiseRange)


@dataclass(frozen=True, kw_only=True)
class NoiseLevelEstimate(Generic[LevelT]):
    """How networks estimate the level of a noise type: as one number of 0 or more on the 0..1 scale.

    Attributes:
        name: of the number, such as "sigma"; the name of its column.
        of: the number of a known level.
        describe: the number in words, such as "standard deviation 25 grey levels".
        maximum: the highest value that is possible; higher estimates are clipped.
    """

    name: str
    of: Callable[[LevelT], float]
    describe: Callable[[float], str]
    maximum: float = math.inf


@dataclass(frozen=True, kw_only=True)
class RobustnessLevels(Generic[LevelT]):
    """Levels at which a study measures robustness to a noise type.

    Attributes:
        name: of the strength, with its unit.
        strengths: from one that hardly shows to one beyond the default range.
        level: a level of the given strength for an image of ``shape``; what the strength leaves open is random.
    """

    name: str
    strengths: tuple[float, ...]
    level: Callable[[float, np.random.Generator, tuple[int, ...]], LevelT]


@dataclass(frozen=True, kw_only=True)
class NoiseSpecification(Generic[LevelT, RangeT]):
    """A noise type: its parameters, how they are drawn and applied, its level and unit, and its words.

    Attributes:
        display_name: for tables and figures, such as "Salt-and-pepper".
        sheet_word: what ``clearcast corrupt`` writes into the noise column.
        words: spellings accepted in sheets, in lower-case letters only; "&" counts as "and", a trailing "noise" is cut.
        level: the record of the parameters.
        default_range: for ``clearcast corrupt``.
        training_range: for the degradation of training images; wider than what is common.
        second_range: likewise, for noise that comes on top of another; None: ``training_range``.
        sample: draws a level from a range for an image of ``shape`` (height, width, ...) in pixels.
        apply: adds the noise to an image and clips to 0..1; leaves the given image unchanged.
        robustness: the levels of the study's robustness curves.
        estimate: the level that networks estimate; None: they estimate none.
        comes_last: whether the noise strikes after all others, such as impulses of a sensor.
        columns: of the table of levels that ``clearcast corrupt`` writes; None: the fields of ``level``.
        cells: the values of ``columns`` by name; None: the fields of ``level``.
    """

    display_name: str
    sheet_word: str
    words: tuple[str, ...]
    level: type[LevelT]
    default_range: RangeT
    training_range: RangeT
    second_range: RangeT | None = None
    sample: Callable[[RangeT, np.random.Generator, tuple[int, ...]], LevelT]
    apply: Callable[[FloatImage, LevelT, np.random.Generator], FloatImage]
    robustness: RobustnessLevels[LevelT]
    estimate: NoiseLevelEstimate[LevelT] | None = None
    comes_last: bool = False
    columns: tuple[str, ...] | None = None
    cells: Callable[[LevelT], dict[str, object]] | None = None

    def level_columns(self) -> tuple[str, ...]:
        """The columns of the table of levels that describe this noise type."""
        return self.columns if self.columns is not None else tuple(each.name for each in fields(self.level))

    def level_cells(self, level: LevelT) -> dict[str, object]:
        """The values of ``level_columns`` by name."""
        return self.cells(level) if self.cells else vars(level)


AnySpecification = NoiseSpecification[Any, Any]


def add_and_clip(image: FloatImage, noise: FloatImage) -> FloatImage:
    """Image plus noise, clipped to 0..1."""
    total = image + noise
    return np.clip(total, 0, 1, out=total)


def require_in_range(name: str, value: float, low: float, high: float, meaning: str) -> None:
    """Reject a number outside low..high, and one that is not finite.

    Raises:
        RecipeError: with the name, the value, what is allowed and the number's meaning.
    """
    if not (math.isfinite(value) and low <= value <= high):
        span = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        expected = f"a number {span}" if math.isfinite(low) else "a finite number"
        raise RecipeError(f"{name}: expected {expected}, got {value} ({meaning})")


def require_value_range(name: str, span: ValueRange, low: float, high: float) -> None:
    """Reject a range whose ends lie outside low..high or are in the wrong order.

    Raises:
        RecipeError: see ``require``.
    """
    for value in span:
        require_in_range(name, value, low, high, "both ends of the range must lie there")
    if span[0] > span[1]:
        raise RecipeError(f"{name}: expected the lowest value first, ({span[1]}, {span[0]}), got {span}")


def compress_as_jpeg(image: ImageArray, quality: int) -> ImageArray:
    """The uint8 image after encoding and decoding as JPEG of ``quality`` 1..100; shape and range are kept.

    It gives noise that is made in memory, as in training, what a file does to it.

    Raises:
        RecipeError: the quality is outside 1..100.
        PictureError: see ``corrupt``.
    """
    require_jpeg_quality(quality)
    require_uint8_image(image)
    channels = Channels.RGB if image.ndim == 3 else Channels.GREY
    return imaging.decode_image(imaging.encode_image(image, ".jpeg", jpeg_quality=quality), channels)


def require_jpeg_quality(quality: int) -> None:
    """Reject a JPEG quality outside 1..100 (``RecipeError``)."""
    require_in_range("jpeg_quality", quality, 1, 100, "100 keeps most detail, and 80 is common in cameras")


def require_float_image(image: FloatImage) -> None:
    """Reject what is not a float32 image (``PictureError``)."""
    _require_layout(image, np.float32)


def require_uint8_image(image: ImageArray) -> None:
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
