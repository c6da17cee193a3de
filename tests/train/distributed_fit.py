"""Fit two small networks in distributed processes: python distributed_fit.py FOLDER DEVICES. Each process runs it all.

The first learns from rows, some of whose batches cannot be divided evenly; the second from batches of each process.
"""

import sys
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from clearcast.core.decoding.image_info import Channels
from clearcast.core.files import find_image_files
from clearcast.data.images import ImageCache
from clearcast.train.datasets import (
    EPOCH_STEPS,
    PairDataset,
    TensorBatch,
    evaluation_loader,
    heldout_loader,
    step_loader,
    training_loader,
)
from clearcast.train.denoiser_training import AnnealedModule
from clearcast.train.modules import PublishedDenoiserModule
from clearcast.train.recipe import FitSettings
from clearcast.train.trainer import TrainerConfig, fit_network

SEED, SIDE, ROWS, BATCH = 3, 16, 15, 7  # batches of 7, 7 and 1
HELDOUT = list(range(10, ROWS))


class BatchRecorder(AnnealedModule):
    """Records the training batches of each process."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(1, 1), learning_rate=0.1, steps=EPOCH_STEPS)
        self.batches: list[float] = []

    def compute_metrics(self, batch: TensorBatch) -> dict[str, Tensor]:
        if self.training:
            self.batches += batch[0].flatten().tolist()
        difference = torch.as_tensor(self.network(batch[0])) - batch[0] - 1
        return {"loss": difference.square().mean(), "mean": batch[0].mean()}


def make_batch(rng: np.random.Generator) -> TensorBatch:
    return (torch.from_numpy(rng.random((3, 1), dtype=np.float32)),)


def trainer_config(devices: int) -> TrainerConfig:
    return TrainerConfig(seed=SEED, console=Console(file=StringIO()), accelerator="cpu", devices=devices)


def fit_rows(folder: Path, devices: int) -> None:
    noisy, clean = (
        ImageCache(find_image_files(folder / name), size=SIDE, channels=Channels.RGB, budget=10**8)
        for name in ("noisy", "clean")
    )
    torch.manual_seed(0)
    fit_network(
        PublishedDenoiserModule(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Sigmoid()), learning_rate=0.01),
        training_loader(PairDataset(noisy, clean, list(range(ROWS))), batch=BATCH, seed=SEED),
        evaluation_loader(PairDataset(noisy, clean, HELDOUT), batch=4),
        folder / f"rows-{devices}",
        settings=FitSettings(learning_rate=0.01, batch=BATCH, epochs=3),
        title="rows",
        config=trainer_config(devices),
    )


def fit_steps(folder: Path, devices: int) -> None:
    module = BatchRecorder()
    fit_network(
        module,
        step_loader(make_batch, SEED),
        heldout_loader(make_batch, SEED, 2),
        folder / f"steps-{devices}",
        settings=FitSettings(learning_rate=0.1, batch=3, epochs=1),
        title="steps",
        config=trainer_config(devices),
    )
    np.savetxt(folder / f"batches-{devices}-{module.global_rank}.txt", module.batches)


if __name__ == "__main__":
    fit_rows(Path(sys.argv[1]), int(sys.argv[2]))
    fit_steps(Path(sys.argv[1]), int(sys.argv[2]))
