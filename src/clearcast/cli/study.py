"""Commands ``study``, ``report`` and ``demo``; torch is imported when they run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearcast.cli.options import (
    Device,
    DeviceOption,
    EscapeCostOption,
    ForceOption,
    GroupsOption,
    MaxEscapeOption,
    MaxRiskOption,
    MinCoverageOption,
    OverkillCostOption,
    ResumeOption,
    SeedOption,
    SheetArgument,
    SheetOptions,
    SkipBadOption,
    SplitColumnOption,
    SplitOption,
    ValidationShareOption,
    with_sheet_options,
)
from clearcast.cli.output import console, print_line, require_extra

if TYPE_CHECKING:
    from clearcast.core.evidence_schema import Evidence
    from clearcast.metrics.results import StudyMetrics


_BY_RECIPE = "the recipe's"


@with_sheet_options
def study(
    sheet: SheetArgument,
    recipe: Annotated[str, typer.Option(help="report, report-literal or a .toml file.")] = "report",
    out: Annotated[Path | None, typer.Option(help="The run directory.", show_default="runs/SHEET-RECIPE")] = None,
    stages: Annotated[str, typer.Option(help="Stages to run, such as 0,1,2 or noisy,noise_type.")] = "0,1,2,3,4",
    resume: ResumeOption = False,
    repeat: Annotated[bool, typer.Option("--repeat", help="With --resume: run finished stages again.")] = False,
    force: ForceOption = False,
    skip_bad: SkipBadOption = False,
    epochs: Annotated[int | None, typer.Option(help="Epochs of every network.", min=1, show_default=_BY_RECIPE)] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels a side of the networks' input.", show_default=_BY_RECIPE)
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step.", min=1, show_default=_BY_RECIPE)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate of every network.", show_default=_BY_RECIPE)
    ] = None,
    split: SplitOption = "",
    groups: GroupsOption = None,
    folds: Annotated[
        int, typer.Option(help="Folds of cross-validation, in which each row is tested once.", min=1, max=50)
    ] = 1,
    validation_share: ValidationShareOption = None,
    escape_cost: EscapeCostOption = None,
    overkill_cost: OverkillCostOption = None,
    max_escape: MaxEscapeOption = None,
    max_risk: MaxRiskOption = None,
    min_coverage: MinCoverageOption = None,
    no_robustness: Annotated[
        bool, typer.Option("--no-robustness", help="Skip the test with rising noise levels, which takes minutes.")
    ] = False,
    seed: SeedOption = 7,
    cache_mb: Annotated[int, typer.Option(help="Memory for decoded images, in MB.", min=0)] = 2048,
    device: DeviceOption = Device.AUTO,
    lpips_backbone: Annotated[
        Path | None, typer.Option(help="Weights of AlexNet, for LPIPS.", show_default="torch's cache")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not download weights of AlexNet.")] = False,
    mlflow: Annotated[str | None, typer.Option(help="Log to this MLflow tracking URI, too.")] = None,
    split_column: SplitColumnOption = "Split",
    *,
    options: SheetOptions,
) -> None:
    """Reproduce the published study on a sheet; write tables and a report page."""
    with require_extra("train"):
        from clearcast.study import (
            SplitChoice,
            StudyRequest,
            parse_split_option,
            parse_stages,
            run_cross_validation,
            run_study,
        )
        from clearcast.train.recipe import load_recipe, override_recipe
    policy = _policy_options(escape_cost, overkill_cost, max_escape, max_risk, min_coverage)
    chosen = override_recipe(load_recipe(recipe), size=size, epochs=epochs, batch=batch, learning_rate=learning_rate)
    run = out or Path("runs") / f"{sheet.stem}-{chosen.name}"
    metrics = (run_cross_validation if folds > 1 else run_study)(
        StudyRequest(
            sheet=options.read(sheet, subset=split_column if split == "column" else None),
            recipe=chosen,
            out=run,
            seed=seed,
            split=SplitChoice(
                **parse_split_option(split),
                column=split_column,
                groups=groups,
                folds=folds,
                validation_share=validation_share,
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
    escape_cost: EscapeCostOption = None,
    overkill_cost: OverkillCostOption = None,
    max_escape: MaxEscapeOption = None,
    max_risk: MaxRiskOption = None,
    min_coverage: MinCoverageOption = None,
) -> None:
    """Write the report page of a run, also of an unfinished one or with other costs; nothing is trained."""
    with require_extra("train"):
        from clearcast.report.page import write_report
        from clearcast.study import has_evidence_inputs
    policy = _policy_options(escape_cost, overkill_cost, max_escape, max_risk, min_coverage)
    if policy or has_evidence_inputs(run):
        _write_evidence(run, policy)
    print_line(f"Report: {write_report(run)}")


def demo(out: Annotated[Path, typer.Option(help="Folder for all files of the demo.")] = Path("demo")) -> None:
    """Render disks, add noise, run a study and write its report, in minutes and without data."""
    with require_extra("train"):
        from clearcast.demo import run_demo
    _print_report(*run_demo(out, console), {})


def _policy_options(
    escape_cost: float | None,
    overkill_cost: float | None,
    max_escape: float | None,
    max_risk: float | None,
    min_coverage: float | None,
) -> dict[str, float]:
    """Return the options of the decision policy that were given; invalid ones are refused before hours of training."""
    from clearcast.metrics.evidence.scores import DecisionPolicy

    options = {
        "escape_cost": escape_cost,
        "overkill_cost": overkill_cost,
        "max_escape": max_escape,
        "max_risk": max_risk,
        "min_coverage": min_coverage,
    }
    given = {name: value for name, value in options.items() if value is not None}
    DecisionPolicy(**given)
    return given


def _write_evidence(run: Path, policy: dict[str, float]) -> "Evidence":
    """Write the evidence of a run, after the evidence and the page of each of its folds."""
    from clearcast.report.page import write_report
    from clearcast.study import has_evidence_inputs, write_evidence

    for fold in sorted(run.glob("fold-*")):
        if has_evidence_inputs(fold):
            write_evidence(fold, policy, console)
            write_report(fold)
    return write_evidence(run, policy, console)


def _print_report(run: Path, metrics: "StudyMetrics", policy: dict[str, float]) -> None:
    from clearcast.report.page import write_report
    from clearcast.report.study_tables import make_terminal_tables

    evidence = _write_evidence(run, policy)
    for table in make_terminal_tables(metrics, evidence):
        console.print(table)
    print_line(f"Report: {write_report(run)}")
