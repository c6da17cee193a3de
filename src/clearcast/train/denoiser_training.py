"""Fitting of the denoiser of recipe ``clear``: global encoder first, then detail U-Net.

Lightning modules with the losses and the learning-rate schedule, the batches, and the functions that fit.
"""

import math
import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.nn.blocks import resize_area, to_luma
from clearcast.nn.denoiser import ClearDenoiser, DetailUNet, GlobalEncoder, enlarge_context
from clearcast.nn.noise_heads import THUMBNAIL_SIDE
from clearcast.nn.weights import accept_renamed_weights
from clearcast.synth.augmentation import TRAINED_NOISE_TYPES, DegradedSample
from clearcast.train.datasets import EPOCH_STEPS, TensorBatch, heldout_loader, step_loader
from clearcast.train.modules import TrainingModule, images_to_float
from clearcast.train.paired_images import PairedImageCache
from clearcast.train.recipe import FitSettings
from clearcast.train.trainer import FitRecord, TrainerConfig, fit_network, is_fitted

_GLOBAL_BATCH, _DETAIL_BATCH = 8, 4  # images
_CROPS_PER_IMAGE = 4
_CROP_SIDE = 160  # pixels a side, at most
_RATE = 2e-3  # learning rate
_HELDOUT = 4  # batches
_WARMUP = 100  # steps
_FINAL_SHARE = 0.02  # of the learning rate, at the last step
_WEIGHT_DECAY, _GRADIENT_NORM = 1e-4, 0.5
_TYPE_WEIGHT, _LEVEL_WEIGHT = 0.02, 0.2  # loss weights; that of the images is 1
_MSE_FLOOR = 1e-5  # mean squared error, 50 dB, below which a crop hardly counts
_PSNR_FLOOR = 1e-10  # mean squared error, 100 dB, the highest PSNR that is logged


