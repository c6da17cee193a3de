"""Fits the learned rivals for a given time, on the same pictures and the same noise as recipe ``clear``."""

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

JUDGED_SIDE = 256  # pixels a side of the pictures that the verdict's rival gets
_RATE, _WARMUP, _LAST = 1e-3, 50, 0.02  # learning rate; steps in which it rises; share of it at the end
_JUDGED = 6  # pictures of each label a step
_FLOOR = 1e-5  # mean squared error below which a crop counts no more: 50 dB


def fit_denoiser(
    network: nn.Module, gallery: Gallery, *, minutes: float, seed: int, progress: Progress | None = None
) -> int:
    """Fit a denoiser in place by the logarithm of the mean squared error of crops, which is PSNR, as ours is fitted.

    How many steps the time allows depends on the machine, so that other runs give other weights.

    Args:
        network: from float pictures (batch, channels, height, width) in 0..1 to the same.
        gallery: what it learns from, of as many channels.
        minutes: of wall time.
        seed: of the pictures' order and noise.
        progress: called with seconds done and all seconds.

    Returns:
        how many steps were made. The network is left in evaluation mode.
    """
    crop = crop_of(gallery)

    def loss(batch: Batch) -> Tensor:
        noisy, clean, corners = batch
        pictures, wanted = (
            torch.cat([to_float(pixels)[..., y : y + crop, x : x + crop] for y, x in corners.tolist()])
            for pixels in (noisy, clean)
        )
        error = torch.as_tensor(network(pictures) - wanted).square().mean(dim=(1, 2, 3))
        return (error + _FLOOR).log10().mean()

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
    """Fit a classifier (class 1 is defect) in place by cross-entropy, on as many noisy pictures of either label.

    Both galleries must have one shape; pictures are shrunk to 256 x 256. The other arguments, and what is returned, are
    those of ``fit_denoiser``.
    """

    def make(rng: np.random.Generator) -> Batch:
        drawn = [gallery.draw(rng).noisy for gallery in (ok, defect) for _ in range(_JUDGED)]
        pictures = to_float(torch.from_numpy(np.stack(drawn).reshape(len(drawn), *drawn[0].shape[:2], -1)))
        labels = torch.arange(2).repeat_interleave(_JUDGED)
        return functional.interpolate(pictures, (JUDGED_SIDE, JUDGED_SIDE), mode="area"), labels

    def loss(batch: Batch) -> Tensor:
        pictures, labels = batch
        return functional.cross_entropy(network.logits(pictures), labels)

    return _fit(network, StepDataset(make, seed), loss, minutes, progress)


def _fit(
    network: nn.Module,
    batches: StepDataset,
    loss: Callable[[Batch], Tensor],
    minutes: float,
    progress: Progress | None,
) -> int:
    """AdamW, whose learning rate falls along half a cosine of the time."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-4)
    network.train()
    begun, seconds, steps = time.perf_counter(), 60 * minutes, 0
    while (passed := time.perf_counter() - begun) < seconds:
        cosine = 0.5 * (1 + math.cos(math.pi * passed / seconds))
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, (steps + 1) / _WARMUP) * (_LAST + (1 - _LAST) * cosine)
        optimizer.zero_grad()
        torch.autograd.backward(loss(batches[steps]))
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
        steps += 1
        if progress:
            progress(min(round(passed), round(seconds)), round(seconds))
    network.eval()
    return steps
