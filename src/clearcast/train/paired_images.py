"""Image pairs of recipe ``clear``: noise-free images and, if a sheet has them, their noisy counterparts.

``PairedImageCache`` samples pairs to fit the denoiser. ``DenoisedViews`` makes the images to fit the classifier.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from clearcast.core import imaging
from clearcast.core.console import ProgressCallback
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import SheetError
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.nn.blocks import resize_area
from clearcast.nn.denoiser import ClearDenoiser, denoise_tiled
from clearcast.noise import noise_types_with_level
from clearcast.noise.registry import NoiseType
from clearcast.synth.augmentation import (
    DegradedSample,
    add_synthetic_defects,
    augment_image,
    degrade,
    flip_and_rotate,
    photometric_jitter,
)

CLASSIFIER_VIEWS = 4
_BUDGET = 2 * 1024**3  # bytes of decoded images kept in memory
_LARGEST = 1024  # pixels a side; larger images are cropped to a window, which shows the same noise
_MULTIPLE = 32  # pixels; sides are multiples of it
_GREY = 2.0  # mean difference of the channels, in grey levels, up to which an image counts as grey
_SAMPLES = 32  # images, about, that decide shape and channels of all
_SHEET_PAIR, _JITTER, _DEFECTS = 0.25, 0.6, 0.35  # probabilities of sheet pairs, photometric jitter, synthetic defects
_CLASSIFIER_SHARE, _CLASSIFIER_MIN = 0.8, 384  # share of an image's sides to classify at; fewest pixels to shrink to


@dataclass(frozen=True, kw_only=True)
class ImagePair:
    """Files of one row: a noise-free image, a noisy image with its noise type, or both."""

    noise_free: Path | None = None
    noisy: Path | None = None
    noise_type: NoiseType | None = None


class PairedImageCache:
    """Cache of image pairs of one shape, and random samples of them with the sheet's noise or synthetic noise.

    Up to 2 GB of images stay decoded in memory. The others are decoded at each use, which is slower and gives the same
    samples.

    The shape is the median shape of some of the images, at most 1024 pixels a side. A noise-free image of another shape
    is resized. A pair is cropped if it is larger, since resizing would change its noise; of a smaller pair only the
    noise-free image is used.

    Args:
        pairs: to learn from; those without a noise-free image are left out.
        channels: colour or grey.
        shape: (height, width) in pixels, in place of the median.
        progress: called with (done, total) while images are decoded into memory.

    Raises:
        SheetError: there is no noise-free image.
        PictureError: an image cannot be used.
    """

    def __init__(
        self,
        pairs: Sequence[ImagePair],
        channels: Channels,
        *,
        shape: tuple[int, int] | None = None,
        progress: ProgressCallback | None = None,
    ) -> None:
        pairs = [pair for pair in pairs if pair.noise_free]
        if not pairs:
            raise SheetError("no image to learn from; expected at least one noise-free image")
        self.shape = shape or _median_shape([pair.noise_free for pair in pairs if pair.noise_free])
        self._pairs = tuple(pairs)
        self._channels = channels
        self._cached: list[tuple[ImageArray, ImageArray | None]] = []
        capacity = min(len(pairs), _BUDGET // (2 * self.shape[0] * self.shape[1] * channels.depth))
        with ThreadPoolExecutor() as pool:
            for images in pool.map(self._read, range(capacity)):
                self._cached.append(images)
                if progress:
                    progress(len(self._cached), capacity)

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def cached_count(self) -> int:
        """Number of pairs in memory."""
        return len(self._cached)

    def sample(self, rng: np.random.Generator) -> DegradedSample:
        """Sample a noisy image with its noise-free image: a pair of the sheet, or one with synthetic noise."""
        row = int(rng.integers(len(self)))
        noise_free, noisy = self._cached[row] if row < self.cached_count else self._read(row)
        noise_type = self._pairs[row].noise_type
        if noisy is not None and noise_type is not None and rng.random() < _SHEET_PAIR:
            flipped_noisy, flipped = flip_and_rotate([noisy, noise_free], rng)
            return _sheet_sample(flipped_noisy, flipped, noise_type)
        (flipped,) = flip_and_rotate([noise_free], rng)
        jittered = photometric_jitter(flipped, rng) if rng.random() < _JITTER else flipped
        return degrade(add_synthetic_defects(jittered, rng) if rng.random() < _DEFECTS else jittered, rng)

    def _read(self, row: int) -> tuple[ImageArray, ImageArray | None]:
        pair = self._pairs[row]
        assert pair.noise_free, "pairs without a noise-free image were left out"
        noisy = imaging.load_image(pair.noisy, self._channels) if pair.noisy else None
        return _to_shape(imaging.load_image(pair.noise_free, self._channels), noisy, self.shape)


def list_image_pairs(sheet: Sheet, rows: Sequence[SheetRow]) -> list[ImagePair]:
    """List the image pairs of some rows of a sheet."""
    return [
        ImagePair(
            noise_free=sheet.resolve(row.reference) if row.reference else None,
            noisy=sheet.resolve(row.noisy),
            noise_type=row.noise_type,
        )
        for row in rows
    ]


def detect_channels(images: Sequence[Path]) -> Channels:
    """Choose grey if a sample of the images looks grey, even if the files have colour channels; else RGB."""
    for path in _sample(images):
        image = imaging.load_image(path, Channels.RGB).astype(np.float32)
        if float(np.abs(image - image.mean(axis=2, keepdims=True)).mean()) > _GREY:
            return Channels.RGB
    return Channels.GREY


def classifier_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Choose the (height, width) in pixels that images of a shape are classified at.

    A compromise: compared with the full 512 x 512 pixels, half the side misses many fine defects; three quarters of it
    is slightly less accurate, in half the time.
    """
    height, width = (
        min(side, max(_CLASSIFIER_MIN, round(_CLASSIFIER_SHARE * side / _MULTIPLE) * _MULTIPLE)) for side in shape
    )
    return height, width