class AnnealedModule(TrainingModule):
    """AdamW with linear warm-up and cosine decay to the planned last step."""

    own_batches = True

    def __init__(self, network: nn.Module, *, learning_rate: float, steps: int) -> None:
        super().__init__(network, learning_rate=learning_rate)
        self.steps = steps

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer; called by Lightning."""
        return torch.optim.AdamW(
            self.network.parameters(), lr=self.learning_rate, weight_decay=_WEIGHT_DECAY, fused=True
        )

    def on_train_batch_start(self, batch: TensorBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Set the learning rate from the step alone, so that a resumed run has the same; called by Lightning."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.learning_rate * self._schedule(self.global_step)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: object, **__: object) -> None:
        """Clip the gradient norm, so that a rare image cannot ruin the weights; called by Lightning."""
        parameters = [value for group in optimizer.param_groups for value in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, _GRADIENT_NORM)

    def _schedule(self, step: int) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(step / self.steps, 1)))
        return min(1.0, (step + 1) / _WARMUP) * (_FINAL_SHARE + (1 - _FINAL_SHARE) * cosine)


class GlobalEncoderModule(AnnealedModule):
    """Fits the global encoder.

    The loss is the mean absolute error of periodic noise, denoised thumbnail and noise levels, and the cross-entropy of
    the noise type.

    A batch is: noisy and noise-free images, uint8 (batch, height, width, depth); periodic noise, float (batch, 1, side,
    side) with side ``THUMBNAIL_SIDE``, NaN if unknown; noise types, int64 (batch,); noise levels, float (batch, 2), NaN
    if unknown.
    """

    network: GlobalEncoder

    def compute_metrics(self, batch: TensorBatch) -> dict[str, Tensor]:
        """Compute the loss, the accuracy of the noise type, and the mean absolute error of known periodic noise."""
        noisy, noise_free, waves, noise_types, levels = batch
        output = self.network(to_luma(self.inputs(noisy)))
        thumbnail = resize_area(to_luma(images_to_float(noise_free)), THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        loss = masked_mean_absolute_error(output.waves, waves) + (output.thumbnail - thumbnail).abs().mean()
        loss = loss + _TYPE_WEIGHT * functional.cross_entropy(output.scores, noise_types)
        loss = loss + _LEVEL_WEIGHT * masked_mean_absolute_error(output.levels, levels)
        accuracy = (output.scores.argmax(dim=1) == noise_types).float().mean()
        return {"loss": loss, "noise_type": accuracy, "waves": masked_mean_absolute_error(output.waves, waves)}


class DetailUNetModule(AnnealedModule):
    """Fits the detail U-Net on crops, by the logarithm of the mean squared error, which maximises PSNR.

    A batch is: noisy and noise-free images, uint8 (batch, height, width, depth); the corners of the crops that are cut
    from each image, int64 (crops, 2), in pixels.

    Args:
        network: the detail U-Net.
        global_encoder: fitted; it is not changed.
        learning_rate, steps: see ``AnnealedModule``.
        crop: pixels a side.
    """

    memory_format = torch.channels_last
    network: DetailUNet

    def __init__(
        self, network: DetailUNet, global_encoder: GlobalEncoder, *, learning_rate: float, steps: int, crop: int
    ) -> None:
        super().__init__(network, learning_rate=learning_rate, steps=steps)
        self.global_encoder = global_encoder.eval().requires_grad_(False)
        self.crop = crop
        accept_renamed_weights(self, {"survey": "global_encoder"})

    def compute_metrics(self, batch: TensorBatch) -> dict[str, Tensor]:
        """Compute the loss, and PSNR in dB as a mean over crops."""
        noisy, noise_free, corners = batch
        images, targets = self.inputs(noisy), images_to_float(noise_free)
        with torch.no_grad():
            context = self.global_encoder(to_luma(images))
            waves, thumbnail = enlarge_context(context, *images.shape[-2:])
        cropped = [self._crops(each, corners) for each in (images, waves, thumbnail)]
        denoised = self.network(*cropped, context.conditioning.repeat(len(corners), 1))
        error = (denoised - self._crops(targets, corners)).square().mean(dim=(1, 2, 3))
        loss = (error + _MSE_FLOOR).log10().mean()
        return {"loss": loss, "psnr": -10 * error.detach().clamp(min=_PSNR_FLOOR).log10().mean()}

    def shard(self, batch: TensorBatch, number: int, total: int) -> TensorBatch:
        """Take one process's shard of the images, with all of their crops."""
        noisy, noise_free, corners = batch
        return *super().shard((noisy, noise_free), number, total), corners

    def _crops(self, images: Tensor, corners: Tensor) -> Tensor:
        """Cut crops at the corners: (batch, channels, height, width) to (crops * batch, channels, crop, crop)."""
        cropped = [images[..., y : y + self.crop, x : x + self.crop] for y, x in corners.tolist()]
        return torch.cat(cropped).contiguous(memory_format=self.memory_format)


