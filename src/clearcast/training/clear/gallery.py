"""The pictures that recipe ``clear`` learns from: noise-free ones, and their noisy counterparts where there are any."""

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

_BUDGET = 2 * 1024**3  # bytes of decoded pictures that are kept in memory
_LARGEST = 1024  # pixels a side: of larger pictures a window is learned from, which shows the same noise
_MULTIPLE = 32
_GREY = 2.0  # mean difference of channels, in grey levels, up to which a colour file shows a grey picture
_SAMPLES = 32  # about so many pictures tell the shape and the channels of all
_PAIRS, _JITTERED, _SCARRED = 0.25, 0.6, 0.35  # probabilities


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One row to learn from: a noise-free picture, its noisy counterpart with its noise type, or both."""

    clean: Path | None = None
    noisy: Path | None = None
    noise_type: NoiseType | None = None


class Gallery:
    """Pictures of one shape, and views of them: as the sheet has them, or with noise made anew.

    As many are kept decoded as fit into 2 GB; the others are decoded whenever they are drawn, which takes longer and
    changes nothing else.

    The shape is the median of some of the pictures' own, at most 1024 a side. A noise-free picture of another shape is
    resized; a pair is cut, if it is larger, since resizing would change its noise, and else only its noise-free half is
    used.

    Args:
        pairs: what to learn from; those without a noise-free picture are left out.
        channels: colour or grey.
        shape: (height, width) in pixels, in place of the median.
        progress: called with (done, all) while the pictures that are kept are decoded.

    Raises:
        SheetError: there is no noise-free picture.
        PictureError: a picture cannot be used.
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
            raise SheetError("no picture to learn from; needed is one noise-free picture at least")
        self.shape = shape or _median_shape([pair.clean for pair in pairs if pair.clean])
        self._pairs = tuple(pairs)
        self._channels = channels
        self._kept: list[tuple[Picture, Picture | None]] = []
        room = min(len(pairs), _BUDGET // (2 * self.shape[0] * self.shape[1] * channels.depth))
        with ThreadPoolExecutor() as pool:
            for view in pool.map(self._read, range(room)):
                self._kept.append(view)
                if progress:
                    progress(len(self._kept), room)

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def kept(self) -> int:
        """How many of the pictures are in memory."""
        return len(self._kept)

    def draw(self, rng: np.random.Generator) -> Spoiled:
        """One view of a picture drawn by chance: a pair of the sheet, or noise made anew."""
        row = int(rng.integers(len(self)))
        clean, noisy = self._kept[row] if row < self.kept else self._read(row)
        kind = self._pairs[row].noise_type
        if noisy is not None and kind is not None and rng.random() < _PAIRS:
            turned_noisy, turned = augment([noisy, clean], rng)
            return _known(turned_noisy, turned, kind)
        (turned,) = augment([clean], rng)
        varied = jitter(turned, rng) if rng.random() < _JITTERED else turned
        return spoil(scar(varied, rng) if rng.random() < _SCARRED else varied, rng)

    def _read(self, row: int) -> tuple[Picture, Picture | None]:
        pair = self._pairs[row]
        assert pair.clean, "others were left out"
        noisy = imaging.load(pair.noisy, self._channels) if pair.noisy else None
        return _fit(imaging.load(pair.clean, self._channels), noisy, self.shape)


def pairs_of(sheet: Sheet, rows: Sequence[Row]) -> list[Pair]:
    """The pictures of some rows of a sheet."""
    return [
        Pair(
            clean=sheet.resolve(row.reference) if row.reference else None,
            noisy=sheet.resolve(row.noisy),
            noise_type=row.noise_type,
        )
        for row in rows
    ]


def channels_of(pictures: Sequence[Path]) -> Channels:
    """Grey, if the pictures look grey, though their files may have colour; judged by some of them."""
    for path in _some(pictures):
        picture = imaging.load(path, Channels.RGB).astype(np.float32)
        if float(np.abs(picture - picture.mean(axis=2, keepdims=True)).mean()) > _GREY:
            return Channels.RGB
    return Channels.GREY


def _known(noisy: Picture, clean: Picture, kind: NoiseType) -> Spoiled:
    """A pair of a sheet: what is not its noise type's own level is known to be none, and its own is not known."""
    return Spoiled(
        noisy,
        clean,
        kind,
        levels={each: None if each is kind else 0.0 for each in estimated_noises()},
        waves=None if kind is NoiseType.PERIODIC else np.zeros(clean.shape[:2], np.float32),
    )


def _some(pictures: Sequence[Path]) -> Sequence[Path]:
    return pictures[:: max(1, len(pictures) // _SAMPLES)]


def _median_shape(pictures: Sequence[Path]) -> tuple[int, int]:
    sides = np.median([imaging.load(path, Channels.GREY).shape for path in _some(pictures)], axis=0)
    height, width = np.clip(np.rint(sides / _MULTIPLE) * _MULTIPLE, 2 * _MULTIPLE, _LARGEST)
    return int(height), int(width)


def _fit(clean: Picture, noisy: Picture | None, shape: tuple[int, int]) -> tuple[Picture, Picture | None]:
    height, width = shape
    if noisy is not None and noisy.shape == clean.shape and all(np.greater_equal(clean.shape[:2], shape)):
        top, left = (clean.shape[0] - height) // 2, (clean.shape[1] - width) // 2
        window = slice(top, top + height), slice(left, left + width)
        return clean[window].copy(), noisy[window].copy()  # a view would keep the whole of a large picture in memory
    return imaging.resize(clean, height, width), None
