"""Distillation: fit the student encoder to extract from noisy images the backbone's features of noise-free ones."""

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

BATCH = 8  # images
RATE = 6e-4  # learning rate
_HELDOUT = 4  # batches
_SAMPLES = 128  # rows that feature scales are estimated from
_LEAST_SCALE = 0.05  # added to the scale of a channel, which may be nearly constant
_PAIRS = 0.5  # probability that an image without augmentation comes with the sheet's own noise
_SCARRED = 0.35  # probability of synthetic defects on an augmented image
_EXTREMES, _TYPE, _LEVEL = 0.3, 0.3, 0.3  # loss weights; those of the features are 1
_FIELD, _LONGEST_FIELD = 128, 512  # pixels of the shorter side and, at most, of the longer side to find the wave in
_LARGEST = 1024  # pixels a side; larger images are shrunk before augmentation and degradation
_LEAST_WAVES = 1e-3  # root mean square on the 0..1 scale below which periodic noise has no direction

NoiseLevels = NDArray[np.float32]


class CleanViews:
    """Noise-free views of rows, which the teacher extracts features from; see ``seeing.ViewOf``.

    View 0 is the image itself, the others are augmentations of it, some with synthetic defects.

    Args:
        pairs: the rows; each has a noise-free image.
        channels: colour or grey.
        shape: (height, width) in pixels that the student encodes images at.
        seed: decides the augmentation, together with row and view.
    """

    def __init__(self, pairs: Sequence[Pair], channels: Channels, shape: tuple[int, int], *, seed: int) -> None:
        self.pairs = pairs
        self.channels = channels
        self.shape = shape
        self._seed = seed

    def __call__(self, row: int, view: int) -> Picture:
        """Make a view of a row, uint8 of the given shape; the same at each call."""
        return at_shape(self.full_size(row, view), self.shape)

    def full_size(self, row: int, view: int) -> Picture:
        """Make a view of a row at the image's own size, at which noise is added."""
        path = self.pairs[row].clean
        assert path, "distillation needs a noise-free image of each row"
        clean = _bounded(imaging.load(path, self.channels))
        if view == 0:
            return clean
        rng = np.random.default_rng((self._seed, row, view))
        varied = vary(clean, rng)
        return scar(varied, rng) if rng.random() < _SCARRED else varied


class NoisyViews:
    """Noisy views of rows for ``fit_judge``, to fit a student classifier.

    View 0 is the noisy image, as in inspection. View 1 is the noise-free image, the others are augmentations of it with
    synthetic noise. Without a noise-free image, the noisy image takes its place.

    Args:
        pairs: the rows.
        channels: colour or grey.
        shape: (height, width) in pixels that the student encodes images at.
        seed: decides augmentation and noise, together with row and view.
    """

    def __init__(self, pairs: Sequence[Pair], channels: Channels, shape: tuple[int, int], *, seed: int) -> None:
        self._pairs = pairs
        self._channels = channels
        self._shape = shape
        self._seed = seed

    def __call__(self, row: int, view: int) -> Picture:
        """Make a view of a row, uint8 of the given shape; the same at each call."""
        pair = self._pairs[row]
        path = (pair.noisy or pair.clean) if view == 0 else (pair.clean or pair.noisy)
        assert path, "a pair has at least one image"
        image = imaging.load(path, self._channels)
        rng = np.random.default_rng((self._seed, row, view))
        if pair.clean and (view >= 2 or (view == 0 and not pair.noisy)):
            clean = _bounded(image)
            image = spoil(vary(clean, rng) if view >= 2 else clean, rng).noisy
        return at_shape(image, self._shape)


class Spreads(NamedTuple):
    """Feature scales: standard deviations over images, by which feature errors are divided.

    ``fine`` and ``coarse`` float (channels, 1, 1), ``extremes`` float (``judge.EXTREMES``,).
    """

    fine: Tensor
    coarse: Tensor
    extremes: Tensor


class GlanceModule(AnnealedModule):
    """Fits the student encoder.

    The loss is the mean squared error of the scaled features, the cross-entropy of the noise type and the mean absolute
    error of the noise levels.

    A batch is: noisy images, uint8 (batch, height, width, depth); their noise statistics, see ``about_noise``; the
    teacher's features of the noise-free images, float16, fine and coarse (batch, channels, h, w), and their extremes,
    float; noise types, int64 (batch,); noise levels, float (batch, ``TOLD``), NaN if unknown.

    Args:
        network: the student encoder.
        spreads: scales of the teacher's features.
        learning_rate, steps: see ``AnnealedModule``.
    """

    memory_format = torch.channels_last
    network: Glance

    def __init__(self, network: Glance, spreads: Spreads, *, learning_rate: float, steps: int) -> None:
        super().__init__(network, learning_rate=learning_rate, steps=steps)
        for name, scale in spreads._asdict().items():
            self.register_buffer(f"scale_of_{name}", scale, persistent=False)

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss, the error of the features as a share of their variance, and the noise type's accuracy."""
        noisy, noise_statistics, *targets, kinds, levels = batch
        output = self.network(self.inputs(noisy), noise_statistics)
        features = dict(zip(Spreads._fields, (*output.features, extremes(output.features)), strict=True))
        errors = {
            name: ((features[name] - target.float()) / self.get_buffer(f"scale_of_{name}")).square().mean()
            for name, target in zip(Spreads._fields, targets, strict=True)
        }
        loss = errors["fine"] + errors["coarse"] + _EXTREMES * errors["extremes"]
        loss = loss + _TYPE * functional.cross_entropy(output.scores, kinds)
        loss = loss + _LEVEL * mean_difference(output.raw_levels, levels)
        accuracy = (output.scores.argmax(dim=1) == kinds).float().mean()
        return {"loss": loss, "features": (errors["fine"] + errors["coarse"]) / 2, "noise_type": accuracy}