def masked_mean_absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the mean absolute error over known targets; NaN marks unknown ones, which give no gradient."""
    unknown = target.isnan()
    filled = torch.where(unknown, prediction.detach(), target)
    return (prediction - filled).abs().sum() / (~unknown).sum().clamp(min=1)


def fit_clear_denoiser(
    denoiser: ClearDenoiser,
    training: PairedImageCache,
    heldout: PairedImageCache,
    folder: Path,
    *,
    global_steps: int,
    detail_steps: int,
    config: TrainerConfig,
) -> tuple[FitRecord, FitRecord]:
    """Fit global encoder and detail U-Net in subfolders of ``folder``; resumes an interrupted call.

    Args:
        denoiser: fitted in place.
        training: images to learn from.
        heldout: images of the same shape that only monitor the fit; without validation rows, the training images.
        folder: for checkpoints.
        global_steps, detail_steps: of each network, multiples of ``EPOCH_STEPS``.
        config: of the trainer.

    Raises:
        OutputError: a checkpoint is damaged.
        KeyboardInterrupt: the user stopped it.
    """
    if not is_fitted(folder / "survey"):  # a detail U-Net is fitted to its global encoder
        shutil.rmtree(folder / "detail", ignore_errors=True)
    global_record = fit_network(
        GlobalEncoderModule(denoiser.global_encoder, learning_rate=_RATE, steps=global_steps),
        step_loader(lambda rng: make_global_batch(training, rng), config.seed),
        heldout_loader(lambda rng: make_global_batch(heldout, rng), config.seed, _HELDOUT),
        folder / "survey",
        settings=FitSettings(learning_rate=_RATE, batch=_GLOBAL_BATCH, epochs=global_steps // EPOCH_STEPS),
        title="Global encoder",
        config=config,
    )
    detail_record = fit_detail_unet(denoiser, training, heldout, folder / "detail", steps=detail_steps, config=config)
    return global_record, detail_record


def fit_detail_unet(
    denoiser: ClearDenoiser,
    training: PairedImageCache,
    heldout: PairedImageCache,
    folder: Path,
    *,
    steps: int,
    config: TrainerConfig,
) -> FitRecord:
    """Fit the detail U-Net to a fitted global encoder, in ``folder``; see ``fit_clear_denoiser``."""
    crop = crop_side(training)
    return fit_network(
        DetailUNetModule(denoiser.detail, denoiser.global_encoder, learning_rate=_RATE, steps=steps, crop=crop),
        step_loader(lambda rng: make_detail_batch(training, crop, rng), config.seed),
        heldout_loader(lambda rng: make_detail_batch(heldout, crop, rng), config.seed, _HELDOUT),
        folder,
        settings=FitSettings(learning_rate=_RATE, batch=_DETAIL_BATCH * _CROPS_PER_IMAGE, epochs=steps // EPOCH_STEPS),
        title="Detail U-Net",
        config=config,
    )


def crop_side(images: PairedImageCache) -> int:
    """Choose the side of the crops that the detail U-Net learns from, in pixels."""
    return min(_CROP_SIDE, *images.shape)


def make_global_batch(images: PairedImageCache, rng: np.random.Generator) -> TensorBatch:
    """Make a batch for the global encoder; see ``GlobalEncoderModule``."""
    samples = [images.sample(rng) for _ in range(_GLOBAL_BATCH)]
    noisy, noise_free = _image_tensors(samples)
    waves = torch.stack([_waves_thumbnail(sample) for sample in samples])
    noise_types = torch.tensor([TRAINED_NOISE_TYPES.index(sample.noise_type) for sample in samples])
    levels = torch.tensor([[_nan_if_unknown(level) for level in sample.levels.values()] for sample in samples])
    return noisy, noise_free, waves, noise_types, levels


def make_detail_batch(images: PairedImageCache, crop: int, rng: np.random.Generator) -> TensorBatch:
    """Make a batch for the detail U-Net; see ``DetailUNetModule``."""
    noisy, noise_free = _image_tensors([images.sample(rng) for _ in range(_DETAIL_BATCH)])
    room = np.array(noisy.shape[1:3]) - crop
    return noisy, noise_free, torch.from_numpy(rng.integers(0, room + 1, (_CROPS_PER_IMAGE, 2)))


def _image_tensors(samples: list[DegradedSample]) -> tuple[Tensor, Tensor]:
    """Stack noisy and noise-free images, each uint8 (batch, height, width, depth)."""
    noisy, noise_free = np.stack([each.noisy for each in samples]), np.stack([each.noise_free for each in samples])
    shape = (*noisy.shape[:3], -1)
    return torch.from_numpy(noisy.reshape(shape)), torch.from_numpy(noise_free.reshape(shape))


def _waves_thumbnail(sample: DegradedSample) -> Tensor:
    """Shrink the periodic noise to a thumbnail, (1, side, side); NaN if it is unknown."""
    if sample.waves is None:
        return torch.full((1, THUMBNAIL_SIDE, THUMBNAIL_SIDE), torch.nan)
    return resize_area(torch.from_numpy(sample.waves)[None, None], THUMBNAIL_SIDE, THUMBNAIL_SIDE)[0]


def _nan_if_unknown(value: float | None) -> float:
    return torch.nan if value is None else value
