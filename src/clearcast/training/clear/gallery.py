"""Paired dataset of recipe ``clear``: noise-free images and, if a sheet has them, their noisy counterparts."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clearcast import imaging
from clearcast.data.sheet import Row, Sheet
from clearcast.domain import NoiseType
from clearcast.errors import SheetError
from clearcast.imaging import Channels, Picture
from clearcast.noise import estimated_noises
from clearcast.progress import Progress
from clearcast.training.scars import scar
from clearcast.training.synthesis import Spoiled, augment, jitter, spoil

_BUDGET = 2 * 1024**3  # bytes of decoded images kept in memory
_LARGEST = 1024  # pixels a side; larger images are cropped to a window, which shows the same noise
_MULTIPLE = 32  # pixels; sides are multiples of it
_GREY = 2.0  # mean difference of the channels, in grey levels, up to which an image counts as grey
_SAMPLES = 32  # images, about, that decide shape and channels of all
_PAIRS, _JITTERED, _SCARRED = 0.25, 0.6, 0.35  # probabilities of sheet pairs, photometric jitter, synthetic defects


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Files of one row: a noise-free image, a noisy image with its noise type, or both."""

    clean: Path | None = None
    noisy: Path | None = None
    noise_type: NoiseType | None = None


class Gallery:
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
        pairs: Sequence[Pair],
        channels: Channels,
        *,
        shape: tuple[int, int] | None = None,
        progress: Progress | None = None,
    ) -> None:
        pairs = [pair for pair in pairs if pair.clean]
        if not pairs:
            raise SheetError("no image to learn from; expected at least one noise-free image")
        self.shape = shape or _median_shape([pair.clean for pair in pairs if pair.clean])
        self._pairs = tuple(pairs)
        self._channels = channels
        self._cached: list[tuple[Picture, Picture | None]] = []
        capacity = min(len(pairs), _BUDGET // (2 * self.shape[0] * self.shape[1] * channels.depth))
        with ThreadPoolExecutor() as pool:
            for images in pool.map(self._read, range(capacity)):
                self._cached.append(images)
                if progress:
                    progress(len(self._cached), capacity)

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def kept(self) -> int:
        """Number of pairs in memory."""
        return len(self._cached)

    def draw(self, rng: np.random.Generator) -> Spoiled:
        """Sample a noisy image with its noise-free image: a pair of the sheet, or one with synthetic noise."""
        row = int(rng.integers(len(self)))
        clean, noisy = self._cached[row] if row < self.kept else self._read(row)
        kind = self._pairs[row].noise_type
        if noisy is not None and kind is not None and rng.random() < _PAIRS:
            turned_noisy, turned = augment([noisy, clean], rng)
            return _sheet_sample(turned_noisy, turned, kind)
        (turned,) = augment([clean], rng)
        varied = jitter(turned, rng) if rng.random() < _JITTERED else turned
        return spoil(scar(varied, rng) if rng.random() < _SCARRED else varied, rng)

    def _read(self, row: int) -> tuple[Picture, Picture | None]:
        pair = self._pairs[row]
        assert pair.clean, "pairs without a noise-free image were left out"
        noisy = imaging.load(pair.noisy, self._channels) if pair.noisy else None
        return _to_shape(imaging.load(pair.clean, self._channels), noisy, self.shape)


def pairs_of(sheet: Sheet, rows: Sequence[Row]) -> list[Pair]:
    """List the image pairs of some rows of a sheet."""
    return [
        Pair(
            clean=sheet.resolve(row.reference) if row.reference else None,
            noisy=sheet.resolve(row.noisy),
            noise_type=row.noise_type,
        )
        for row in rows
    ]


def channels_of(images: Sequence[Path]) -> Channels:
    """Choose grey if a sample of the images looks grey, even if the files have colour channels; else RGB."""
    for path in _sample(images):
        image = imaging.load(path, Channels.RGB).astype(np.float32)
        if float(np.abs(image - image.mean(axis=2, keepdims=True)).mean()) > _GREY:
            return Channels.RGB
    return Channels.GREY


def _sheet_sample(noisy: Picture, clean: Picture, kind: NoiseType) -> Spoiled:
    """Make a sample of a sheet's pair: the level of its noise type is unknown, those of the other types are 0."""
    return Spoiled(
        noisy,
        clean,
        kind,
        levels={each: None if each is kind else 0.0 for each in estimated_noises()},
        waves=None if kind is NoiseType.PERIODIC else np.zeros(clean.shape[:2], np.float32),
    )


def _sample(images: Sequence[Path]) -> Sequence[Path]:
    return images[:: max(1, len(images) // _SAMPLES)]


def _median_shape(images: Sequence[Path]) -> tuple[int, int]:
    sides = np.median([imaging.load(path, Channels.GREY).shape for path in _sample(images)], axis=0)
    height, width = np.clip(np.rint(sides / _MULTIPLE) * _MULTIPLE, 2 * _MULTIPLE, _LARGEST)
    return int(height), int(width)


def _to_shape(clean: Picture, noisy: Picture | None, shape: tuple[int, int]) -> tuple[Picture, Picture | None]:
    """Crop a pair to a shape, or resize its noise-free image and drop the noisy one."""
    height, width = shape
    if noisy is not None and noisy.shape == clean.shape and all(np.greater_equal(clean.shape[:2], shape)):
        top, left = (clean.shape[0] - height) // 2, (clean.shape[1] - width) // 2
        window = slice(top, top + height), slice(left, left + width)
        return clean[window].copy(), noisy[window].copy()  # a view would keep the whole of a large image in memory
    return imaging.resize(clean, height, width), None
