"""Fits the glance: from noisy pictures to what the backbone sees in the noise-free ones."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clearcast import imaging
from clearcast.imaging import Channels, Picture
from clearcast.models.glance import (
    CYCLES_UNIT,
    LEVEL_UNIT,
    TOLD,
    TURN_UNIT,
    WAVE_NUMBERS,
    Glance,
    about_noise,
    fit_into,
)
from clearcast.models.judge import extremes
from clearcast.noise.estimation import strongest_cycles
from clearcast.training.clear.gallery import Pair
from clearcast.training.clear.modules import AnnealedModule, mean_difference
from clearcast.training.clear.steps import EPOCH, fixed_loader, step_loader
from clearcast.training.datasets import Batch
from clearcast.training.fit import Fitted, Surroundings, fit_network
from clearcast.training.readings import channel_scale
from clearcast.training.recipe import Fit
from clearcast.training.scars import scar
from clearcast.training.seeing import Seen
from clearcast.training.synthesis import TYPES, spoil
from clearcast.training.views import vary

BATCH = 8  # pictures
RATE = 6e-4
_HELDOUT = 4  # batches
_SAMPLES = 128  # rows that tell how far features spread
_LEAST_SPREAD = 0.05  # of channels that hardly ever say anything
_PAIRS = 0.5  # probability that the picture as it is comes with the sheet's own noise
_SCARRED = 0.35  # probability of fine defects drawn onto a variation
_EXTREMES, _TYPE, _LEVEL = 0.3, 0.3, 0.3  # weights of losses beside those of the features
_FIELD, _LONGEST_FIELD = 128, 512  # pixels of the shorter and, at most, of the longer side that tell the strongest wave
_LARGEST = 1024  # pixels a side of pictures that are varied and spoiled: larger ones are shrunk first
_LEAST_WAVES = 1e-3  # root mean square on the 0..1 scale

Told = NDArray[np.float32]


class CleanViews:
    """Noise-free views of rows, by which the backbone teaches; see ``seeing.ViewOf``.

    View 0 is the picture as it is, the others are variations of it, some with fine defects drawn onto them.

    Args:
        pairs: the rows; each has a noise-free picture.
        channels: colour or grey.
        shape: (height, width) in pixels that pictures are looked at.
        seed: with row and view it decides every variation.
    """

    def __init__(self, pairs: Sequence[Pair], channels: Channels, shape: tuple[int, int], *, seed: int) -> None:
        self.pairs = pairs
        self.channels = channels
        self.shape = shape
        self._seed = seed

    def __call__(self, row: int, view: int) -> Picture:
        """A row's view, uint8 of the shape given; the same each time."""
        return at_shape(self.whole(row, view), self.shape)

    def whole(self, row: int, view: int) -> Picture:
        """The same at its own size, where noise is made."""
        path = self.pairs[row].clean
        assert path, "rows without a noise-free picture teach nothing here"
        clean = _bounded(imaging.load(path, self.channels))
        if view == 0:
            return clean
        rng = np.random.default_rng((self._seed, row, view))
        varied = vary(clean, rng)
        return scar(varied, rng) if rng.random() < _SCARRED else varied


class NoisyViews:
    """Views of rows for ``fit_judge``, that a judge at a glance learns from.

    View 0 is the noisy picture: what is judged on the line. View 1 is the noise-free one as it is, the others are
    variations with noise made anew. Where there is no noise-free picture, the noisy one stands for it.

    Args:
        pairs: the rows.
        channels: colour or grey.
        shape: (height, width) in pixels that pictures are looked at.
        seed: with row and view it decides every variation and noise.
    """

    def __init__(self, pairs: Sequence[Pair], channels: Channels, shape: tuple[int, int], *, seed: int) -> None:
        self._pairs = pairs
        self._channels = channels
        self._shape = shape
        self._seed = seed

    def __call__(self, row: int, view: int) -> Picture:
        """The picture of a row's view, uint8 of the shape given; the same each time."""
        pair = self._pairs[row]
        path = (pair.noisy or pair.clean) if view == 0 else (pair.clean or pair.noisy)
        assert path, "a pair has one picture at least"
        picture = imaging.load(path, self._channels)
        rng = np.random.default_rng((self._seed, row, view))
        if pair.clean and (view >= 2 or (view == 0 and not pair.noisy)):
            clean = _bounded(picture)
            picture = spoil(vary(clean, rng) if view >= 2 else clean, rng).noisy
        return at_shape(picture, self._shape)


