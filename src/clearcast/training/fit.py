"""Fit one network: checkpoints after each epoch, resume, history, early stopping where a recipe asks for it."""

import logging
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from rich.console import Console
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from clearcast.files import replace_file
from clearcast.training.callbacks import History, ProgressLine, SeedEachEpoch
from clearcast.training.datasets import Batch
from clearcast.training.modules import FitModule
from clearcast.training.recipe import Fit

WEIGHTS = "model.safetensors"
HISTORY = "history.csv"
_LAST = "last"
_BEST = "best"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is the same for all networks of a run: the seed, and where and how the work is shown and tracked."""

    seed: int
    console: Console
    accelerator: str = "auto"
    mlflow_uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a fit came to: how many epochs were trained, and the seconds that they took."""

    epochs: int
    seconds: float


def fit_network(
    module: FitModule,
    training: DataLoader[Batch],
    heldout: DataLoader[Batch],
    folder: Path,
    *,
    settings: Fit,
    title: str,
    around: Surroundings,
) -> Fitted:
    """Fit ``module.network`` and write its weights to ``folder``; goes on from ``folder``'s checkpoint if there is one.

    The held-out rows are measured after each epoch. Nothing is chosen by them unless ``settings.patience`` is set, and
    then they must be validation rows.

    Raises:
        KeyboardInterrupt: the user stopped it; the next call goes on from the last whole epoch.
    """
    history = History(folder / HISTORY)
    checkpoints = _checkpoints(folder, settings)
    callbacks: list[Callback] = [SeedEachEpoch(around.seed), history, ProgressLine(title, around.console), *checkpoints]
    with _quiet():
        trainer = Trainer(
            accelerator=around.accelerator,
            devices=1,
            precision=_precision(around.accelerator),
            max_epochs=settings.epochs,
            callbacks=callbacks,
            logger=_mlflow_logger(around, title),
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        last = folder / f"{_LAST}.ckpt"
        _fit(trainer, module, training, heldout, last if last.exists() else None)
        if settings.patience:
            best = torch.load(folder / f"{_BEST}.ckpt", map_location="cpu", weights_only=True)
            module.load_state_dict(best["state_dict"])
    module.to("cpu")
    with replace_file(folder / WEIGHTS) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in module.network.state_dict().items()}, temporary)
    return Fitted(epochs=len(history.epochs), seconds=sum(epoch["seconds"] for epoch in history.epochs))


def _checkpoints(folder: Path, settings: Fit) -> list[Callback]:
    last = ModelCheckpoint(folder, _LAST, monitor=None, enable_version_counter=False)
    if not settings.patience:
        return [last]
    best = ModelCheckpoint(folder, _BEST, monitor="heldout_loss", save_weights_only=True, enable_version_counter=False)
    return [EarlyStopping("heldout_loss", patience=settings.patience), best, last]


def _fit(
    trainer: Trainer, module: FitModule, training: DataLoader[Batch], heldout: DataLoader[Batch], last: Path | None
) -> None:
    """Lightning turns Ctrl-C into an exit with code 1 and leaves the signal ignored; make it an interruption again."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, training, heldout, ckpt_path=last, weights_only=True)
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, handler)


def _precision(accelerator: str) -> Literal["bf16-mixed", "32-true"]:
    """Mixed precision where the hardware gains by it; bfloat16 is slower than float32 on CPUs without its own units."""
    uses_gpu = accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available()
    return "bf16-mixed" if uses_gpu and torch.cuda.is_bf16_supported() else "32-true"


def _mlflow_logger(around: Surroundings, title: str) -> Logger | bool:
    if around.mlflow_uri is None:
        return False
    from lightning.pytorch.loggers import MLFlowLogger

    return MLFlowLogger(experiment_name="clearcast", run_name=title, tracking_uri=around.mlflow_uri)


class _quiet(warnings.catch_warnings):  # noqa: N801 -- used like a function
    """Silence what Lightning says about loaders, devices and folders: here they are chosen, not forgotten."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", module="lightning")
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
