"""Lightning modules of recipe ``clear``: losses of global encoder and detail U-Net, and the learning-rate schedule."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.models.clear.blocks import luma
from clearcast.models.clear.resample import shrink
from clearcast.models.clear.restorer import Detail, Survey, enlarge_seen
from clearcast.models.clear.waves import SIDE
from clearcast.models.renamed_weights import accept_renamed_weights
from clearcast.training.datasets import Batch
from clearcast.training.modules import FitModule, to_float

_WARMUP = 100  # steps
_FINAL_SHARE = 0.02  # of the learning rate, at the last step
_WEIGHT_DECAY, _GRADIENT_NORM = 1e-4, 0.5
_TYPE, _LEVEL = 0.02, 0.2  # loss weights; that of the images is 1
_MSE_FLOOR = 1e-5  # mean squared error, 50 dB, below which a crop hardly counts
_PSNR_FLOOR = 1e-10  # mean squared error, 100 dB, the highest PSNR that is logged


class AnnealedModule(FitModule):
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

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
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


class SurveyModule(AnnealedModule):
    """Fits the global encoder.

    The loss is the mean absolute error of periodic noise, denoised thumbnail and noise levels, and the cross-entropy of
    the noise type.

    A batch is: noisy and noise-free images, uint8 (batch, height, width, depth); periodic noise, float (batch, 1, SIDE,
    SIDE), NaN if unknown; noise types, int64 (batch,); noise levels, float (batch, 2), NaN if unknown.
    """

    network: Survey

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss, the accuracy of the noise type, and the mean absolute error of known periodic noise."""
        noisy, clean, waves, kinds, levels = batch
        output = self.network(luma(self.inputs(noisy)))
        small = shrink(luma(to_float(clean)), SIDE, SIDE)  # (batch, 1, SIDE, SIDE)
        loss = mean_difference(output.waves, waves) + (output.small - small).abs().mean()
        loss = loss + _TYPE * functional.cross_entropy(output.scores, kinds)
        loss = loss + _LEVEL * mean_difference(output.levels, levels)
        accuracy = (output.scores.argmax(dim=1) == kinds).float().mean()
        return {"loss": loss, "noise_type": accuracy, "waves": mean_difference(output.waves, waves)}


class DetailModule(AnnealedModule):
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
    network: Detail

    def __init__(self, network: Detail, global_encoder: Survey, *, learning_rate: float, steps: int, crop: int) -> None:
        super().__init__(network, learning_rate=learning_rate, steps=steps)
        self.global_encoder = global_encoder.eval().requires_grad_(False)
        self.crop = crop
        accept_renamed_weights(self, {"survey": "global_encoder"})

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss, and PSNR in dB as a mean over crops."""
        noisy, clean, corners = batch
        images, targets = self.inputs(noisy), to_float(clean)
        with torch.no_grad():
            context = self.global_encoder(luma(images))
            waves, small = enlarge_seen(context, *images.shape[-2:])
        cropped = [self._crops(each, corners) for each in (images, waves, small)]  # (crops * batch, ..., crop, crop)
        denoised = self.network(*cropped, context.conditioning.repeat(len(corners), 1))
        error = (denoised - self._crops(targets, corners)).square().mean(dim=(1, 2, 3))
        loss = (error + _MSE_FLOOR).log10().mean()
        return {"loss": loss, "psnr": -10 * error.detach().clamp(min=_PSNR_FLOOR).log10().mean()}

    def share(self, batch: Batch, number: int, total: int) -> Batch:
        """Take one process's share of the images, with all of their crops."""
        noisy, clean, corners = batch
        return *super().share((noisy, clean), number, total), corners

    def _crops(self, images: Tensor, corners: Tensor) -> Tensor:
        cropped = [images[..., y : y + self.crop, x : x + self.crop] for y, x in corners.tolist()]
        return torch.cat(cropped).contiguous(memory_format=self.memory_format)


def mean_difference(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute the mean absolute error over known targets; NaN marks unknown ones, which give no gradient."""
    unknown = target.isnan()
    filled = torch.where(unknown, prediction.detach(), target)
    return (prediction - filled).abs().sum() / (~unknown).sum().clamp(min=1)
