"""Lightning callbacks and MLflow tracking: seeding of each epoch, history file, best weights, progress line."""

import csv
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from clearcast.core.errors import MissingDependencyError, OutputError
from clearcast.core.files import replace_file
from clearcast.nn.weights import save_weights
from clearcast.train.datasets import EPOCH_SEEDS

_RANK_SEEDS = 2**52  # the distance of the seeds of two processes
_EXPERIMENT = "clearcast"  # of MLflow
_TIMEOUT = 5.0  # seconds; MLflow itself would retry for minutes


class SeedEachEpoch(Callback):
    """Callback that seeds dropout from seed and epoch alone, so that a resumed run draws the same random numbers.

    In a distributed fit each process has a seed of its own.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Seed PyTorch; called by Lightning."""
        torch.manual_seed(self._seed * EPOCH_SEEDS + trainer.current_epoch + trainer.global_rank * _RANK_SEEDS)


class HistoryWriter(Callback):
    """Callback that keeps the metrics of every epoch, also in checkpoints, and writes them to a CSV file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = self._training_seconds = 0.0
        self.epochs: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.epochs = list(state_dict["epochs"])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock; called by Lightning."""
        self._start = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop the clock; called by Lightning between the epoch's training and its evaluation."""
        self._training_seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Write the history; called by Lightning after the epoch's evaluation on held-out rows."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append({"epoch": trainer.current_epoch + 1, "seconds": round(self._training_seconds, 3), **metrics})
        if not trainer.is_global_zero:
            return
        with replace_file(self._path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.epochs[0]))
            writer.writeheader()
            writer.writerows(self.epochs)


class BestWeights(Callback):
    """Callback that writes the weights of the epoch with the lowest held-out loss.

    Unlike Lightning's ``ModelCheckpoint`` it stores no paths, so that a run can be moved before it is resumed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lowest_loss = math.inf

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"least": self._lowest_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self._lowest_loss = float(state_dict["least"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the weights if they are the best so far; called by Lightning."""
        loss = float(trainer.callback_metrics["heldout_loss"])
        if loss < self._lowest_loss:
            self._lowest_loss = loss
            if trainer.is_global_zero:
                save_weights(cast(nn.Module, pl_module.network), self._path)


class ProgressLine(Callback):
    """Progress bar over all epochs with their metrics; without a terminal, one line for each tenth of the epochs."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs  {task.fields[metrics]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Show the bar; called by Lightning."""
        epochs = trainer.max_epochs or 0
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=epochs, completed=trainer.current_epoch, metrics="")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Advance the bar or print a line; called by Lightning."""
        done, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        named = {name.replace("_", " "): float(value) for name, value in sorted(trainer.callback_metrics.items())}
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in named.items())
        self._bar.update(self._task, completed=done, metrics=metrics)
        if not self._console.is_terminal and done * 10 // epochs != (done - 1) * 10 // epochs:
            self._console.print(f"{self._title}: epoch {done}/{epochs}, {metrics}", highlight=False, soft_wrap=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Remove the bar; called by Lightning, also after an interruption."""
        self._bar.stop()


class MlflowTracker:
    """Factory of Lightning loggers that write to MLflow, one for each network.

    Args:
        uri: an MLflow tracking URI of a server or a local store.
        settings: logged with every network; nested tables become dotted names.

    Raises:
        MissingDependencyError: MLflow is not installed, or cannot use this kind of store.
        OutputError: the server does not respond.
    """

    def __init__(self, uri: str, settings: Mapping[str, object]) -> None:
        self._uri = uri
        self._settings = dict(settings)
        self._logger: MLFlowLogger | None = None
        _require_server(uri)
        _require_store(uri)

    def logger(self, title: str) -> MLFlowLogger:
        """Make a logger for one network, a new MLflow run of this title."""
        self._logger = MLFlowLogger(experiment_name=_EXPERIMENT, run_name=title, tracking_uri=self._uri)
        self._logger.log_hyperparams(self._settings)
        return self._logger

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Log the test metrics of the last network, unless its weights were only loaded."""
        if self._logger is not None:
            self._logger.log_metrics({f"test_{name}": value for name, value in metrics.items()})
        self._logger = None


def _require_server(uri: str) -> None:
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urlopen(uri, timeout=_TIMEOUT).close()
    except HTTPError:
        return  # it responds, if only to require a password
    except (URLError, OSError, ValueError) as error:
        raise OutputError(f"no MLflow server responds at {uri} ({error}); start it, or leave out --mlflow") from None


def _require_store(uri: str) -> None:
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "--mlflow needs the package mlflow-skinny, or mlflow for local stores; install it with: "
            "pip install 'clearcast[mlflow]'"
        ) from None
    try:
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
    except (MlflowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise MissingDependencyError(
            f"MLflow cannot use {uri} ({reason}); give the address of a server such as http://localhost:5000, or "
            "install all of MLflow (pip install mlflow) for local stores such as sqlite:///mlflow.db"
        ) from None
