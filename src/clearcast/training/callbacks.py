"""What happens beside the fitting: repeatable randomness, the history of all epochs, a progress line."""

import csv
import math
import time
from pathlib import Path
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from clearcast.files import replace_file
from clearcast.training.weights import save_weights


class SeedEachEpoch(Callback):
    """Make an epoch's dropout depend on seed and epoch alone, so that a resumed run goes on as it would have.

    Where several processes fit together, each drops others.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Called by Lightning."""
        torch.manual_seed(self._seed * 1_000_003 + trainer.current_epoch + trainer.global_rank * 2**52)


class History(Callback):
    """Keeps the measures of every epoch, in the checkpoint too, and writes them to a CSV file after each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = self._seconds = 0.0
        self.epochs: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.epochs = list(state_dict["epochs"])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Called by Lightning."""
        self._start = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Called by Lightning when the epoch's training is done and its held-out rows are about to be measured."""
        self._seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Called by Lightning, after the epoch's held-out rows were measured."""
        measures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append({"epoch": trainer.current_epoch + 1, "seconds": round(self._seconds, 3), **measures})
        if not trainer.is_global_zero:
            return
        with replace_file(self._path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.epochs[0]))
            writer.writeheader()
            writer.writerows(self.epochs)


class KeepBest(Callback):
    """Writes the weights of the epoch with the least loss on the held-out rows, wherever a resumed run now lies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._least = math.inf

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"least": self._least}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._least = float(state_dict["least"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called by Lightning."""
        loss = float(trainer.callback_metrics["heldout_loss"])
        if loss < self._least:
            self._least = loss
            if trainer.is_global_zero:
                save_weights(cast(nn.Module, pl_module.network), self._path)


class ProgressLine(Callback):
    """One bar for all epochs with the measures that matter; without a terminal, a line every tenth of the way."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs  {task.fields[measures]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Called by Lightning."""
        epochs = trainer.max_epochs or 0
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=epochs, completed=trainer.current_epoch, measures="")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Called by Lightning."""
        done, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        named = {name.replace("_", " "): float(value) for name, value in sorted(trainer.callback_metrics.items())}
        measures = ", ".join(f"{name} {value:.4f}" for name, value in named.items())
        self._bar.update(self._task, completed=done, measures=measures)
        if not self._console.is_terminal and done * 10 // epochs != (done - 1) * 10 // epochs:
            self._console.print(f"{self._title}: epoch {done}/{epochs}, {measures}", highlight=False, soft_wrap=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Called by Lightning, also after an interruption."""
        self._bar.stop()
