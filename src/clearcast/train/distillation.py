"""Distillation: fit the student encoder to extract from noisy images the teacher's features of noise-free ones.

The teacher is the whole backbone. Its features come from a feature cache of noise-free views; each batch pairs them
with noisy versions of the same views.
"""

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

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.nn.defect_classifier import minmax_pool
from clearcast.nn.student import (
    CYCLES_UNIT,
    RAW_LEVELS,
    STUDENT_LEVEL_UNIT,
    TURN_UNIT,
    WAVE_NUMBERS,
    StudentEncoder,
    noise_statistics_of,
    resize_linear,
)
from clearcast.noise.estimation import find_strongest_cycles
from clearcast.synth.augmentation import TRAINED_NOISE_TYPES, add_synthetic_defects, augment_image, degrade
from clearcast.train.datasets import EPOCH_STEPS, TensorBatch, heldout_loader, step_loader
from clearcast.train.denoiser_training import AnnealedModule, masked_mean_absolute_error
from clearcast.train.feature_cache import CachedFeatures
from clearcast.train.linear_probes import channel_moments
from clearcast.train.paired_images import ImagePair
from clearcast.train.recipe import FitSettings
from clearcast.train.trainer import FitRecord, TrainerConfig, fit_network

DISTILLATION_BATCH = 8  # images
DISTILLATION_RATE = 6e-4  # learning rate
_HELDOUT = 4  # batches
_SAMPLES = 128  # rows that feature scales are estimated from
_MIN_SCALE = 0.05  # added to the scale of a channel, which may be nearly constant
_SHEET_PAIR = 0.5  # probability that an image without augmentation comes with the sheet's own noise
_DEFECTS = 0.35  # probability of synthetic defects on an augmented image
_EXTREMES, _TYPE, _LEVEL = 0.3, 0.3, 0.3  # loss weights; those of the features are 1
_WAVES_SIDE = 128  # pixels of the shorter side that waves are resized to, to find the strongest
_MAX_WAVES_SIDE = 512  # pixels of the longer side, at most
_LARGEST = 1024  # pixels a side; larger images are shrunk before augmentation and degradation
_MIN_WAVES = 1e-3  # root mean square on the 0..1 scale below which periodic noise has no direction

_NoiseLevels = NDArray[np.float32]
"""Targets of ``StudentOutput.raw_levels``, float32 (``RAW_LEVELS``,); NaN if unknown."""


class NoiseFreeViews:
    """Noise-free views of rows, which the teacher extracts features from; a ``MakeView``.

    View 0 is the image itself, the others are augmentations of it, some with synthetic defects.

    Args:
        pairs: the rows; each has a noise-free image.
        channels: colour or grey.
        shape: (height, width) in pixels that the student encodes images at.
        seed: decides the augmentation, together with row and view.
    """

    def __init__(self, pairs: Sequence[ImagePair], channels: Channels, shape: tuple[int, int], *, seed: int) -> None:
        self.pairs = pairs
        self.channels = channels
        self.shape = shape
        self._seed = seed

    def __call__(self, row: int, view: int) -> ImageArray:
        """Make a view of a row, uint8 of the given shape; the same at each call."""
        return resize_for_student(self.full_size(row, view), self.shape)

    def full_size(self, row: int, view: int) -> ImageArray:
        """Make a view of a row at the image's own size, at which noise is added."""
        path = self.pairs[row].noise_free
        assert path, "distillation needs a noise-free image of each row"
        noise_free = _limit_size(imaging.load_image(path, self.channels))
        if view == 0:
            return noise_free
        rng = np.random.default_rng((self._seed, row, view))
        augmented = augment_image(noise_free, rng)
        return add_synthetic_defects(augmented, rng) if rng.random() < _DEFECTS else augmented


class NoisyViews:
    """Noisy views of rows for ``fit_defect_head``, to fit a student classifier.

    View 0 is the noisy image, as in inspection. View 1 is the noise-free image, the others are augmentations of it with
    synthetic noise. Without a noise-free image, the noisy image takes its place.

    Args:
        pairs: the rows.
        channels: colour or grey.
        shape: (height, width) in pixels that the student encodes images at.
        seed: decides augmentation and noise, together with row and view.
    """

    def __init__(self, pairs: Sequence[ImagePair], channels: Channels, shape: tuple[int, int], *, seed: int) -> None:
        self._pairs = pairs
        self._channels = channels
        self._shape = shape
        self._seed = seed

    def __call__(self, row: int, view: int) -> ImageArray:
        """Make a view of a row, uint8 of the given shape; the same at each call."""
        pair = self._pairs[row]
        path = (pair.noisy or pair.noise_free) if view == 0 else (pair.noise_free or pair.noisy)
        assert path, "a pair has at least one image"
        image = imaging.load_image(path, self._channels)
        rng = np.random.default_rng((self._seed, row, view))
        if pair.noise_free and (view >= 2 or (view == 0 and not pair.noisy)):
            noise_free = _limit_size(image)
            image = degrade(augment_image(noise_free, rng) if view >= 2 else noise_free, rng).noisy
        return resize_for_student(image, self._shape)


