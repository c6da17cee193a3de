"""Commands ``study``, ``report`` and ``demo``; torch is imported when they run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearcast.cli.options import (
    Device,
    DeviceOption,
    EscapeCost,
    Force,
    Groups,
    MaxEscape,
    MaxRisk,
    MinCoverage,
    OverkillCost,
    Resume,
    Seed,
    SheetPath,
    SkipBad,
    SplitColumn,
    SplitOption,
    ValidationShare,
)
from clearcast.cli.output import console, packages, say
from clearcast.cli.sheets import SheetOptions, with_sheet_options

if TYPE_CHECKING:
    from clearcast.evaluation.evidence.contract import Evidence
    from clearcast.evaluation.results import StudyMetrics

_OF_RECIPE = "the recipe's"


@with_sheet_options
def study(
    sheet: SheetPath,
    recipe: Annotated[str, typer.Option(help="report, report-literal or a .toml file.")] = "report",
    out: Annotated[Path | None, typer.Option(help="The run's folder.", show_default="runs/SHEET-RECIPE")] = None,
    stages: Annotated[str, typer.Option(help="Stages to run, such as 0,1,2 or noisy,noise_type.")] = "0,1,2,3,4",
    resume: Resume = False,
    repeat: Annotated[bool, typer.Option("--repeat", help="With --resume: run finished stages again.")] = False,
    force: Force = False,
    skip_bad: SkipBad = False,
    epochs: Annotated[int | None, typer.Option(help="Epochs of every network.", min=1, show_default=_OF_RECIPE)] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels a side of the networks' input.", show_default=_OF_RECIPE)
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step.", min=1, show_default=_OF_RECIPE)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate of every network.", show_default=_OF_RECIPE)
    ] = None,
    split: SplitOption = "",
    groups: Groups = None,
    folds: Annotated[
        int, typer.Option(help="Folds of cross-validation, in which each row is tested once.", min=1, max=50)
    ] = 1,
    validation_share: ValidationShare = None,
    escape_cost: EscapeCost = None,
    overkill_cost: OverkillCost = None,
    max_escape: MaxEscape = None,
    max_risk: MaxRisk = None,
    min_coverage: MinCoverage = None,
    no_robustness: Annotated[
        bool, typer.Option("--no-robustness", help="Skip the test with rising noise levels, which takes minutes.")
    ] = False,
    seed: Seed = 7,
    cache_mb: Annotated[int, typer.Option(help="Memory for decoded images, in MB.", min=0)] = 2048,
    device: DeviceOption = Device.AUTO,
    lpips_backbone: Annotated[
        Path | None, typer.Option(help="Weights of AlexNet, for LPIPS.", show_default="torch's cache")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not download weights of AlexNet.")] = False,
    mlflow: Annotated[str | None, typer.Option(help="Log to this MLflow tracking URI, too.")] = None,
    split_column: SplitColumn = "Split",
    *,
    options: SheetOptions,
) -> None:
    """Reproduce the published study on a sheet; write tables and a report page."""
    with packages("train"):
        from clearcast.evaluation.study import (
            SplitChoice,
            StudyRequest,
            parse_split,
            parse_stages,
            run_folds,
            run_study,
        )
        from clearcast.training.recipe import load_recipe, override
    policy = _policy(escape_cost, overkill_cost, max_escape, max_risk, min_coverage)
    chosen = override(load_recipe(recipe), size=size, epochs=epochs, batch=batch, learning_rate=learning_rate)
    run = out or Path("runs") / f"{sheet.stem}-{chosen.name}"
    metrics = (run_folds if folds > 1 else run_study)(
        StudyRequest(
            sheet=options.read(sheet, subset=split_column if split == "column" else None),
            recipe=chosen,
            out=run,
            seed=seed,
            split=SplitChoice(
                **parse_split(split), column=split_column, groups=groups, folds=folds, validation_share=validation_share
            ),
            stages=parse_stages(stages),
            robustness=not no_robustness,
            resume=resume,
            repeat=repeat,
            force=force,
            skip_bad=skip_bad,
            cache_bytes=cache_mb * 2**20,
            accelerator=device.value,
            lpips_backbone=lpips_backbone,
            offline=offline,
            mlflow_uri=mlflow,
            console=console,
        )
    )
    _print_report(run, metrics, policy)


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a run.", metavar="RUN")],
    escape_cost: EscapeCost = None,
    overkill_cost: OverkillCost = None,
    max_escape: MaxEscape = None,
    max_risk: MaxRisk = None,
    min_coverage: MinCoverage = None,
) -> None:
    """Write the report page of a run, also of an unfinished one or with other costs; nothing is trained."""
    with packages("train"):
        from clearcast.evaluation.study import can_be_weighed
        from clearcast.report.page import write_report
    policy = _policy(escape_cost, overkill_cost, max_escape, max_risk, min_coverage)
    if policy or can_be_weighed(run):
        _write_evidence(run, policy)
    say(f"Report: {write_report(run)}")


def demo(out: Annotated[Path, typer.Option(help="Folder for all files of the demo.")] = Path("demo")) -> None:
    """Render disks, add noise, run a study and write its report, in minutes and without data."""
    with packages("train"):
        from clearcast.demo import run_demo
    _print_report(*run_demo(out, console), {})


def _policy(
    escape_cost: float | None,
    overkill_cost: float | None,
    max_escape: float | None,
    max_risk: float | None,
    min_coverage: float | None,
) -> dict[str, float]:
    """The decision policy's options that were given; refused before hours of training if they make no sense."""
    from clearcast.evaluation.evidence.wishes import Wishes

    options = {
        "escape_cost": escape_cost,
        "overkill_cost": overkill_cost,
        "max_escape": max_escape,
        "max_risk": max_risk,
        "min_coverage": min_coverage,
    }
    given = {name: value for name, value in options.items() if value is not None}
    Wishes(**given)
    return given


def _write_evidence(run: Path, policy: dict[str, float]) -> "Evidence":
    """Write the evidence of a run and, before it, the evidence and the page of each of its folds."""
    from clearcast.evaluation.study import can_be_weighed, write_evidence
    from clearcast.report.page import write_report

    for fold in sorted(run.glob("fold-*")):
        if can_be_weighed(fold):
            write_evidence(fold, policy, console)
            write_report(fold)
    return write_evidence(run, policy, console)


def _print_report(run: Path, metrics: "StudyMetrics", policy: dict[str, float]) -> None:
    from clearcast.report.page import write_report
    from clearcast.report.tables import stage_tables

    evidence = _write_evidence(run, policy)
    for table in stage_tables(metrics, evidence):
        console.print(table)
    say(f"Report: {write_report(run)}")
