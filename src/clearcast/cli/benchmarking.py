"""The command that compares denoisers and verdicts."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import (
    GroupColumn,
    Groups,
    LabelColumn,
    NoiseColumn,
    NoisyColumn,
    ReferenceColumn,
    Root,
    Seed,
    SheetPath,
    SplitColumn,
)
from clearcast.cli.output import console, packages, say
from clearcast.data.sheet import Columns, read_sheet


def benchmark(
    sheet: SheetPath,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the tables.", show_default="runs/SHEET-benchmark")
    ] = None,
    rivals: Annotated[
        str,
        typer.Option(
            help="Classical denoisers: median, nlm, wavelet, bm3d, notch.", show_default="all; bm3d where installed"
        ),
    ] = "",
    run: Annotated[
        Path | None, typer.Option(help="A finished study whose networks take part.", show_default="none")
    ] = None,
    bundle: Annotated[
        list[Path] | None, typer.Option(help="A bundle that takes part; several are allowed.", show_default="none")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="Minutes to train each of DnCNN, U-Net and ResNet-18.", min=0.01, show_default="not at all"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Measure at most so many test images.", min=1, show_default="all")
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="How rows are divided, as for study: grouped, random, column, or the split.csv of a run.",
            show_default="that of --run or --bundle, if of this sheet; else grouped, where a part is shown twice",
        ),
    ] = "",
    groups: Groups = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped, also with other rivals.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete a benchmark that is there and start anew.")] = False,
    seed: Seed = 7,
    root: Root = None,
    noisy_column: NoisyColumn = Columns.noisy,
    noise_column: NoiseColumn = Columns.noise_type,
    reference_column: ReferenceColumn = Columns.reference,
    label_column: LabelColumn = Columns.label,
    group_column: GroupColumn = Columns.group,
    split_column: SplitColumn = "Split",
) -> None:
    """Compare denoisers, and verdicts, side by side on test images: quality and milliseconds."""
    columns = Columns(
        noisy=noisy_column,
        noise_type=noise_column,
        reference=reference_column,
        label=label_column,
        group=group_column,
        subset=split_column if split == "column" else None,
    )
    with packages("train"):
        from clearcast.bundle.contender import contenders_of_bundle
        from clearcast.evaluation.benchmark import (
            BenchmarkRequest,
            classical,
            contenders_of_run,
            parse_rivals,
            run_benchmark,
            trained_on,
        )
        from clearcast.evaluation.study import SplitChoice, StudyRequest, parse_split
        from clearcast.report.benchmark import benchmark_tables, write_contact_sheets
        from clearcast.training.recipe import load_recipe
    read = read_sheet(sheet, columns=columns, root=root)
    denoisers, judges = contenders_of_run(run) if run else ([], [])
    bundles = bundle or []
    for restorer, bundled in map(contenders_of_bundle, bundles):
        denoisers, judges = [*denoisers, restorer], [*judges, *bundled]
    trained = [run, *bundles] if run else bundles
    own = [folder for folder in trained if trained_on(folder, read)]
    named = parse_split(split or (str(own[0] / "split.csv") if own else ""))
    study = StudyRequest(
        sheet=read,
        recipe=load_recipe("report"),
        out=out or Path("runs") / f"{sheet.stem}-benchmark",
        seed=seed,
        split=SplitChoice(**named, column=split_column, groups=groups),
        resume=resume,
        force=force,
        console=console,
    )
    result = run_benchmark(
        BenchmarkRequest(
            study=study,
            denoisers=[*classical(parse_rivals(rivals)), *denoisers],
            judges=judges,
            trained_in=trained,
            budget=budget,
            limit=limit,
        )
    )
    for table in benchmark_tables(result):
        console.print(table)
    for warning in result.about["warnings"]:
        console.print(f"Beware: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    for path in write_contact_sheets(result):
        say(f"Pictures: {path}")
    say(f"Table: {result.folder / 'benchmark.csv'}")