class DenoisedViews:
    """Denoised views of rows for ``fit_defect_head``, all of one shape.

    View 0 is the denoised noisy image, as in inspection. View 1 is the noise-free image, view 2 an augmentation of it,
    view 3 an augmentation with synthetic noise, denoised; further views alternate like 2 and 3. Without a noise-free
    image, the denoised image takes its place.

    Args:
        pairs: the rows.
        channels: those of the denoiser.
        shape: (height, width) in pixels that images are classified at.
        denoiser: fitted, in evaluation mode.
        seed: decides augmentation and noise, together with row and view.
    """

    def __init__(
        self,
        pairs: Sequence[ImagePair],
        channels: Channels,
        shape: tuple[int, int],
        denoiser: ClearDenoiser,
        *,
        seed: int,
    ) -> None:
        self._pairs = pairs
        self._channels = channels
        self._shape = shape
        self._denoiser = denoiser
        self._seed = seed

    def __call__(self, row: int, view: int) -> ImageArray:
        """Make a view of a row, uint8 of the given shape; the same at each call."""
        pair = self._pairs[row]
        rng = np.random.default_rng((self._seed, row, view))
        if view == 0 and pair.noisy:
            return self._resize(self._denoise(pair.noisy))
        image = imaging.load_image(pair.noise_free, self._channels) if pair.noise_free else self._denoise(pair.noisy)
        if view >= 2:
            image = augment_image(image, rng)
        if view == 0 or (view % 2 and view > 1):
            image, _ = denoise_tiled(self._denoiser, degrade(image, rng).noisy)
        return self._resize(image)

    def _denoise(self, noisy: Path | None) -> ImageArray:
        assert noisy, "a pair has at least one image"
        return denoise_tiled(self._denoiser, imaging.load_image(noisy, self._channels))[0]

    def _resize(self, image: ImageArray) -> ImageArray:
        """Resize as the classifier does, and round to grey levels."""
        if image.shape[:2] == self._shape:
            return image
        channels = torch.from_numpy(image.reshape(*image.shape[:2], -1)).permute(2, 0, 1)
        resized = resize_area(channels[None].float(), *self._shape)[0].permute(1, 2, 0)
        return resized.round().to(torch.uint8).reshape(*self._shape, *image.shape[2:]).numpy()


def _sheet_sample(noisy: ImageArray, noise_free: ImageArray, noise_type: NoiseType) -> DegradedSample:
    """Make a sample of a sheet's pair: the level of its noise type is unknown, those of the other types are 0."""
    return DegradedSample(
        noisy,
        noise_free,
        noise_type,
        levels={each: None if each is noise_type else 0.0 for each in noise_types_with_level()},
        waves=None if noise_type is NoiseType.PERIODIC else np.zeros(noise_free.shape[:2], np.float32),
    )


def _sample(images: Sequence[Path]) -> Sequence[Path]:
    return images[:: max(1, len(images) // _SAMPLES)]


def _median_shape(images: Sequence[Path]) -> tuple[int, int]:
    sides = np.median([imaging.load_image(path, Channels.GREY).shape for path in _sample(images)], axis=0)
    height, width = np.clip(np.rint(sides / _MULTIPLE) * _MULTIPLE, 2 * _MULTIPLE, _LARGEST)
    return int(height), int(width)


def _to_shape(
    noise_free: ImageArray, noisy: ImageArray | None, shape: tuple[int, int]
) -> tuple[ImageArray, ImageArray | None]:
    """Crop a pair to a shape, or resize its noise-free image and drop the noisy one."""
    height, width = shape
    if noisy is not None and noisy.shape == noise_free.shape and all(np.greater_equal(noise_free.shape[:2], shape)):
        top, left = (noise_free.shape[0] - height) // 2, (noise_free.shape[1] - width) // 2
        window = slice(top, top + height), slice(left, left + width)
        return noise_free[window].copy(), noisy[window].copy()  # a view would keep the whole of a large image in memory
    return imaging.resize_image(noise_free, height, width), None