class FeatureScales(NamedTuple):
    """Feature scales: standard deviations over images, by which feature errors are divided.

    ``fine`` and ``coarse`` float (channels, 1, 1), ``extremes`` float (``EXTREME_FEATURES``,).
    """

    fine: Tensor
    coarse: Tensor
    extremes: Tensor


class StudentModule(AnnealedModule):
    """Fits the student encoder.

    The loss is the mean squared error of the scaled features, the cross-entropy of the noise type and the mean absolute
    error of the noise levels.

    A batch is: noisy images, uint8 (batch, height, width, depth); their noise statistics, see ``noise_statistics_of``;
    the teacher's features of the noise-free images, float16, fine and coarse (batch, channels, h, w), and their
    extremes, float; noise types, int64 (batch,); noise levels, float (batch, ``RAW_LEVELS``), NaN if unknown.

    Args:
        network: the student encoder.
        feature_scales: of the teacher's features.
        learning_rate, steps: see ``AnnealedModule``.
    """

    memory_format = torch.channels_last
    network: StudentEncoder

    def __init__(
        self, network: StudentEncoder, feature_scales: FeatureScales, *, learning_rate: float, steps: int
    ) -> None:
        super().__init__(network, learning_rate=learning_rate, steps=steps)
        for name, scale in feature_scales._asdict().items():
            self.register_buffer(f"scale_of_{name}", scale, persistent=False)

    def compute_metrics(self, batch: TensorBatch) -> dict[str, Tensor]:
        """Compute the loss, the error of the features as a share of their variance, and the noise type's accuracy."""
        noisy, noise_statistics, *targets, noise_types, levels = batch
        output = self.network(self.inputs(noisy), noise_statistics)
        features = dict(zip(FeatureScales._fields, (*output.features, minmax_pool(output.features)), strict=True))
        errors = {
            name: ((features[name] - target.float()) / self.get_buffer(f"scale_of_{name}")).square().mean()
            for name, target in zip(FeatureScales._fields, targets, strict=True)
        }
        loss = errors["fine"] + errors["coarse"] + _EXTREMES * errors["extremes"]
        loss = loss + _TYPE * functional.cross_entropy(output.scores, noise_types)
        loss = loss + _LEVEL * masked_mean_absolute_error(output.raw_levels, levels)
        accuracy = (output.scores.argmax(dim=1) == noise_types).float().mean()
        return {"loss": loss, "features": (errors["fine"] + errors["coarse"]) / 2, "noise_type": accuracy}


class DistillationBatches:
    """Distillation batches for ``StudentModule``.

    Args:
        views: the noise-free images.
        features: the teacher's features of them, view by view.
    """

    def __init__(self, views: NoiseFreeViews, features: Sequence[CachedFeatures]) -> None:
        self._views = views
        self.features = features

    def batch(self, rng: np.random.Generator) -> TensorBatch:
        """Make a batch; see ``StudentModule``."""
        images, noise_statistics, rows, noise_types, levels = [], [], [], [], []
        view = int(rng.integers(len(self.features)))  # one for the whole batch, whose features are in one file
        for row in rng.integers(len(self._views.pairs), size=DISTILLATION_BATCH).tolist():
            noisy, noise_type, row_levels = self._sample(row, view, rng)
            images.append(resize_for_student(noisy, self._views.shape).reshape(*self._views.shape, -1))
            noise_statistics.append(noise_statistics_of(_to_planes(noisy))[0])
            rows.append(row)
            noise_types.append(noise_type)
            levels.append(row_levels)
        targets = self.features[view]
        return (
            torch.from_numpy(np.stack(images)),
            torch.stack(noise_statistics),
            torch.from_numpy(targets.fine[rows]),
            torch.from_numpy(targets.coarse[rows]),
            torch.from_numpy(targets.extremes[rows]),
            torch.tensor(noise_types),
            torch.from_numpy(np.stack(levels)),
        )

    def _sample(self, row: int, view: int, rng: np.random.Generator) -> tuple[ImageArray, int, _NoiseLevels]:
        """Sample a noisy image at full size, the index of its noise type, and its noise levels."""
        pair = self._views.pairs[row]
        if view == 0 and pair.noisy and pair.noise_type and rng.random() < _SHEET_PAIR:
            noisy = imaging.load_image(pair.noisy, self._views.channels)
            return noisy, TRAINED_NOISE_TYPES.index(pair.noise_type), np.full(RAW_LEVELS, np.nan, np.float32)
        sample = degrade(self._views.full_size(row, view), rng)
        assert sample.waves is not None
        levels = _level_targets(list(sample.levels.values()), sample.waves)
        return sample.noisy, TRAINED_NOISE_TYPES.index(sample.noise_type), levels


