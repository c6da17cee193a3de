"""Learned baselines as entrants: DnCNN, U-Net and ResNet-18, fitted on the training rows for a given time."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import nn

from clearcast import imaging
from clearcast.data.frames import LABELS
from clearcast.data.usable import Rows
from clearcast.domain import Label, Subset
from clearcast.errors import SheetError
from clearcast.evaluation.benchmark.contenders import Denoiser, Judge
from clearcast.evaluation.study.dividing import Division
from clearcast.imaging import Channels, Picture
from clearcast.models.rivals import DnCnn, ResNet18, UNet
from clearcast.progress import Progress, progress_bar
from clearcast.training.clear.gallery import Gallery, pairs_of
from clearcast.training.rivals import JUDGED_SIDE, fit_classifier, fit_denoiser
from clearcast.training.weights import load_weights, save_weights


def learned_contenders(
    rows: Rows, division: Division, folder: Path, *, minutes: float, seed: int, console: Console
) -> tuple[list[Denoiser], list[Judge]]:
    """Fit each of the three for ``minutes``, or load the weights of an earlier call with the same minutes.

    The denoisers' widths are chosen so that an image of 512 x 512 pixels costs 3 to 4 billion multiplications, somewhat
    more than the denoiser of recipe ``clear``: they are no smaller.

    Raises:
        SheetError: a label has no training row.
        OutputError: saved weights are damaged.
    """
    train = division.split.rows(Subset.TRAIN)
    ok, defect = ([row for row in train if rows.sheet.rows[row].label is label] for label in (Label.OK, Label.DEFECT))
    if not ok or not defect:
        raise SheetError(
            f"{rows.sheet.path}: one label has no training row; expected training rows of both to train the baselines"
        )
    fit = partial(_fit_or_load, folder, minutes, seed, console)

    def fit_denoising(network: nn.Module, progress: Progress) -> None:
        fit_denoiser(network, _image_pairs(rows, train), minutes=minutes, seed=seed, progress=progress)

    def fit_classification(network: nn.Module, progress: Progress) -> None:
        assert isinstance(network, ResNet18)
        ok_pairs = _image_pairs(rows, ok)
        defect_pairs = _image_pairs(rows, defect, ok_pairs.shape)
        fit_classifier(network, ok_pairs, defect_pairs, minutes=minutes, seed=seed, progress=progress)

    dncnn, dncnn_version = fit("dncnn", lambda: DnCnn(channels=1, width=16, depth=8), fit_denoising)
    unet, unet_version = fit("unet", lambda: UNet(channels=1, width=8, levels=4), fit_denoising)
    resnet, resnet_version = fit("resnet18", lambda: ResNet18(channels=1, classes=len(LABELS)), fit_classification)
    return [
        Denoiser(name="dncnn", denoise=partial(_denoise, dncnn), version=dncnn_version),
        Denoiser(name="unet", denoise=partial(_denoise, unet), version=unet_version),
    ], [Judge(name="resnet18", probability=partial(_probability, resnet), version=resnet_version)]


def _fit_or_load(
    folder: Path,
    minutes: float,
    seed: int,
    console: Console,
    name: str,
    build: Callable[[], nn.Module],
    fit: Callable[[nn.Module, Progress], None],
) -> tuple[nn.Module, str]:
    """Fit a network, or load the weights of an earlier call; returns it with its version, a hash of its weights."""
    torch.manual_seed(seed)
    network = build()
    path = folder / "rivals" / f"{name}-{minutes:g}-minutes.safetensors"
    if path.exists():
        load_weights(network, path.parent, path.name)
    else:
        with progress_bar(console, f"Training {name} for {minutes:g} minutes") as progress:
            fit(network, progress)
        save_weights(network, path)
    return network.eval().requires_grad_(False), hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _image_pairs(rows: Rows, indices: Sequence[int], shape: tuple[int, int] | None = None) -> Gallery:
    return Gallery(pairs_of(rows.sheet, [rows.sheet.rows[index] for index in indices]), Channels.GREY, shape=shape)


@torch.inference_mode()
def _denoise(network: nn.Module, image: Picture) -> Picture:
    pixels = torch.from_numpy(image)[None, None].float() / 255
    return np.asarray(network(pixels).clamp(0, 1).mul(255).round().to(torch.uint8)[0, 0].numpy(), np.uint8)


@torch.inference_mode()
def _probability(network: nn.Module, image: Picture) -> float:
    pixels = torch.from_numpy(imaging.resize(image, JUDGED_SIDE, JUDGED_SIDE))[None, None].float() / 255
    return float(network(pixels)[0, LABELS.index(Label.DEFECT)])
