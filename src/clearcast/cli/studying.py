"""Commands that train and measure. What needs torch is imported when they run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearcast.cli.options import (
    Device,
    DeviceOption,
    EscapeCost,
    Groups,
    MaxEscape,
    MaxRisk,
    MinCoverage,
    OverkillCost,
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

RECIPES = "the recipe's"


@with_sheet_options
def study(
    sheet: SheetPath,
    recipe: Annotated[str, typer.Option(help="report, report-literal, or the path of a .toml file.")] = "report",
    out: Annotated[Path | None, typer.Option(help="The run's folder.", show_default="runs/SHEET-RECIPE")] = None,
    stages: Annotated[str, typer.Option(help="Which stages, such as 0,1,2 or noisy,noise_type.")] = "0,1,2,3,4",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run where it stopped.")] = False,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="With --resume: run the stages again that are done.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete a run that is there and start anew.")] = False,
    skip_bad: SkipBad = False,
    epochs: Annotated[int | None, typer.Option(help="Epochs of every network.", min=1, show_default=RECIPES)] = None,
    size: Annotated[int | None, typer.Option(help="Pixels a side.", show_default=RECIPES)] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures a step.", min=1, show_default=RECIPES)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of every network.", show_default=RECIPES)] = None,
    split: SplitOption = "",
    groups: Groups = None,
    folds: Annotated[int, typer.Option(help="So many splits, in which each row tests once.", min=1, max=50)] = 1,
    validation_share: ValidationShare = None,
    escape_cost: EscapeCost = None,
    overkill_cost: OverkillCost = None,
    max_escape: MaxEscape = None,
    max_risk: MaxRisk = None,
    min_coverage: MinCoverage = None,
    no_robustness: Annotated[
        bool, typer.Option("--no-robustness", help="Do not try rising levels of noise: saves minutes.")
    ] = False,
    seed: Seed = 7,
    cache_mb: Annotated[int, typer.Option(help="Memory for decoded pictures, in MB.", min=0)] = 2048,
    device: DeviceOption = Device.AUTO,
    lpips_backbone: Annotated[
        Path | None, typer.Option(help="AlexNet's weights.", show_default="torch's cache")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download AlexNet's weights for LPIPS.")] = False,
    mlflow: Annotated[str | None, typer.Option(help="Log to this MLflow tracking URI too.")] = None,
    split_column: SplitColumn = "Split",
    *,
    options: SheetOptions,
) -> None:
    """Repeat the report's four stages, and the ceiling on noise-free pictures; write tables and a page."""
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
    wishes = _wishes(escape_cost, overkill_cost, max_escape, max_risk, min_coverage)
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
    _report(run, metrics, wishes)


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a run.", metavar="RUN")],
    escape_cost: EscapeCost = None,
    overkill_cost: OverkillCost = None,
    max_escape: MaxEscape = None,
    max_risk: MaxRisk = None,
    min_coverage: MinCoverage = None,
) -> None:
    """Make the page of a run again, with other costs, or of one that was stopped halfway; nothing is trained."""
    with packages("train"):
        from clearcast.evaluation.study import can_be_weighed
        from clearcast.report.page import write_report
    wishes = _wishes(escape_cost, overkill_cost, max_escape, max_risk, min_coverage)
    if wishes or can_be_weighed(run):
        _weigh(run, wishes)
    say(f"Report: {write_report(run)}")


def demo(out: Annotated[Path, typer.Option(help="Folder for everything that the demo makes.")] = Path("demo")) -> None:
    """Render disks, add noise, study them, and write the report: all in minutes, without any data."""
    with packages("train"):
        from clearcast.demo import run_demo
    _report(*run_demo(out, console), {})


def _wishes(
    escape_cost: float | None,
    overkill_cost: float | None,
    max_escape: float | None,
    max_risk: float | None,
    min_coverage: float | None,
) -> dict[str, float]:
    """What the user named; refused here if it has no meaning, rather than after hours of training."""
    from clearcast.evaluation.evidence.wishes import Wishes

    named = {
        "escape_cost": escape_cost,
        "overkill_cost": overkill_cost,
        "max_escape": max_escape,
        "max_risk": max_risk,
        "min_coverage": min_coverage,
    }
    given = {name: value for name, value in named.items() if value is not None}
    Wishes(**given)
    return given


def _weigh(run: Path, wishes: dict[str, float]) -> "Evidence":
    """The evidence of a run; of one in folds, each fold's evidence and page are made first."""
    from clearcast.evaluation.study import can_be_weighed, write_evidence
    from clearcast.report.page import write_report

    for fold in sorted(run.glob("fold-*")):
        if can_be_weighed(fold):
            write_evidence(fold, wishes, console)
            write_report(fold)
    return write_evidence(run, wishes, console)


def _report(run: Path, metrics: "StudyMetrics", wishes: dict[str, float]) -> None:
    from clearcast.report.page import write_report
    from clearcast.report.tables import stage_tables

    evidence = _weigh(run, wishes)
    for table in stage_tables(metrics, evidence):
        console.print(table)
    say(f"Report: {write_report(run)}")
