"""Fit the learned baselines for a given time, on the same images and the same noise as recipe ``clear``."""

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.models.rivals import ResNet18
from clearcast.progress import Progress
from clearcast.training.clear.fitting import crop_of, detail_batch
from clearcast.training.clear.gallery import Gallery
from clearcast.training.clear.steps import StepDataset
from clearcast.training.datasets import Batch
from clearcast.training.modules import to_float

JUDGED_SIDE = 256  # pixels a side of the baseline classifier's input
_RATE, _WARMUP, _FINAL_SHARE = 1e-3, 50, 0.02  # learning rate; steps in which it rises; share of it at the end
_WEIGHT_DECAY, _GRADIENT_NORM = 1e-4, 0.5
_IMAGES = 6  # of each label a step of the classifier
_MSE_FLOOR = 1e-5  # mean squared error, 50 dB, below which a crop hardly counts


def fit_denoiser(
    network: nn.Module, gallery: Gallery, *, minutes: float, seed: int, progress: Progress | None = None
) -> int:
    """Fit a denoiser in place by the logarithm of the mean squared error of crops (PSNR), as the detail U-Net.

    The number of steps depends on the speed of the machine, so another run gives other weights.

    Args:
        network: from float images (batch, channels, height, width) in 0..1 to the same.
        gallery: image pairs with as many channels.
        minutes: of wall time.
        seed: of the order of the images and their noise.
        progress: called with seconds done and total seconds.

    Returns:
        The number of steps. The network is left in evaluation mode.
    """
    crop = crop_of(gallery)

    def loss(batch: Batch) -> Tensor:
        noisy, clean, corners = batch
        inputs, targets = (
            torch.cat([to_float(pixels)[..., y : y + crop, x : x + crop] for y, x in corners.tolist()])
            for pixels in (noisy, clean)
        )
        error = torch.as_tensor(network(inputs) - targets).square().mean(dim=(1, 2, 3))
        return (error + _MSE_FLOOR).log10().mean()

    return _fit(network, StepDataset(lambda rng: detail_batch(gallery, crop, rng), seed), loss, minutes, progress)


def fit_classifier(
    network: ResNet18,
    ok: Gallery,
    defect: Gallery,
    *,
    minutes: float,
    seed: int,
    progress: Progress | None = None,
) -> int:
    """Fit a classifier (class 1 is defect) in place by cross-entropy, on equally many noisy images of each label.

    Both galleries must have one shape; images are shrunk to 256 x 256 pixels. The other arguments and the result are
    those of ``fit_denoiser``.
    """

    def make(rng: np.random.Generator) -> Batch:
        noisy = [gallery.draw(rng).noisy for gallery in (ok, defect) for _ in range(_IMAGES)]
        images = to_float(torch.from_numpy(np.stack(noisy).reshape(len(noisy), *noisy[0].shape[:2], -1)))
        labels = torch.arange(2).repeat_interleave(_IMAGES)
        return functional.interpolate(images, (JUDGED_SIDE, JUDGED_SIDE), mode="area"), labels

    def loss(batch: Batch) -> Tensor:
        images, labels = batch
        return functional.cross_entropy(network.logits(images), labels)

    return _fit(network, StepDataset(make, seed), loss, minutes, progress)


def _fit(
    network: nn.Module,
    batches: StepDataset,
    loss: Callable[[Batch], Tensor],
    minutes: float,
    progress: Progress | None,
) -> int:
    """Fit by AdamW with linear warm-up and cosine decay over the time."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_WEIGHT_DECAY)
    network.train()
    start, seconds, steps = time.perf_counter(), 60 * minutes, 0
    while (passed := time.perf_counter() - start) < seconds:
        cosine = 0.5 * (1 + math.cos(math.pi * passed / seconds))
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, (steps + 1) / _WARMUP) * (_FINAL_SHARE + (1 - _FINAL_SHARE) * cosine)
        optimizer.zero_grad()
        torch.autograd.backward(loss(batches[steps]))
        nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT_NORM)
        optimizer.step()
        steps += 1
        if progress:
            progress(min(round(passed), round(seconds)), round(seconds))
    network.eval()
    return steps
