"""The whole way on parts of our own: render disks, spoil the pictures, study them."""

from pathlib import Path

from rich.console import Console

from clearcast.data.corrupt import corrupt_folder
from clearcast.data.sheet import read_sheet
from clearcast.disks import write_disks
from clearcast.errors import OutputError
from clearcast.evaluation.results import StudyMetrics
from clearcast.evaluation.study import StudyRequest, run_study
from clearcast.progress import progress_bar
from clearcast.training.recipe import load_recipe, override

PARTS, PICTURE_SIZE = 120, 256
SIZE, EPOCHS = 128, 15  # a short schedule on small pictures: minutes on two cores, where the full one takes an hour
SEED = 7


def run_demo(out: Path, console: Console) -> tuple[Path, StudyMetrics]:
    """Make ``out/disks``, ``out/noisy`` and ``out/study``; what is whole already is kept.

    Returns:
        the run's folder and its metrics.

    Raises:
        OutputError: one of the folders holds half of something, or something else.
    """
    disks, noisy, study = out / "disks", out / "noisy", out / "study"
    if not (disks / "parts.csv").exists():
        _refuse_half(disks)
        with progress_bar(console, f"Rendering {PARTS} parts into {disks}") as progress:
            write_disks(disks, parts=PARTS, seed=SEED, size=PICTURE_SIZE, progress=progress)
    if not (noisy / "Labels.xlsx").exists():
        _refuse_half(noisy)
        with progress_bar(console, f"Adding noise into {noisy}") as progress:
            corrupt_folder(disks, noisy, seed=SEED, progress=progress)
    request = StudyRequest(
        sheet=read_sheet(noisy / "Labels.xlsx"),
        recipe=override(load_recipe("report"), size=SIZE, epochs=EPOCHS),
        out=study,
        seed=SEED,
        resume=True,
        offline=True,  # AlexNet's 240 MB for LPIPS are no matter for a demo
        console=console,
    )
    return study, run_study(request)


def _refuse_half(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder} holds something unfinished or of another kind; delete it, or name another --out")