class Spreads(NamedTuple):
    """How far features spread over pictures, by which their errors are measured.

    ``fine`` float (channels, 1, 1) and ``coarse``, ``extremes`` float (``judge.EXTREMES``,).
    """

    fine: Tensor
    coarse: Tensor
    extremes: Tensor


class GlanceModule(AnnealedModule):
    """Fits the glance: features by mean squared error, noise type by cross-entropy, levels by absolute error.

    A batch is: noisy, uint8 (batch, height, width, depth); what pixels tell of their noise, see ``about_noise``; what
    the backbone sees in the noise-free ones, float16, fine (batch, channels, h, w) and coarse, and their extremes,
    float; noise types, int64 (batch,); what is to be told, float (batch, ``TOLD``), NaN where it is not known.

    Args:
        spreads: see ``Spreads``.
    """

    memory_format = torch.channels_last
    network: Glance

    def __init__(self, network: Glance, spreads: Spreads, *, learning_rate: float, steps: int) -> None:
        super().__init__(network, learning_rate=learning_rate, steps=steps)
        for name, spread in spreads._asdict().items():
            self.register_buffer(f"spread_of_{name}", spread, persistent=False)

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, the error of the features as a share of their variance, and the accuracy of the noise type."""
        noisy, about, *wanted, kinds, told = batch
        seen = self.network(self.inputs(noisy), about)
        said = dict(zip(Spreads._fields, (*seen.features, extremes(seen.features)), strict=True))
        errors = {
            name: ((said[name] - target.float()) / self.get_buffer(f"spread_of_{name}")).square().mean()
            for name, target in zip(Spreads._fields, wanted, strict=True)
        }
        loss = errors["fine"] + errors["coarse"] + _EXTREMES * errors["extremes"]
        loss = loss + _TYPE * functional.cross_entropy(seen.scores, kinds) + _LEVEL * mean_difference(seen.told, told)
        accuracy = (seen.scores.argmax(dim=1) == kinds).float().mean()
        return {"loss": loss, "features": (errors["fine"] + errors["coarse"]) / 2, "noise_type": accuracy}


class Lessons:
    """Makes batches for ``GlanceModule``.

    Args:
        views: the noise-free pictures.
        seen: what the backbone sees of them, view by view.
    """

    def __init__(self, views: CleanViews, seen: Sequence[Seen]) -> None:
        self._views = views
        self.seen = seen

    def batch(self, rng: np.random.Generator) -> Batch:
        """See ``GlanceModule``."""
        pictures, about, rows, kinds, told = [], [], [], [], []
        view = int(rng.integers(len(self.seen)))  # one for all of a batch, whose features lie in one file
        for row in rng.integers(len(self._views.pairs), size=BATCH).tolist():
            noisy, kind, levels = self._draw(row, view, rng)
            pictures.append(at_shape(noisy, self._views.shape).reshape(*self._views.shape, -1))
            about.append(about_noise(planes(noisy))[0])
            rows.append(row)
            kinds.append(kind)
            told.append(levels)
        seen = self.seen[view]
        return (
            torch.from_numpy(np.stack(pictures)),
            torch.stack(about),
            torch.from_numpy(seen.fine[rows]),
            torch.from_numpy(seen.coarse[rows]),
            torch.from_numpy(seen.extremes[rows]),
            torch.tensor(kinds),
            torch.from_numpy(np.stack(told)),
        )

    def _draw(self, row: int, view: int, rng: np.random.Generator) -> tuple[Picture, int, Told]:
        pair = self._views.pairs[row]
        if view == 0 and pair.noisy and pair.noise_type and rng.random() < _PAIRS:
            noisy = imaging.load(pair.noisy, self._views.channels)
            return noisy, TYPES.index(pair.noise_type), np.full(TOLD, np.nan, np.float32)
        spoiled = spoil(self._views.whole(row, view), rng)
        assert spoiled.waves is not None
        told = _told(list(spoiled.levels.values()), spoiled.waves)
        return spoiled.noisy, TYPES.index(spoiled.noise_type), told


def fit_glance(glance: Glance, lessons: Lessons, folder: Path, *, steps: int, around: Surroundings) -> Fitted:
    """Fit the glance in a folder; goes on where an earlier call was stopped.

    Args:
        glance: not fitted yet; it is fitted in place.
        lessons: what it learns from.
        folder: for checkpoints.
        steps: a multiple of ``EPOCH``.
        around: the seed, and where the work is shown.

    Raises:
        OutputError: a checkpoint is damaged.
        KeyboardInterrupt: the user stopped it.
    """
    return fit_network(
        GlanceModule(glance, spreads_of(lessons.seen[0]), learning_rate=RATE, steps=steps),
        step_loader(lessons.batch, around.seed),
        fixed_loader(lessons.batch, around.seed, _HELDOUT),
        folder,
        settings=Fit(learning_rate=RATE, batch=BATCH, epochs=steps // EPOCH),
        title="Glance",
        around=around,
    )


def spreads_of(seen: Seen) -> Spreads:
    """How far spreads what the backbone sees."""
    _, spread = channel_scale(seen.features(np.arange(0, len(seen.fine), max(1, len(seen.fine) // _SAMPLES))))
    local, fine = spread[:, None, None] + _LEAST_SPREAD, seen.fine.shape[1]
    extreme = torch.from_numpy(seen.extremes.std(axis=0))
    return Spreads(local[:fine], local[fine:], extreme + 2 * _LEAST_SPREAD)


def _bounded(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    scale = _LARGEST / max(height, width)
    return imaging.resize(picture, round(scale * height), round(scale * width)) if scale < 1 else picture


def at_shape(picture: Picture, shape: tuple[int, int]) -> Picture:
    """A picture as the glance sees it, rounded to grey levels."""
    if picture.shape[:2] == shape:
        return picture
    fitted = fit_into(planes(picture), shape)[0].permute(1, 2, 0)
    return fitted.round().clamp(0, 255).to(torch.uint8).reshape(*shape, *picture.shape[2:]).numpy()


def planes(picture: Picture) -> Tensor:
    """A batch of one, float (1, depth, height, width) in 0..255."""
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).reshape(*picture.shape[:2], -1)
    return pixels.permute(2, 0, 1)[None].float()


def _told(levels: Sequence[float | None], waves: NDArray[np.float32]) -> Told:
    """The numbers of ``Glimpse.told``; NaN for the direction of waves that are not there."""
    told = np.full(TOLD, np.nan, np.float32)
    power = float(waves.std())
    told[: -len(WAVE_NUMBERS)] = np.array(levels, np.float64) / LEVEL_UNIT  # None becomes NaN
    told[-len(WAVE_NUMBERS)] = power / LEVEL_UNIT
    if power <= _LEAST_WAVES:
        return told
    rows, columns = (min(side, _LONGEST_FIELD, _FIELD * side // min(waves.shape)) for side in waves.shape)
    field = np.asarray(cv2.resize(waves, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
    found = strongest_cycles(field)
    if found and (cycles := math.hypot(*found[1:])):
        turn = 2 * math.atan2(*found[1:])
        told[1 - len(WAVE_NUMBERS) :] = (
            math.log2(cycles) / CYCLES_UNIT,
            TURN_UNIT * math.cos(turn),
            TURN_UNIT * math.sin(turn),
        )
    return told
