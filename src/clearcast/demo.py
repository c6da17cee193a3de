"""The whole way on parts of our own: render disks, spoil the pictures, study them."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from clearcast.data.corrupt import corrupt_folder
from clearcast.data.sheet import read_sheet
from clearcast.disks import write_disks
from clearcast.evaluation.results import StudyMetrics
from clearcast.evaluation.study import SplitChoice, StudyRequest, run_study
from clearcast.progress import progress_bar
from clearcast.training.recipe import load_recipe, override

PARTS, PICTURE_SIZE = 120, 256
# A short schedule on small pictures: minutes on two cores, where the full one takes an hour. Few steps want large ones.
SIZE, EPOCHS, LEARNING_RATE = 128, 15, 1e-3
SEED = 7


def run_demo(out: Path, console: Console) -> tuple[Path, StudyMetrics]:
    """Make ``out/disks``, ``out/noisy`` and ``out/study``; what is whole already is kept.

    Returns:
        the run's folder and its metrics.

    Raises:
        OutputError: one of the folders holds something else, or cannot be written.
    """
    disks, noisy, study = out / "disks", out / "noisy", out / "study"
    with progress_bar(console, f"Rendering {PARTS} parts") as progress:
        _make_whole(disks, partial(write_disks, parts=PARTS, seed=SEED, size=PICTURE_SIZE, progress=progress))
    with progress_bar(console, "Adding noise") as progress:
        _make_whole(noisy, partial(corrupt_folder, disks, seed=SEED, progress=progress))
    request = StudyRequest(
        sheet=read_sheet(noisy / "Labels.xlsx"),
        recipe=override(load_recipe("report"), size=SIZE, epochs=EPOCHS, learning_rate=LEARNING_RATE),
        out=study,
        seed=SEED,
        split=SplitChoice(groups=noisy / "groups.csv"),  # the renderer knows which pictures show one part
        resume=True,
        offline=True,  # AlexNet's 240 MB for LPIPS are no matter for a demo
        console=console,
    )
    return study, run_study(request)


def _make_whole(folder: Path, make: Callable[[Path], object]) -> None:
    """Make a folder under another name first, so that one that is there is whole, and a half-made one is made anew."""
    if folder.exists():
        return
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    make(unfinished)
    unfinished.rename(folder)
