"""Run a study: its stages in order, each once, and the tables of all that is there."""

from functools import partial

from clearcast import __version__
from clearcast.data.usable import usable
from clearcast.errors import MissingDependencyError, OutputError
from clearcast.evaluation.perceptual import load_lpips
from clearcast.evaluation.results import StudyMetrics
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.beginning import begin_divided, division_of
from clearcast.evaluation.study.classify import run_classification, run_transfer
from clearcast.evaluation.study.denoise import LoadMetric, measure_denoising, run_denoising
from clearcast.evaluation.study.folder import RunFolder, StageResult, open_run
from clearcast.evaluation.study.material import Material, refuse_unfit
from clearcast.evaluation.study.request import StudyRequest
from clearcast.evaluation.study.robustness import JUDGING, sweep_levels
from clearcast.evaluation.study.tables import write_tables
from clearcast.training.fit import Surroundings, require_device
from clearcast.training.memory import keep_freed_memory


def run_study(request: StudyRequest) -> StudyMetrics:
    """Run the stages that are asked for and not yet done; after each, write ``metrics.json`` and ``predictions.csv``.

    Raises:
        ClearcastError: the sheet, the recipe, the machine or the folder does not allow it.
        KeyboardInterrupt: the user stopped it; with ``resume`` it goes on from the last whole epoch.
    """
    keep_freed_memory()
    refuse_contradictions(request)
    question = request.question()
    folder = open_run(request.out, question, resume=request.resume, force=request.force)
    around, load_metric = prepared(request, folder)
    rows = usable(request.sheet, skip_bad=request.skip_bad, console=request.console)
    shares, console = request.recipe.split, request.console
    division = division_of(folder, rows, request.split, shares, seed=request.seed, console=console)
    refuse_unfit(rows, division, request.recipe, request.stages)
    if folder is None or not folder.split.exists():  # only now: what cannot be studied leaves, and deletes, no folder
        folder = begin_divided(request.out, question, rows, division, **about(request))
    material = Material(
        rows=rows,
        division=division,
        recipe=request.recipe,
        folder=folder,
        cache_bytes=request.cache_bytes,
        console=request.console,
    )
    for told in material.warnings():
        request.console.print(f"Beware: {told['text']}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    todo = _stages_to_run(request, folder)
    if request.repeat:  # stopped from here on, the run must not show what it no longer holds
        folder.forget_tables()
        if any(map(folder.is_done, Stage)):
            write_tables(material, request)
    for stage in todo:
        _run_stage(stage, material, around, load_metric)
        write_tables(material, request)
    _sweep(material, request)
    _add_lpips(material, load_metric)
    return write_tables(material, request)


def refuse_contradictions(request: StudyRequest) -> None:
    """Refuse to repeat without going on (``OutputError``)."""
    if request.repeat and not request.resume:
        raise OutputError("--repeat runs stages of a run again; give --resume with it")


def about(request: StudyRequest) -> dict[str, str]:
    """What is kept of a run besides its question."""
    return {
        "sheet": str(request.sheet.path.absolute()),
        "root": str(request.sheet.root),
        "clearcast": __version__,
    }


def prepared(request: StudyRequest, folder: RunFolder | None) -> tuple[Surroundings, LoadMetric]:
    """What the stages need besides the data, before anything is begun or deleted.

    Raises:
        ClearcastError: stages start from others that are not there, or the machine lacks something.
    """
    _refuse_missing_needs(request, folder)
    return _surroundings(request), _metric_loader(request)


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

        tracker = Tracker(request.mlflow_uri, request.question())
    return Surroundings(seed=request.seed, console=request.console, accelerator=request.accelerator, tracker=tracker)


def _metric_loader(request: StudyRequest) -> LoadMetric:
    """A file that the user names is loaded now: that it is missing should not be learned after an hour of training."""
    if request.lpips_backbone is not None:
        loaded = load_lpips(request.lpips_backbone)
        return lambda: loaded
    return partial(load_lpips, download=not request.offline)


def discard_repeated(request: StudyRequest, folder: RunFolder) -> set[Stage]:
    """Forget the stages that are to be repeated and those made from them, and return the latter."""
    following = {stage for stage in Stage if set(request.stages).intersection(stage.needs) and folder.is_done(stage)}
    for stage in following.union(request.stages):
        folder.discard(stage)
    return following


def _stages_to_run(request: StudyRequest, folder: RunFolder) -> list[Stage]:
    """Stages asked for that are not done, and the transfer where it can be; with ``repeat``, what follows from them."""
    todo = {stage for stage in request.stages if request.repeat or not folder.is_done(stage)}
    if request.repeat:
        following = discard_repeated(request, folder)
        if following:
            listed = ", ".join(stage for stage in Stage if stage in following)
            request.console.print(f"Made from them, and so run again too: {listed}")
        todo |= following
    if not todo.isdisjoint(JUDGING):
        folder.robustness.unlink(missing_ok=True)
    done_then = {stage for stage in Stage if stage in todo or folder.is_done(stage)}
    if done_then.issuperset(Stage.TRANSFER.needs) and not folder.is_done(Stage.TRANSFER):
        todo.add(Stage.TRANSFER)
    return [stage for stage in Stage if stage in todo]


def _run_stage(stage: Stage, material: Material, around: Surroundings, load_metric: LoadMetric) -> None:
    material.console.rule(stage.heading)
    if stage is Stage.DENOISING:
        run_denoising(material, around, load_metric)
    elif stage is Stage.TRANSFER:
        run_transfer(material)
    else:
        run_classification(stage, material, around)
    if around.tracker:
        around.tracker.finish(_figures(material.folder.result(stage)))


def _sweep(material: Material, request: StudyRequest) -> None:
    if request.robustness and material.folder.is_done(Stage.NOISY) and not material.folder.robustness.exists():
        material.console.rule("Robustness: rising levels of noise")
        material.folder.save_robustness(sweep_levels(material, request.seed))


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
