"""Run a study: its stages in order, each once, and the tables of all that is there."""

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from clearcast import __version__
from clearcast.data.groups import group_rows
from clearcast.data.groups.given import GroupSource, Parts, known_parts
from clearcast.data.sheet import Sheet
from clearcast.data.split import load_split, save_split
from clearcast.domain import Subset
from clearcast.errors import MissingDependencyError, OutputError
from clearcast.evaluation.perceptual import load_lpips
from clearcast.evaluation.results import GroupFacts, RunInfo, StudyMetrics
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.classify import run_classification, run_transfer
from clearcast.evaluation.study.denoise import LoadMetric, measure_denoising, run_denoising
from clearcast.evaluation.study.dividing import Division, SplitChoice, SplitKind, divide
from clearcast.evaluation.study.folder import RunFolder, StageResult, begin_run, open_run
from clearcast.evaluation.study.material import Material, Rows, refuse_untaught, usable
from clearcast.progress import progress_bar
from clearcast.training.fit import Surroundings, require_device
from clearcast.training.memory import keep_freed_memory
from clearcast.training.recipe import Recipe

_PACKAGES = ("torch", "lightning", "numpy", "opencv-python-headless", "scikit-learn", "scikit-image")


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """What to study and how.

    ``stages`` are run where they are not done; with ``repeat`` they are run again, and what was made from them too.
    ``resume`` and ``force`` are those of ``open_run``. ``cache_bytes`` bounds the memory that decoded pictures take.
    With ``offline``, AlexNet's weights for LPIPS are not downloaded.
    """

    sheet: Sheet
    recipe: Recipe
    out: Path
    seed: int
    split: SplitChoice = field(default_factory=SplitChoice)
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
    """Run the stages that are asked for and not yet done; after each, write ``metrics.json`` and ``predictions.csv``.

    Raises:
        ClearcastError: the sheet, the recipe, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; with ``resume`` it goes on from the last whole epoch.
    """
    keep_freed_memory()
    if request.repeat and not request.resume:
        raise OutputError("--repeat runs stages of a run again; give --resume with it")
    question = _question(request)
    folder = open_run(request.out, question, resume=request.resume, force=request.force)
    _refuse_missing_needs(request, folder)
    around, load_metric = _surroundings(request), _metric_loader(request)
    rows = usable(request.sheet, skip_bad=request.skip_bad, console=request.console)
    division = _known_division(folder, rows) if folder else _new_division(request, rows)
    refuse_untaught(rows.sheet, division.split, request.stages)
    if folder is None:  # only now: what cannot be studied leaves no folder behind, and deletes none
        folder = begin_run(request.out, question, **_about(request, division))
        save_split(division.split, rows.sheet.rows, division.parts.of_rows, folder.split)
    material = Material(
        rows=rows,
        division=division,
        recipe=request.recipe,
        folder=folder,
        cache_bytes=request.cache_bytes,
        console=request.console,
    )
    for stage in _stages_to_run(request, folder):
        _run_stage(stage, material, around, load_metric)
        _write_metrics(material, request)
    _add_lpips(material, load_metric)
    return _write_metrics(material, request)


def _question(request: StudyRequest) -> dict[str, Any]:
    """All that results depend on, other than the machine."""
    return {
        "sheet_sha256": request.sheet.sha256,
        "seed": request.seed,
        "skip_bad": request.skip_bad,
        "recipe": request.recipe.model_dump(mode="json"),
        "split": request.split.question(),
    }


def _about(request: StudyRequest, division: Division) -> dict[str, str]:
    """What is kept of a run besides its question."""
    return {
        "sheet": str(request.sheet.path.absolute()),
        "root": str(request.sheet.root),
        "clearcast": __version__,
        "split": division.split.description,
        "split_kind": division.kind.value,
        "parts_source": division.parts.source.value,
    }


def _new_division(request: StudyRequest, rows: Rows) -> Division:
    def find() -> tuple[str, ...]:
        with progress_bar(request.console, "Looking for pictures of one part") as progress:
            return group_rows(rows.sheet, rows.facts, progress=progress)

    parts = known_parts(rows.sheet, request.split.groups, find)
    return divide(rows.sheet, parts, request.split, request.recipe, seed=request.seed)


def _known_division(folder: RunFolder, rows: Rows) -> Division:
    """The division that the run was begun with."""
    split, of_rows = load_split(folder.split, rows.sheet.rows)
    return Division(
        split=replace(split, description=folder.about["split"]),
        kind=SplitKind(folder.about["split_kind"]),
        parts=Parts(of_rows=of_rows, source=GroupSource(folder.about["parts_source"])),
    )


def _refuse_missing_needs(request: StudyRequest, folder: RunFolder | None) -> None:
    for stage in request.stages:
        missing = [need for need in stage.needs if need not in request.stages and not (folder and folder.is_done(need))]
        if missing:
            wanted = ",".join(each for each in Stage if each in {*request.stages, *missing})
            raise OutputError(
                f"stage {stage} starts from {', '.join(missing)}, which {request.out} does not hold; "
                f"ask for --stages {wanted}"
            )


def _surroundings(request: StudyRequest) -> Surroundings:
    require_device(request.accelerator)
    tracker = None
    if request.mlflow_uri is not None:
        from clearcast.training.tracking import Tracker

        tracker = Tracker(request.mlflow_uri, _question(request))
    return Surroundings(seed=request.seed, console=request.console, accelerator=request.accelerator, tracker=tracker)


