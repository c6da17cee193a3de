"""The demo: render parts, add noise, run a study on them."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from clearcast.core.console import show_progress
from clearcast.data.sheet import read_sheet
from clearcast.metrics.results import StudyMetrics
from clearcast.study import SplitChoice, StudyRequest, run_study
from clearcast.synth.corruption import degrade_folder
from clearcast.synth.disks import write_disks
from clearcast.train.recipe import load_recipe, override_recipe

_PARTS, _DISK_SIZE = 120, 256
# A short schedule on small images takes minutes on two cores, the full one an hour. Few steps need a high rate.
_SIZE, _EPOCHS, _LEARNING_RATE = 128, 15, 1e-3
_SEED = 7


def run_demo(out: Path, console: Console) -> tuple[Path, StudyMetrics]:
    """Create ``out/disks``, ``out/noisy`` and ``out/study``; folders that are complete already are reused.

    Returns:
        The run directory and its metrics.

    Raises:
        OutputError: a folder holds other files, or cannot be written.
    """
    disks, noisy, study = out / "disks", out / "noisy", out / "study"
    with show_progress(console, f"Rendering {_PARTS} parts") as progress:
        _create_atomically(disks, partial(write_disks, parts=_PARTS, seed=_SEED, size=_DISK_SIZE, progress=progress))
    with show_progress(console, "Adding noise") as progress:
        _create_atomically(noisy, partial(degrade_folder, disks, seed=_SEED, progress=progress))
    request = StudyRequest(
        sheet=read_sheet(noisy / "Labels.xlsx"),
        recipe=override_recipe(load_recipe("report"), size=_SIZE, epochs=_EPOCHS, learning_rate=_LEARNING_RATE),
        out=study,
        seed=_SEED,
        split=SplitChoice(groups=noisy / "groups.csv"),  # the renderer records which images show the same part
        resume=True,
        offline=True,  # a demo does not download AlexNet (240 MB) for LPIPS
        console=console,
    )
    return study, run_study(request)


def _create_atomically(folder: Path, make: Callable[[Path], object]) -> None:
    """Create a folder under a temporary name, then rename it, so that an existing folder is always complete."""
    if folder.exists():
        return
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    make(unfinished)
    unfinished.rename(folder)