class Lessons:
    """Distillation batches for ``GlanceModule``.

    Args:
        views: the noise-free images.
        features: the teacher's features of them, view by view.
    """

    def __init__(self, views: CleanViews, features: Sequence[Seen]) -> None:
        self._views = views
        self.features = features

    def batch(self, rng: np.random.Generator) -> Batch:
        """Make a batch; see ``GlanceModule``."""
        images, noise_statistics, rows, kinds, levels = [], [], [], [], []
        view = int(rng.integers(len(self.features)))  # one for the whole batch, whose features are in one file
        for row in rng.integers(len(self._views.pairs), size=BATCH).tolist():
            noisy, kind, row_levels = self._sample(row, view, rng)
            images.append(at_shape(noisy, self._views.shape).reshape(*self._views.shape, -1))
            noise_statistics.append(about_noise(planes(noisy))[0])
            rows.append(row)
            kinds.append(kind)
            levels.append(row_levels)
        targets = self.features[view]
        return (
            torch.from_numpy(np.stack(images)),
            torch.stack(noise_statistics),
            torch.from_numpy(targets.fine[rows]),
            torch.from_numpy(targets.coarse[rows]),
            torch.from_numpy(targets.extremes[rows]),
            torch.tensor(kinds),
            torch.from_numpy(np.stack(levels)),
        )

    def _sample(self, row: int, view: int, rng: np.random.Generator) -> tuple[Picture, int, NoiseLevels]:
        """Sample a noisy image at full size, the index of its noise type, and its noise levels."""
        pair = self._views.pairs[row]
        if view == 0 and pair.noisy and pair.noise_type and rng.random() < _PAIRS:
            noisy = imaging.load(pair.noisy, self._views.channels)
            return noisy, TYPES.index(pair.noise_type), np.full(TOLD, np.nan, np.float32)
        sample = spoil(self._views.full_size(row, view), rng)
        assert sample.waves is not None
        levels = _level_targets(list(sample.levels.values()), sample.waves)
        return sample.noisy, TYPES.index(sample.noise_type), levels


def fit_glance(glance: Glance, lessons: Lessons, folder: Path, *, steps: int, config: Surroundings) -> Fitted:
    """Fit the student encoder in ``folder``; resumes an interrupted call.

    Args:
        glance: fitted in place.
        lessons: the batches to learn from.
        folder: for checkpoints.
        steps: a multiple of ``EPOCH``.
        config: of the trainer.

    Raises:
        OutputError: a checkpoint is damaged.
        KeyboardInterrupt: the user stopped it.
    """
    return fit_network(
        GlanceModule(glance, spreads_of(lessons.features[0]), learning_rate=RATE, steps=steps),
        step_loader(lessons.batch, config.seed),
        fixed_loader(lessons.batch, config.seed, _HELDOUT),
        folder,
        settings=Fit(learning_rate=RATE, batch=BATCH, epochs=steps // EPOCH),
        title="Student encoder",
        config=config,
    )


def spreads_of(features: Seen) -> Spreads:
    """Estimate the scales of cached features."""
    rows = len(features.fine)
    _, deviation = channel_scale(features.features(np.arange(0, rows, max(1, rows // _SAMPLES))))
    local, fine = deviation[:, None, None] + _LEAST_SCALE, features.fine.shape[1]
    extreme = torch.from_numpy(features.extremes.std(axis=0))
    return Spreads(local[:fine], local[fine:], extreme + 2 * _LEAST_SCALE)


def _bounded(image: Picture) -> Picture:
    height, width = image.shape[:2]
    scale = _LARGEST / max(height, width)
    return imaging.resize(image, round(scale * height), round(scale * width)) if scale < 1 else image


def at_shape(image: Picture, shape: tuple[int, int]) -> Picture:
    """Resize an image as the student classifier does, and round to grey levels."""
    if image.shape[:2] == shape:
        return image
    resized = fit_into(planes(image), shape)[0].permute(1, 2, 0)
    return resized.round().clamp(0, 255).to(torch.uint8).reshape(*shape, *image.shape[2:]).numpy()


def planes(image: Picture) -> Tensor:
    """Convert an image to a batch of one, float (1, depth, height, width) in 0..255."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).reshape(*image.shape[:2], -1)
    return pixels.permute(2, 0, 1)[None].float()


def _level_targets(noise_levels: Sequence[float | None], waves: NDArray[np.float32]) -> NoiseLevels:
    """Compute the targets of ``Glimpse.raw_levels``; the direction is NaN without periodic noise."""
    levels = np.full(TOLD, np.nan, np.float32)
    power = float(waves.std())
    levels[: -len(WAVE_NUMBERS)] = np.array(noise_levels, np.float64) / LEVEL_UNIT  # None becomes NaN
    levels[-len(WAVE_NUMBERS)] = power / LEVEL_UNIT
    if power <= _LEAST_WAVES:
        return levels
    rows, columns = (min(side, _LONGEST_FIELD, _FIELD * side // min(waves.shape)) for side in waves.shape)
    field = np.asarray(cv2.resize(waves, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
    found = strongest_cycles(field)
    if found and (cycles := math.hypot(*found[1:])):
        turn = 2 * math.atan2(*found[1:])
        levels[1 - len(WAVE_NUMBERS) :] = (
            math.log2(cycles) / CYCLES_UNIT,
            TURN_UNIT * math.cos(turn),
            TURN_UNIT * math.sin(turn),
        )
    return levels
