"""DnCNN, a plain U-Net and ResNet-18 as contenders, fitted on the training rows for a given time."""

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
    """Fit each of the three for ``minutes``, or load it where an earlier call with the same minutes has kept it.

    The denoisers' widths are chosen so that an image of 512 x 512 costs 3 to 4 billion multiplications, somewhat more
    than in our own restorer: where they lose, it is not by being smaller.

    Raises:
        SheetError: a label has no training row.
        OutputError: weights that were kept are damaged.
    """
    train = division.split.rows(Subset.TRAIN)
    ok, defect = ([row for row in train if rows.sheet.rows[row].label is label] for label in (Label.OK, Label.DEFECT))
    if not ok or not defect:
        raise SheetError(f"{rows.sheet.path}: no training row of one label; needed are rows of both to train a rival")
    kept = partial(_fitted, folder, minutes, seed, console)

    def denoiser(network: nn.Module, progress: Progress) -> None:
        fit_denoiser(network, _gallery(rows, train), minutes=minutes, seed=seed, progress=progress)

    def judge(network: nn.Module, progress: Progress) -> None:
        assert isinstance(network, ResNet18)
        good = _gallery(rows, ok)
        bad = _gallery(rows, defect, good.shape)
        fit_classifier(network, good, bad, minutes=minutes, seed=seed, progress=progress)

    dncnn, dncnn_version = kept("dncnn", lambda: DnCnn(channels=1, width=16, depth=8), denoiser)
    unet, unet_version = kept("unet", lambda: UNet(channels=1, width=8, levels=4), denoiser)
    resnet, resnet_version = kept("resnet18", lambda: ResNet18(channels=1, classes=len(LABELS)), judge)
    return [
        Denoiser(name="dncnn", restore=partial(_restored, dncnn), version=dncnn_version),
        Denoiser(name="unet", restore=partial(_restored, unet), version=unet_version),
    ], [Judge(name="resnet18", probability=partial(_defect, resnet), version=resnet_version)]


def _fitted(
    folder: Path,
    minutes: float,
    seed: int,
    console: Console,
    name: str,
    build: Callable[[], nn.Module],
    fit: Callable[[nn.Module, Progress], None],
) -> tuple[nn.Module, str]:
    """A network that was fitted, now or by an earlier call, and its version: what its weights hash to."""
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


def _gallery(rows: Rows, indices: Sequence[int], shape: tuple[int, int] | None = None) -> Gallery:
    return Gallery(pairs_of(rows.sheet, [rows.sheet.rows[index] for index in indices]), Channels.GREY, shape=shape)


@torch.inference_mode()
def _restored(network: nn.Module, image: Picture) -> Picture:
    pixels = torch.from_numpy(image)[None, None].float() / 255
    return np.asarray(network(pixels).clamp(0, 1).mul(255).round().to(torch.uint8)[0, 0].numpy(), np.uint8)


@torch.inference_mode()
def _defect(network: nn.Module, image: Picture) -> float:
    pixels = torch.from_numpy(imaging.resize(image, JUDGED_SIDE, JUDGED_SIDE))[None, None].float() / 255
    return float(network(pixels)[0, LABELS.index(Label.DEFECT)])
