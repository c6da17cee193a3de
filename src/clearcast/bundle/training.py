"""Train recipe ``clear`` on a sheet: divide the rows, fit, measure on parts never seen, write the bundle."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from clearcast import __version__
from clearcast.bundle.manifest import FORMAT, MANIFEST, Manifest, TrainedOn, write_manifest
from clearcast.bundle.measuring import measure
from clearcast.bundle.networks import Networks, save_networks
from clearcast.data.sheet import Sheet
from clearcast.domain import Subset
from clearcast.errors import OutputError, SheetError
from clearcast.evaluation.study.beginning import begin_divided, division_of
from clearcast.evaluation.study.dividing import Division, SplitChoice
from clearcast.evaluation.study.folder import RunFolder, open_run, write_json
from clearcast.evaluation.study.material import Rows, usable
from clearcast.imaging import Channels
from clearcast.models.clear.restorer import Restorer
from clearcast.progress import progress_bar
from clearcast.training.clear.fitting import Steps, crop_of, fit_restorer
from clearcast.training.clear.gallery import Gallery, Pair, channels_of
from clearcast.training.clear.planning import RECIPE, refuse_short, steps_within
from clearcast.training.fit import Surroundings, device_name, require_device
from clearcast.training.memory import keep_freed_memory
from clearcast.training.recipe import SplitShares

SHARES = SplitShares(test_share=0.2, validation_share=0.0)  # thresholds are chosen by cross-fitting
_WATCHED = 64  # validation rows that show how the fitting goes
_WORK = "work"  # checkpoints and the like; removed when the bundle is whole


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What to train on, and for how long.

    ``budget``: minutes for all of it on this machine; None: the recipe's own number of steps, which gives the same
    networks again on the same machine. ``resume`` and ``force`` are those of ``open_run``.
    """

    sheet: Sheet
    out: Path
    seed: int
    split: SplitChoice = field(default_factory=SplitChoice)
    budget: float | None = None
    resume: bool = False
    force: bool = False
    skip_bad: bool = False
    accelerator: str = "auto"
    console: Console = field(default_factory=Console)

    def question(self) -> dict[str, Any]:
        """All that the bundle depends on, other than the machine; ready for JSON."""
        return {
            "recipe": "clear",
            "sheet_sha256": self.sheet.sha256,
            "seed": self.seed,
            "skip_bad": self.skip_bad,
            "budget": self.budget,
            "split": self.split.question(),
        }


def train(request: TrainRequest) -> Manifest:
    """Train, measure on the test rows, and write a bundle.

    Raises:
        ClearcastError: the sheet, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; with ``resume`` it goes on from where it was.
    """
    keep_freed_memory()
    require_device(request.accelerator)
    if request.budget is not None:
        refuse_short(request.budget)
    folder, rows, division = _begin(request)
    clock = _Clock()
    with clock.phase("reading"):
        channels = channels_of([rows.sheet.resolve(row.reference) for row in rows.sheet.rows])
        training, heldout = _galleries(rows, division, channels, request.console)
    torch.manual_seed(request.seed)
    restorer = Restorer(channels.depth)
    work = folder.path / _WORK
    steps = _planned(request, restorer, training, work / "plan.json")
    around = Surroundings(seed=request.seed, console=request.console, accelerator=request.accelerator)
    with clock.phase("restorer"):
        fit_restorer(restorer, training, heldout, work, steps=steps, around=around)
    networks = Networks(channels=channels, restorer=restorer.eval())
    with clock.phase("measuring"):
        measured = measure(networks, rows, division, folder, seed=request.seed, console=request.console)
    save_networks(networks, folder.path)
    shutil.rmtree(work)
    manifest: Manifest = {
        "format": FORMAT,
        "recipe": "clear",
        "clearcast": __version__,
        "created": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "files": {},
        "trained_on": _trained_on(rows, division, training, channels),
        "effort": {
            "seed": request.seed,
            "steps": asdict(steps),
            "minutes": clock.minutes,
            "device": device_name(request.accelerator),
            "budget_minutes": request.budget,
        },
        "judge": None,
        "no_judge": "not trained yet",
        "measured": measured,
    }
    write_manifest(folder.path, manifest)
    return manifest


def _begin(request: TrainRequest) -> tuple[RunFolder, Rows, Division]:
    """The folder, the rows that can be used, and how they are divided; a bundle that is whole is not trained again."""
    question = request.question()
    folder = open_run(request.out, question, resume=request.resume, force=request.force)
    if folder is not None and (folder.path / MANIFEST).exists():
        raise OutputError(f"{request.out} is a whole bundle already; train another with another --out, or with --force")
    rows = usable(request.sheet, skip_bad=request.skip_bad, console=request.console)
    division = division_of(folder, rows, request.split, SHARES, seed=request.seed, console=request.console)
    division.refuse_leaks(rows.sheet.rows, rows.hashes())
    if not division.split.rows(Subset.TRAIN) or not division.split.rows(Subset.TEST):
        raise SheetError(
            f"{request.sheet.path}: {len(rows.sheet.rows)} rows are too few to train on some and test others"
        )
    if folder is None or not folder.split.exists():
        folder = begin_divided(request.out, question, rows, division, sheet=str(request.sheet.path.absolute()))
    return folder, rows, division


def _galleries(rows: Rows, division: Division, channels: Channels, console: Console) -> tuple[Gallery, Gallery]:
    """What to learn from, and other pictures that show how it goes: of validation rows, where there are any."""
    training = _gallery(rows, division.split.rows(Subset.TRAIN), channels, None, console)
    validation = division.split.rows(Subset.VALIDATION)[:_WATCHED]
    if not validation:
        return training, training
    return training, _gallery(rows, validation, channels, training.shape, console)


def _gallery(
    rows: Rows, indices: Sequence[int], channels: Channels, shape: tuple[int, int] | None, console: Console
) -> Gallery:
    sheet = rows.sheet
    pairs = [
        Pair(
            clean=sheet.resolve(sheet.rows[index].reference),
            noisy=sheet.resolve(sheet.rows[index].noisy),
            noise_type=sheet.rows[index].noise_type,
        )
        for index in indices
    ]
    with progress_bar(console, "Reading pictures") as progress:
        return Gallery(pairs, channels, shape=shape, progress=progress)


def _planned(request: TrainRequest, restorer: Restorer, training: Gallery, path: Path) -> Steps:
    """How many steps are made; decided once, so that a training that is resumed keeps to it."""
    if path.exists():
        return Steps(**json.loads(path.read_text(encoding="utf-8")))
    steps = RECIPE
    if request.budget is not None:
        device = "cuda" if request.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
        steps = steps_within(request.budget, restorer, training, crop=crop_of(training), device=device)
        request.console.print(f"  {steps.survey} and {steps.detail} steps fit into {request.budget:g} minutes here")
    write_json(path, asdict(steps))
    return steps


def _trained_on(rows: Rows, division: Division, training: Gallery, channels: Channels) -> TrainedOn:
    return {
        "sheet": rows.sheet.path.name,
        "sheet_sha256": rows.sheet.sha256,
        "rows": {subset.value: len(division.split.rows(subset)) for subset in Subset},
        "split": division.split.description,
        "parts": division.parts.count,
        "parts_source": division.parts.source.value,
        "channels": channels.value,
        "shape": list(training.shape),
    }


class _Clock:
    """Minutes of each phase of this call; what an earlier call did before it was stopped is not counted."""

    def __init__(self) -> None:
        self.minutes: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.minutes[name] = round((time.perf_counter() - begun) / 60, 2)
