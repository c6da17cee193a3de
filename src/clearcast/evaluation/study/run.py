"""Run a study: its stages in order, each once, and the tables of all that is there."""

import platform
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console

from clearcast import __version__
from clearcast.data.sheet import Sheet
from clearcast.data.split import save_split
from clearcast.errors import OutputError
from clearcast.evaluation.perceptual import load_lpips
from clearcast.evaluation.results import RunInfo, StudyMetrics
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.classify import run_classification, run_transfer
from clearcast.evaluation.study.denoise import run_denoising
from clearcast.evaluation.study.folder import RunFolder, begin_run, open_run
from clearcast.evaluation.study.material import Material, divide, usable
from clearcast.training.fit import Surroundings
from clearcast.training.memory import keep_freed_memory
from clearcast.training.recipe import Recipe

_PACKAGES = ("torch", "lightning", "numpy", "opencv-python-headless", "scikit-learn", "scikit-image")


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """What to study and how.

    ``stages`` are run where they are not done; with ``repeat`` they are run again, and what was made from them is
    discarded. ``resume`` and ``force`` are those of ``open_run``. ``cache_bytes`` bounds the memory that decoded
    pictures take.
    """

    sheet: Sheet
    recipe: Recipe
    out: Path
    seed: int
    stages: tuple[Stage, ...] = tuple(stage for stage in Stage if stage is not Stage.TRANSFER)
    resume: bool = False
    force: bool = False
    repeat: bool = False
    skip_bad: bool = False
    cache_bytes: int = 2 * 2**30
    accelerator: str = "auto"
    lpips_backbone: Path | None = None
    offline: bool = False
    mlflow_uri: str | None = None
    console: Console = field(default_factory=Console)


def run_study(request: StudyRequest) -> StudyMetrics:
    """Run the stages that are asked for and not yet done, and write ``metrics.json`` and ``predictions.csv``.

    Raises:
        ClearcastError: the sheet, the recipe or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; with ``resume`` it goes on from the last whole epoch.
    """
    keep_freed_memory()
    question = _question(request)
    folder = open_run(request.out, question, resume=request.resume, force=request.force)
    _refuse_missing_needs(request, folder)
    sheet, left_out = usable(request.sheet, skip_bad=request.skip_bad, console=request.console)
    known = folder.split if folder else None
    split = divide(sheet, request.recipe, request.stages, seed=request.seed, known=known)
    if folder is None:  # only now: what cannot be studied leaves no folder behind, and deletes none
        folder = begin_run(request.out, question)
        save_split(split, sheet.rows, folder.split)
    for stage in request.stages if request.repeat else ():
        folder.discard(stage)
    material = Material(sheet, split, request.recipe, folder, request.cache_bytes, request.console, left_out)
    todo = [stage for stage in request.stages if not folder.is_done(stage)]
    for stage in todo:
        _run_stage(stage, material, request)
    if all(folder.is_done(stage) for stage in Stage.TRANSFER.needs) and not folder.is_done(Stage.TRANSFER):
        _run_stage(Stage.TRANSFER, material, request)
    metrics = _metrics(material, request)
    folder.save_metrics(metrics, _predictions(material))
    return metrics


def _question(request: StudyRequest) -> dict[str, Any]:
    """All that results depend on, other than the machine."""
    return {
        "format": 1,
        "clearcast": __version__,
        "sheet": str(request.sheet.path.absolute()),
        "sheet_sha256": request.sheet.sha256,
        "root": str(request.sheet.root),
        "seed": request.seed,
        "skip_bad": request.skip_bad,
        "recipe": request.recipe.model_dump(mode="json"),
    }


def _refuse_missing_needs(request: StudyRequest, folder: RunFolder | None) -> None:
    for stage in request.stages:
        for need in stage.needs:
            if need not in request.stages and not (folder and folder.is_done(need)):
                raise OutputError(
                    f"stage {stage} starts from {need}, which {request.out} does not hold; "
                    f"ask for --stages {need},{stage}"
                )


def _run_stage(stage: Stage, material: Material, request: StudyRequest) -> None:
    around = Surroundings(
        seed=request.seed,
        console=request.console,
        accelerator=request.accelerator,
        mlflow_uri=request.mlflow_uri,
    )
    request.console.rule(stage.heading)
    if stage is Stage.DENOISING:
        run_denoising(material, around, partial(load_lpips, request.lpips_backbone, download=not request.offline))
    elif stage is Stage.TRANSFER:
        run_transfer(material, around)
    else:
        run_classification(stage, material, around)


def _metrics(material: Material, request: StudyRequest) -> StudyMetrics:
    folder = material.folder
    stages = {stage.value: folder.result(stage) for stage in Stage if folder.is_done(stage)}
    trained = [result["training"]["seconds"] for result in stages.values() if result["training"]]
    run: RunInfo = {
        "sheet": str(request.sheet.path.absolute()),
        "sheet_sha256": request.sheet.sha256,
        "root": str(request.sheet.root),
        "recipe": request.recipe.model_dump(mode="json"),
        "seed": request.seed,
        "device": _device(request.accelerator),
        "versions": {"python": platform.python_version(), "clearcast": __version__}
        | {name: version(name) for name in _PACKAGES},
        "split": material.split.description,
        "counts": material.counts(),
        "left_out": list(material.left_out),
        "cache": material.noisy.description,
        "started": folder.started,
        "seconds": sum(trained),
    }
    return {"format": 1, "run": run, "stages": stages}


def _predictions(material: Material) -> pd.DataFrame:
    """One line a test row with the columns of every stage that is done."""
    rows = [material.sheet.rows[row] for row in material.test]
    table = pd.DataFrame(
        {
            "row": [row.number for row in rows],
            "noisy": [row.noisy for row in rows],
            "reference": [row.reference for row in rows],
            "label": [str(row.label) for row in rows],
            "noise_type": [str(row.noise_type) for row in rows],
        }
    )
    for stage in Stage:
        if material.folder.is_done(stage):
            table = table.merge(material.folder.predictions(stage), on="row", how="left", validate="one_to_one")
    return table


def _device(accelerator: str) -> str:
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"
