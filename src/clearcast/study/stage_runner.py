"""Run a study: its stages in order, each once, then the tables of the whole run."""

from functools import partial
from typing import Any

from clearcast import __version__
from clearcast.core.errors import MissingDependencyError, OutputError
from clearcast.core.evidence_schema import Stage
from clearcast.data.validation import filter_usable_rows
from clearcast.metrics.lpips import load_lpips
from clearcast.metrics.results import StudyMetrics
from clearcast.study.classify import run_classification_stage, run_transfer_stage
from clearcast.study.context import StudyContext, StudyRequest, check_trainable
from clearcast.study.denoise import LoadLpips, measure_denoising, run_denoising_stage
from clearcast.study.robustness import SWEPT_STAGES, sweep_noise_levels
from clearcast.study.run_tables import write_study_tables
from clearcast.train.callbacks import MlflowTracker
from clearcast.train.run_directory import RunDirectory, StageResult, open_run
from clearcast.train.split_choice import begin_split_run, resolve_split
from clearcast.train.trainer import TrainerConfig, keep_freed_memory, require_device


def run_study(request: StudyRequest) -> StudyMetrics:
    """Run the requested stages that are not done yet; after each, write ``metrics.json`` and ``predictions.csv``.

    Raises:
        ClearcastError: the sheet, the recipe, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; with ``resume`` it continues after the last complete epoch.
    """
    keep_freed_memory()
    check_repeat_option(request)
    configuration = request.configuration()
    folder = open_run(request.out, configuration, resume=request.resume, force=request.force)
    config, load_metric = prepare_stages(request, folder)
    context = _open_context(request, folder, configuration)
    for warning in context.warnings():
        text = f"Warning: {warning['text']}"
        request.console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
    todo = _stages_to_run(request, context.folder)
    if request.repeat:  # if interrupted from here on, the tables must not show stages that were deleted
        context.folder.delete_tables()
        if any(map(context.folder.is_done, Stage)):
            write_study_tables(context, request)
    for stage in todo:
        _run_stage(stage, context, config, load_metric)
        write_study_tables(context, request)
    _run_robustness_sweep(context, request)
    _add_lpips(context, load_metric)
    return write_study_tables(context, request)


def _open_context(request: StudyRequest, folder: RunDirectory | None, configuration: dict[str, Any]) -> StudyContext:
    """Read and split the rows, check that they are fit for training, and start the run unless it is resumed."""
    rows = filter_usable_rows(request.sheet, skip_bad=request.skip_bad, console=request.console)
    shares, console = request.recipe.split, request.console
    split = resolve_split(folder, rows, request.split, shares, seed=request.seed, console=console)
    check_trainable(rows, split, request.recipe, request.stages)
    if folder is None or not folder.split.exists():  # only after all checks: a failed check creates and deletes nothing
        folder = begin_split_run(request.out, configuration, rows, split, **run_metadata(request))
    return StudyContext(
        rows=rows,
        resolved_split=split,
        recipe=request.recipe,
        folder=folder,
        cache_bytes=request.cache_bytes,
        console=request.console,
    )


def check_repeat_option(request: StudyRequest) -> None:
    """Refuse ``repeat`` without ``resume`` (``OutputError``)."""
    if request.repeat and not request.resume:
        raise OutputError("--repeat runs stages of an existing run again; give --resume with it")


def run_metadata(request: StudyRequest) -> dict[str, str]:
    """Return the metadata of a run that results do not depend on."""
    return {
        "sheet": str(request.sheet.path.absolute()),
        "root": str(request.sheet.root),
        "clearcast": __version__,
    }


def prepare_stages(request: StudyRequest, folder: RunDirectory | None) -> tuple[TrainerConfig, LoadLpips]:
    """Check the requirements of the stages, before anything is created or deleted, and configure the trainer.

    Raises:
        ClearcastError: stages depend on others that are not done, or the machine lacks something.
    """
    _refuse_missing_stages(request, folder)
    return _trainer_config(request), _metric_loader(request)


