"""Learned baselines (DnCNN, U-Net, ResNet-18), fitted for a given time on the images and noise of recipe ``clear``."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from clearcast.core import imaging
from clearcast.core.console import ProgressCallback, show_progress
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import SheetError
from clearcast.data.validation import UsableRows
from clearcast.evaluation.benchmark.entrants import BenchmarkClassifier, BenchmarkDenoiser
from clearcast.nn.baselines import DnCnn, ResNet18, UNet
from clearcast.nn.weights import load_weights, save_weights
from clearcast.train.datasets import LABEL_CLASSES, SeededStepDataset, TensorBatch
from clearcast.train.denoiser_training import crop_side, make_detail_batch
from clearcast.train.modules import images_to_float
from clearcast.train.paired_images import PairedImageCache, list_image_pairs
from clearcast.train.split_choice import ResolvedSplit
from clearcast.types import Label, Subset

BASELINE_CLASSIFIER_SIDE = 256  # pixels a side of the baseline classifier's input
_LEARNING_RATE, _WARMUP_STEPS, _FINAL_SHARE = 1e-3, 50, 0.02  # the share is of the learning rate, at the end
_WEIGHT_DECAY, _MAX_GRADIENT_NORM = 1e-4, 0.5
_IMAGES_PER_LABEL = 6  # in a step of the classifier
_MSE_FLOOR = 1e-5  # mean squared error, 50 dB, below which a crop hardly counts


def fit_baseline_denoiser(
    network: nn.Module,
    pairs: PairedImageCache,
    *,
    minutes: float,
    seed: int,
    progress: ProgressCallback | None = None,
) -> int:
    """Fit a denoiser in place by the logarithm of the mean squared error of crops (PSNR), as the detail U-Net.

    The number of steps depends on the speed of the machine, so another run gives other weights.

    Args:
        network: from float images (batch, channels, height, width) in 0..1 to the same.
        pairs: image pairs with as many channels.
        minutes: of wall time.
        seed: of the order of the images and their noise.
        progress: called with seconds done and total seconds.

    Returns:
        The number of steps. The network is left in evaluation mode.
    """
    crop = crop_side(pairs)

    def loss(batch: TensorBatch) -> Tensor:
        noisy, references, corners = batch
        inputs, targets = (
            torch.cat([images_to_float(pixels)[..., y : y + crop, x : x + crop] for y, x in corners.tolist()])
            for pixels in (noisy, references)
        )
        error = torch.as_tensor(network(inputs) - targets).square().mean(dim=(1, 2, 3))
        return (error + _MSE_FLOOR).log10().mean()

    return _fit(
        network, SeededStepDataset(lambda rng: make_detail_batch(pairs, crop, rng), seed), loss, minutes, progress
    )


def fit_baseline_classifier(
    network: ResNet18,
    ok: PairedImageCache,
    defect: PairedImageCache,
    *,
    minutes: float,
    seed: int,
    progress: ProgressCallback | None = None,
) -> int:
    """Fit a classifier (class 1 is defect) in place by cross-entropy, on equally many noisy images of each label.

    The images of both labels must have one shape; they are shrunk to 256 x 256 pixels. The other arguments and the
    result are those of ``fit_baseline_denoiser``.
    """

    def make_batch(rng: np.random.Generator) -> TensorBatch:
        noisy = [pairs.sample(rng).noisy for pairs in (ok, defect) for _ in range(_IMAGES_PER_LABEL)]
        images = images_to_float(torch.from_numpy(np.stack(noisy).reshape(len(noisy), *noisy[0].shape[:2], -1)))
        labels = torch.arange(2).repeat_interleave(_IMAGES_PER_LABEL)
        return functional.interpolate(images, (BASELINE_CLASSIFIER_SIDE, BASELINE_CLASSIFIER_SIDE), mode="area"), labels

    def loss(batch: TensorBatch) -> Tensor:
        images, labels = batch
        return functional.cross_entropy(network.logits(images), labels)

    return _fit(network, SeededStepDataset(make_batch, seed), loss, minutes, progress)


def _fit(
    network: nn.Module,
    batches: SeededStepDataset,
    loss: Callable[[TensorBatch], Tensor],
    minutes: float,
    progress: ProgressCallback | None,
) -> int:
    """Fit by AdamW with linear warm-up and cosine decay over the time."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    network.train()
    start, seconds, steps = time.perf_counter(), 60 * minutes, 0
    while (elapsed := time.perf_counter() - start) < seconds:
        warmup = min(1.0, (steps + 1) / _WARMUP_STEPS)
        cosine = 0.5 * (1 + math.cos(math.pi * elapsed / seconds))
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * warmup * (_FINAL_SHARE + (1 - _FINAL_SHARE) * cosine)
        optimizer.zero_grad()
        torch.autograd.backward(loss(batches[steps]))
        nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT_NORM)
        optimizer.step()
        steps += 1
        if progress:
            progress(min(round(elapsed), round(seconds)), round(seconds))
    network.eval()
    return steps


