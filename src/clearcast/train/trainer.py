"""Trainer: fit one network with Lightning, resumable after each epoch; devices; tuning of glibc's malloc."""

import ctypes
import json
import logging
import platform
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

from clearcast.core.errors import OutputError, RecipeError
from clearcast.core.files import replace_file
from clearcast.nn.weights import MODEL_WEIGHTS_FILE, load_weights, recovery_hint, save_weights
from clearcast.train.callbacks import BestWeights, HistoryWriter, MlflowTracker, ProgressLine, SeedEachEpoch
from clearcast.train.datasets import TensorBatch
from clearcast.train.modules import TrainingModule
from clearcast.train.recipe import FitSettings

_HISTORY = "history.csv"
_BEST = "best.safetensors"
_FITTED = "fitted.json"
_LAST = "last"  # checkpoint

# Parameters from glibc's malloc.h. Training frees and allocates the same large tensors at each step. By default each is
# a new mapping that the kernel fills with zeros page by page, which costs as much as the arithmetic.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TRIM_THRESHOLD, _TOP_PAD = 2**31 - 1, 2**28  # bytes


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """Trainer configuration, the same for all networks of a run: seed, console, devices and tracker.

    ``devices``: number of devices, each with a process of its own (Lightning's DDP). Lightning starts the processes
    with the program's command line, unless they run already; each must make the same calls of ``fit_network``.
    """

    seed: int
    console: Console
    accelerator: str = "auto"
    devices: int = 1
    tracker: MlflowTracker | None = None


@dataclass(frozen=True, kw_only=True)
class FitRecord:
    """Record of a fit: number of epochs, seconds of training in them, and device."""

    epochs: int
    seconds: float
    device: str


def fit_network(
    module: TrainingModule,
    training: DataLoader[TensorBatch],
    heldout: DataLoader[TensorBatch],
    folder: Path,
    *,
    settings: FitSettings,
    title: str,
    config: TrainerConfig,
) -> FitRecord:
    """Fit ``module.network`` and write its weights to ``folder``; resumes from the folder's checkpoint, if any.

    The held-out rows are evaluated after each epoch. They choose nothing unless ``settings.patience`` is set; then they
    must be validation rows. A finished fit is not repeated: its weights are loaded.

    Raises:
        OutputError: the folder's checkpoint is damaged.
        KeyboardInterrupt: the user stopped it; the next call resumes after the last complete epoch.
    """
    if is_fitted(folder):
        load_weights(module.network, folder)
        return FitRecord(**json.loads((folder / _FITTED).read_text(encoding="utf-8")))
    history = HistoryWriter(folder / _HISTORY)
    with _silence_lightning():
        trainer = _make_trainer(folder, history, settings, title, config)
        _run_trainer(trainer, module, training, heldout, _find_checkpoint(folder))
    module.to("cpu")
    if settings.patience:
        trainer.strategy.barrier()
        load_weights(module.network, folder, _BEST)
    seconds = sum(epoch["seconds"] for epoch in history.epochs)
    device = describe_device(config.accelerator, config.devices)
    fitted = FitRecord(epochs=len(history.epochs), seconds=seconds, device=device)
    if trainer.is_global_zero:
        save_weights(module.network, folder / MODEL_WEIGHTS_FILE)
        with replace_file(folder / _FITTED) as temporary:
            temporary.write_text(json.dumps(asdict(fitted)) + "\n", encoding="utf-8")
    trainer.strategy.barrier()  # all processes wait until it is written
    return fitted


def _make_trainer(
    folder: Path, history: HistoryWriter, settings: FitSettings, title: str, config: TrainerConfig
) -> Trainer:
    callbacks: list[Callback] = [SeedEachEpoch(config.seed), history, ProgressLine(title, config.console)]
    if settings.patience:
        callbacks += [EarlyStopping("heldout_loss", patience=settings.patience), BestWeights(folder / _BEST)]
    callbacks.append(ModelCheckpoint(folder, _LAST, monitor=None, enable_version_counter=False))
    return Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        strategy="ddp" if config.devices > 1 else "auto",
        use_distributed_sampler=False,  # it would count some rows twice; modules take their shares
        precision=_precision(config.accelerator),
        max_epochs=settings.epochs,
        callbacks=callbacks,
        logger=config.tracker.logger(title) if config.tracker else False,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )


def is_fitted(folder: Path) -> bool:
    """Return whether a fit in this folder is finished."""
    return (folder / _FITTED).exists()


def keep_freed_memory() -> bool:
    """Keep freed memory in this process until it ends; returns whether that is possible (with glibc only)."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _TRIM_THRESHOLD), (_M_TOP_PAD, _TOP_PAD))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def require_device(accelerator: str, devices: int = 1) -> None:
    """Check that the requested devices exist.

    Raises:
        RecipeError: a GPU was requested and there is none, or more devices than there are.
    """
    if accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise RecipeError("a GPU was requested, but PyTorch finds none; use --device cpu or --device auto")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 1  # Apple's is one
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if devices > available and accelerator != "cpu" and has_gpu:
        raise RecipeError(f"{devices} devices were requested, but PyTorch finds {available}; use --devices {available}")


def describe_device(accelerator: str, devices: int = 1) -> str:
    """Describe the device that ``accelerator`` selects, and how many."""
    name = _device_name(accelerator)
    return name if devices == 1 else f"{devices} x {name}"


def _device_name(accelerator: str) -> str:
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    if accelerator != "cpu" and torch.backends.mps.is_available():
        return "Apple GPU"
    return f"CPU, {torch.get_num_threads()} threads"


def _find_checkpoint(folder: Path) -> Path | None:
    """Find the checkpoint to resume from, and check that it is complete."""
    path = folder / f"{_LAST}.ckpt"
    if not path.exists():
        return None
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OutputError(f"{path} is damaged ({reason}); {recovery_hint(folder)}") from None
    return path


def _run_trainer(
    trainer: Trainer,
    module: TrainingModule,
    training: DataLoader[TensorBatch],
    heldout: DataLoader[TensorBatch],
    last: Path | None,
) -> None:
    """Run the trainer; Lightning turns Ctrl-C into an exit with code 1 and ignores the signal: restore both."""
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
    """Choose mixed precision on GPUs that support it; bfloat16 is slower than float32 on most CPUs."""
    uses_gpu = accelerator != "cpu" and torch.cuda.is_available()
    return "bf16-mixed" if uses_gpu and torch.cuda.is_bf16_supported() else "32-true"


@contextmanager
def _silence_lightning() -> Iterator[None]:
    """Silence Lightning's hints on loaders, devices and folders, which are chosen deliberately here."""
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