def fit_student(
    student: StudentEncoder, batches: DistillationBatches, folder: Path, *, steps: int, config: TrainerConfig
) -> FitRecord:
    """Fit the student encoder in ``folder``; resumes an interrupted call.

    Args:
        student: fitted in place.
        batches: the batches to learn from.
        folder: for checkpoints.
        steps: a multiple of ``EPOCH_STEPS``.
        config: of the trainer.

    Raises:
        OutputError: a checkpoint is damaged.
        KeyboardInterrupt: the user stopped it.
    """
    return fit_network(
        StudentModule(
            student, estimate_feature_scales(batches.features[0]), learning_rate=DISTILLATION_RATE, steps=steps
        ),
        step_loader(batches.batch, config.seed),
        heldout_loader(batches.batch, config.seed, _HELDOUT),
        folder,
        settings=FitSettings(learning_rate=DISTILLATION_RATE, batch=DISTILLATION_BATCH, epochs=steps // EPOCH_STEPS),
        title="Student encoder",
        config=config,
    )


def estimate_feature_scales(features: CachedFeatures) -> FeatureScales:
    """Estimate the scales of cached features."""
    rows = len(features.fine)
    _, deviation = channel_moments(features.features(np.arange(0, rows, max(1, rows // _SAMPLES))))
    scales, fine = deviation[:, None, None] + _MIN_SCALE, features.fine.shape[1]
    extremes = torch.from_numpy(features.extremes.std(axis=0))
    return FeatureScales(scales[:fine], scales[fine:], extremes + 2 * _MIN_SCALE)


def _limit_size(image: ImageArray) -> ImageArray:
    """Shrink an image that is larger than ``_LARGEST`` on a side."""
    height, width = image.shape[:2]
    scale = _LARGEST / max(height, width)
    return imaging.resize_image(image, round(scale * height), round(scale * width)) if scale < 1 else image


def resize_for_student(image: ImageArray, shape: tuple[int, int]) -> ImageArray:
    """Resize an image as the student classifier does, and round to grey levels."""
    if image.shape[:2] == shape:
        return image
    resized = resize_linear(_to_planes(image), shape)[0].permute(1, 2, 0)
    return resized.round().clamp(0, 255).to(torch.uint8).reshape(*shape, *image.shape[2:]).numpy()


def _to_planes(image: ImageArray) -> Tensor:
    """Convert an image to a batch of one, float (1, depth, height, width) in 0..255."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).reshape(*image.shape[:2], -1)
    return pixels.permute(2, 0, 1)[None].float()


def _level_targets(noise_levels: Sequence[float | None], waves: NDArray[np.float32]) -> _NoiseLevels:
    """Compute the targets of ``StudentOutput.raw_levels``; the direction is NaN without periodic noise."""
    levels = np.full(RAW_LEVELS, np.nan, np.float32)
    power = float(waves.std())
    levels[: -len(WAVE_NUMBERS)] = np.array(noise_levels, np.float64) / STUDENT_LEVEL_UNIT  # None becomes NaN
    levels[-len(WAVE_NUMBERS)] = power / STUDENT_LEVEL_UNIT
    if power <= _MIN_WAVES:
        return levels
    rows, columns = (min(side, _MAX_WAVES_SIDE, _WAVES_SIDE * side // min(waves.shape)) for side in waves.shape)
    resized = np.asarray(cv2.resize(waves, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
    strongest = find_strongest_cycles(resized)
    if strongest and (cycles := math.hypot(*strongest[1:])):
        turn = 2 * math.atan2(*strongest[1:])
        levels[1 - len(WAVE_NUMBERS) :] = (
            math.log2(cycles) / CYCLES_UNIT,
            TURN_UNIT * math.cos(turn),
            TURN_UNIT * math.sin(turn),
        )
    return levels