def fit_learned_baselines(
    rows: UsableRows, resolved: ResolvedSplit, folder: Path, *, minutes: float, seed: int, console: Console
) -> tuple[list[BenchmarkDenoiser], list[BenchmarkClassifier]]:
    """Fit each of the three networks for ``minutes``, or load the weights of an earlier call with the same minutes.

    The denoisers' widths are chosen so that an image of 512 x 512 pixels costs 3 to 4 billion multiplications, somewhat
    more than the denoiser of recipe ``clear``: they are no smaller.

    Raises:
        SheetError: a label has no training row.
        OutputError: saved weights are damaged.
    """
    train = resolved.split.rows(Subset.TRAIN)
    ok, defect = ([row for row in train if rows.sheet.rows[row].label is label] for label in (Label.OK, Label.DEFECT))
    if not ok or not defect:
        raise SheetError(
            f"{rows.sheet.path}: one label has no training row; expected training rows of both to train the baselines"
        )
    fit = partial(_fit_or_load, folder, minutes, seed, console)

    def fit_denoising(network: nn.Module, progress: ProgressCallback) -> None:
        fit_baseline_denoiser(network, _image_pairs(rows, train), minutes=minutes, seed=seed, progress=progress)

    def fit_classification(network: nn.Module, progress: ProgressCallback) -> None:
        assert isinstance(network, ResNet18)
        ok_pairs = _image_pairs(rows, ok)
        defect_pairs = _image_pairs(rows, defect, ok_pairs.shape)
        fit_baseline_classifier(network, ok_pairs, defect_pairs, minutes=minutes, seed=seed, progress=progress)

    dncnn, dncnn_version = fit("dncnn", lambda: DnCnn(channels=1, width=16, depth=8), fit_denoising)
    unet, unet_version = fit("unet", lambda: UNet(channels=1, width=8, levels=4), fit_denoising)
    resnet, resnet_version = fit(
        "resnet18", lambda: ResNet18(channels=1, classes=len(LABEL_CLASSES)), fit_classification
    )
    return [
        BenchmarkDenoiser(name="dncnn", denoise=partial(_denoise, dncnn), version=dncnn_version),
        BenchmarkDenoiser(name="unet", denoise=partial(_denoise, unet), version=unet_version),
    ], [BenchmarkClassifier(name="resnet18", probability=partial(_probability, resnet), version=resnet_version)]


def _fit_or_load(
    folder: Path,
    minutes: float,
    seed: int,
    console: Console,
    name: str,
    build: Callable[[], nn.Module],
    fit: Callable[[nn.Module, ProgressCallback], None],
) -> tuple[nn.Module, str]:
    """Fit a network, or load the weights of an earlier call; returns it with its version, a hash of its weights."""
    torch.manual_seed(seed)
    network = build()
    path = folder / "rivals" / f"{name}-{minutes:g}-minutes.safetensors"
    if path.exists():
        load_weights(network, path.parent, path.name)
    else:
        with show_progress(console, f"Training {name} for {minutes:g} minutes") as progress:
            fit(network, progress)
        save_weights(network, path)
    return network.eval().requires_grad_(False), hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _image_pairs(rows: UsableRows, indices: Sequence[int], shape: tuple[int, int] | None = None) -> PairedImageCache:
    return PairedImageCache(
        list_image_pairs(rows.sheet, [rows.sheet.rows[index] for index in indices]), Channels.GREY, shape=shape
    )


@torch.inference_mode()
def _denoise(network: nn.Module, image: ImageArray) -> ImageArray:
    pixels = torch.from_numpy(image)[None, None].float() / 255
    return np.asarray(network(pixels).clamp(0, 1).mul(255).round().to(torch.uint8)[0, 0].numpy(), np.uint8)


@torch.inference_mode()
def _probability(network: nn.Module, image: ImageArray) -> float:
    resized = imaging.resize_image(image, BASELINE_CLASSIFIER_SIDE, BASELINE_CLASSIFIER_SIDE)
    pixels = torch.from_numpy(resized)[None, None].float() / 255
    return float(network(pixels)[0, LABEL_CLASSES.index(Label.DEFECT)])