def _refuse_missing_stages(request: StudyRequest, folder: RunDirectory | None) -> None:
    for stage in request.stages:
        missing = [need for need in stage.needs if need not in request.stages and not (folder and folder.is_done(need))]
        if missing:
            stages = ",".join(each for each in Stage if each in {*request.stages, *missing})
            raise OutputError(
                f"stage {stage} depends on {', '.join(missing)}, which {request.out} does not hold; "
                f"use --stages {stages}"
            )


def _trainer_config(request: StudyRequest) -> TrainerConfig:
    require_device(request.accelerator)
    tracker = None
    if request.mlflow_uri is not None:
        tracker = MlflowTracker(request.mlflow_uri, request.configuration())
    return TrainerConfig(seed=request.seed, console=request.console, accelerator=request.accelerator, tracker=tracker)


def _metric_loader(request: StudyRequest) -> LoadLpips:
    """Make a loader of LPIPS; a file that the user names is loaded now, to fail before training."""
    if request.lpips_backbone is not None:
        loaded = load_lpips(request.lpips_backbone)
        return lambda: loaded
    return partial(load_lpips, download=not request.offline)


def delete_repeated_stages(request: StudyRequest, folder: RunDirectory) -> set[Stage]:
    """Delete the stages to repeat and the stages that depend on them, and return the latter."""
    following = {stage for stage in Stage if set(request.stages).intersection(stage.needs) and folder.is_done(stage)}
    for stage in following.union(request.stages):
        folder.delete_stage(stage)
    return following


def _stages_to_run(request: StudyRequest, folder: RunDirectory) -> list[Stage]:
    """List the stages to run: requested and not done, or repeated, with their dependants, and the transfer."""
    todo = {stage for stage in request.stages if request.repeat or not folder.is_done(stage)}
    if request.repeat:
        following = delete_repeated_stages(request, folder)
        if following:
            listed = ", ".join(stage for stage in Stage if stage in following)
            request.console.print(f"These stages depend on them and run again too: {listed}")
        todo |= following
    if not todo.isdisjoint(SWEPT_STAGES):
        folder.robustness.unlink(missing_ok=True)
    done_then = {stage for stage in Stage if stage in todo or folder.is_done(stage)}
    if done_then.issuperset(Stage.TRANSFER.needs) and not folder.is_done(Stage.TRANSFER):
        todo.add(Stage.TRANSFER)
    return [stage for stage in Stage if stage in todo]


def _run_stage(stage: Stage, context: StudyContext, config: TrainerConfig, load_metric: LoadLpips) -> None:
    context.console.rule(stage.heading)
    if stage is Stage.DENOISING:
        run_denoising_stage(context, config, load_metric)
    elif stage is Stage.TRANSFER:
        run_transfer_stage(context)
    else:
        run_classification_stage(stage, context, config)
    if config.tracker:
        config.tracker.finish(_scalar_metrics(context.folder.result(stage)))


def _run_robustness_sweep(context: StudyContext, request: StudyRequest) -> None:
    if request.robustness and context.folder.is_done(Stage.NOISY) and not context.folder.robustness.exists():
        context.console.rule("Robustness: rising noise levels")
        context.folder.save_robustness(sweep_noise_levels(context, request.seed))


def _scalar_metrics(result: StageResult) -> dict[str, float]:
    """Select the metrics of a stage that are single numbers."""
    if result["kind"] == "classification":
        return {name: float(value) for name, value in result["metrics"].items() if isinstance(value, int | float)}
    means = {name: result["denoised"]["all"][name] for name in ("psnr", "ssim", "mse", "lpips")}
    return {name: spread["mean"] for name, spread in means.items() if spread and spread["mean"] is not None}


def _add_lpips(context: StudyContext, load_metric: LoadLpips) -> None:
    """Measure again if LPIPS was unavailable when the denoiser was trained and is available now."""
    if not context.folder.is_done(Stage.DENOISING):
        return
    result = context.folder.result(Stage.DENOISING)
    if result["kind"] == "restoration" and result["denoised"]["all"]["lpips"] is None:
        try:
            loaded = load_metric()
        except MissingDependencyError:
            return
        measure_denoising(context, result["training"], lambda: loaded)