def _metric_loader(request: StudyRequest) -> LoadMetric:
    """A file that the user names is loaded now: that it is missing should not be learned after an hour of training."""
    if request.lpips_backbone is not None:
        loaded = load_lpips(request.lpips_backbone)
        return lambda: loaded
    return partial(load_lpips, download=not request.offline)


def _stages_to_run(request: StudyRequest, folder: RunFolder) -> list[Stage]:
    """Stages asked for that are not done, and the transfer where it can be; with ``repeat``, what follows from them."""
    todo = {stage for stage in request.stages if request.repeat or not folder.is_done(stage)}
    if request.repeat:
        following = {stage for stage in Stage if todo.intersection(stage.needs) and folder.is_done(stage)}
        if following:
            listed = ", ".join(stage for stage in Stage if stage in following)
            request.console.print(f"Made from them, and so run again too: {listed}")
        todo |= following
        for stage in todo:
            folder.discard(stage)
    done_then = {stage for stage in Stage if stage in todo or folder.is_done(stage)}
    if done_then.issuperset(Stage.TRANSFER.needs) and not folder.is_done(Stage.TRANSFER):
        todo.add(Stage.TRANSFER)
    return [stage for stage in Stage if stage in todo]


def _run_stage(stage: Stage, material: Material, around: Surroundings, load_metric: LoadMetric) -> None:
    material.console.rule(stage.heading)
    if stage is Stage.DENOISING:
        run_denoising(material, around, load_metric)
    elif stage is Stage.TRANSFER:
        run_transfer(material, around)
    else:
        run_classification(stage, material, around)
    if around.tracker:
        around.tracker.finish(_figures(material.folder.result(stage)))


def _figures(result: StageResult) -> dict[str, float]:
    """The figures of a stage that have one number each."""
    if result["kind"] == "classification":
        return {name: float(value) for name, value in result["metrics"].items() if isinstance(value, int | float)}
    means = {name: result["denoised"]["all"][name] for name in ("psnr", "ssim", "mse", "lpips")}
    return {name: spread["mean"] for name, spread in means.items() if spread and spread["mean"] is not None}


def _add_lpips(material: Material, load_metric: LoadMetric) -> None:
    """Measure again where LPIPS was not to be had when the denoiser was trained, and now is."""
    if not material.folder.is_done(Stage.DENOISING):
        return
    result = material.folder.result(Stage.DENOISING)
    if result["kind"] == "restoration" and result["denoised"]["all"]["lpips"] is None:
        try:
            loaded = load_metric()
        except MissingDependencyError:
            return
        measure_denoising(material, result["training"], lambda: loaded)


def _write_metrics(material: Material, request: StudyRequest) -> StudyMetrics:
    folder = material.folder
    stages = {stage.value: folder.result(stage) for stage in Stage if folder.is_done(stage)}
    trainings = [result["training"] for result in stages.values() if result["training"]]
    run: RunInfo = {
        "sheet": str(request.sheet.path.absolute()),
        "sheet_sha256": request.sheet.sha256,
        "root": str(request.sheet.root),
        "recipe": request.recipe.model_dump(mode="json"),
        "seed": request.seed,
        "device": "; ".join(dict.fromkeys(training["device"] for training in trainings)),
        "versions": {"python": platform.python_version(), "clearcast": __version__}
        | {name: version(name) for name in _PACKAGES},
        "split": material.division.split.description,
        "split_kind": material.division.kind.value,
        "groups": _groups(material),
        "counts": material.counts(),
        "left_out": list(material.rows.left_out),
        "warnings": material.warnings(),
        "cache": "; ".join(dict.fromkeys(training["cache"] for training in trainings)),
        "started": str(folder.about["started"]),
        "seconds": sum(training["seconds"] for training in trainings),
    }
    metrics: StudyMetrics = {"format": 1, "run": run, "stages": stages}
    folder.save_metrics(metrics, _joined(material, Subset.TEST), _joined(material, Subset.VALIDATION))
    return metrics


def _groups(material: Material) -> GroupFacts:
    parts = material.division.parts
    return {
        "source": parts.source.value,
        "parts": parts.count,
        "rows": len(parts.of_rows),
        "largest": max(Counter(parts.of_rows).values()),
        "leaked_test_images": len(material.division.leaked_test_rows()),
        "test_images": len(material.test),
    }


def _listed(material: Material, indices: Sequence[int]) -> pd.DataFrame:
    """One line a row, with its part and what is known of it."""
    rows = [material.sheet.rows[index] for index in indices]
    return pd.DataFrame(
        {
            "row": [row.number for row in rows],
            "noisy": [row.noisy for row in rows],
            "reference": [row.reference for row in rows],
            "part": [material.division.parts.of_rows[index] for index in indices],
            "label": [str(row.label) for row in rows],
            "noise_type": [str(row.noise_type) for row in rows],
        }
    )


def _joined(material: Material, subset: Subset) -> pd.DataFrame:
    """One line a row of a subset with the columns of every stage that is done and says something of it."""
    table = _listed(material, material.division.split.rows(subset))
    for stage in Stage:
        said = material.folder.predictions(stage, subset) if material.folder.is_done(stage) else None
        if said is not None:
            table = table.merge(said, on="row", how="left", validate="one_to_one")
    return table
