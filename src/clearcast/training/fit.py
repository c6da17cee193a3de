"""Fit one network: checkpoints after each epoch, resume, history, early stopping where a recipe asks for it."""

import json
import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from rich.console import Console
from torch.utils.data import DataLoader

from clearcast.errors import OutputError, RecipeError
from clearcast.files import replace_file
from clearcast.training.callbacks import History, KeepBest, ProgressLine, SeedEachEpoch
from clearcast.training.datasets import Batch
from clearcast.training.modules import FitModule
from clearcast.training.recipe import Fit
from clearcast.training.tracking import Tracker
from clearcast.training.weights import WEIGHTS, cure, load_weights, save_weights

_HISTORY = "history.csv"
_BEST = "best.safetensors"
_FITTED = "fitted.json"
_LAST = "last"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is the same for all networks of a run: the seed, and where and how the work is shown and tracked.

    ``devices``: how many, each with a process of its own (Lightning's DDP). The processes are started anew with the
    program's command line, unless they are there already; each must come to the same calls of ``fit_network``.
    """

    seed: int
    console: Console
    accelerator: str = "auto"
    devices: int = 1
    tracker: Tracker | None = None


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a fit came to: how many epochs were trained, the seconds of training in them, and the device."""

    epochs: int
    seconds: float
    device: str


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
    then they must be validation rows. A fit that is finished is not done again: its weights are loaded.

    Raises:
        OutputError: the folder's checkpoint is damaged.
        KeyboardInterrupt: the user stopped it; the next call goes on from the last whole epoch.
    """
    if is_fitted(folder):
        load_weights(module.network, folder)
        return Fitted(**json.loads((folder / _FITTED).read_text(encoding="utf-8")))
    history = History(folder / _HISTORY)
    callbacks: list[Callback] = [
        SeedEachEpoch(around.seed),
        history,
        ProgressLine(title, around.console),
        *(
            (EarlyStopping("heldout_loss", patience=settings.patience), KeepBest(folder / _BEST))
            if settings.patience
            else ()
        ),
        ModelCheckpoint(folder, _LAST, monitor=None, enable_version_counter=False),
    ]
    with _quiet():
        trainer = Trainer(
            accelerator=around.accelerator,
            devices=around.devices,
            strategy="ddp" if around.devices > 1 else "auto",
            use_distributed_sampler=False,  # it would count some rows twice; modules take their shares
            precision=_precision(around.accelerator),
            max_epochs=settings.epochs,
            callbacks=callbacks,
            logger=around.tracker.logger(title) if around.tracker else False,
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        _fit(trainer, module, training, heldout, _checkpoint(folder))
    module.to("cpu")
    if settings.patience:
        trainer.strategy.barrier()
        load_weights(module.network, folder, _BEST)
    seconds = sum(epoch["seconds"] for epoch in history.epochs)
    device = device_name(around.accelerator, around.devices)
    fitted = Fitted(epochs=len(history.epochs), seconds=seconds, device=device)
    if trainer.is_global_zero:
        save_weights(module.network, folder / WEIGHTS)
        with replace_file(folder / _FITTED) as temporary:
            temporary.write_text(json.dumps(asdict(fitted)) + "\n", encoding="utf-8")
    trainer.strategy.barrier()  # nobody goes on before it is written
    return fitted


def is_fitted(folder: Path) -> bool:
    """Whether a fit in this folder is finished."""
    return (folder / _FITTED).exists()


def require_device(accelerator: str, devices: int = 1) -> None:
    """Make sure that the devices that were asked for are there.

    Raises:
        RecipeError: a GPU was asked for and none is to be had, or more than there are.
    """
    if accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise RecipeError("a GPU was asked for, and PyTorch finds none; take --device cpu, or auto")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 1  # Apple's is one
    if devices > there and accelerator != "cpu" and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise RecipeError(f"{devices} devices were asked for, and PyTorch finds {there}; take --devices {there}")


def device_name(accelerator: str, devices: int = 1) -> str:
    """The device that ``accelerator`` comes to, for people, and how many."""
    name = _device_name(accelerator)
    return name if devices == 1 else f"{devices} x {name}"


def _device_name(accelerator: str) -> str:
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    if accelerator != "cpu" and torch.backends.mps.is_available():
        return "Apple GPU"
    return f"CPU, {torch.get_num_threads()} threads"


def _checkpoint(folder: Path) -> Path | None:
    """The checkpoint to go on from, if there is one and it is whole."""
    path = folder / f"{_LAST}.ckpt"
    if not path.exists():
        return None
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises what it likes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OutputError(f"{path} is damaged ({reason}); {cure(folder)}") from None
    return path


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
    uses_gpu = accelerator != "cpu" and torch.cuda.is_available()
    return "bf16-mixed" if uses_gpu and torch.cuda.is_bf16_supported() else "32-true"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Lightning says about loaders, devices and folders: here they are chosen, not forgotten."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
