"""The command that compares denoisers and verdicts, or tells how fast a bundle inspects."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from clearcast.cli.options import (
    Groups,
    Seed,
    SplitColumn,
    TrustedKeys,
    trust_of,
)
from clearcast.cli.output import console, packages, say
from clearcast.cli.sheets import SheetOptions, with_sheet_options
from clearcast.evaluation.evidence.words import counted

if TYPE_CHECKING:
    from clearcast.runtime.profiling import Speed

_OF_SPEED = {
    "subject",
    "source",
    "threads",
    "denoised",
    "limit",
    "root",
    "noisy_column",
    "worksheet",
    "strip_prefix",
    "trust",
}
_OF_SPEED_ALONE = {"threads", "denoised"}
_MANY = 500  # pictures that speed is measured on
_STAGES = {
    "read": "read the file",
    "hash": "its SHA-256",
    "decode": "decode",
    "infer": "networks: noise, verdict, restored picture",
    "tell": "brightness, sharpness",
    "picture": "write the restored picture",
    "row": "write the row",
}


class DenoisedFormat(StrEnum):
    """How restored pictures are written."""

    PNG = "png"
    JPG = "jpg"


@with_sheet_options
def benchmark(
    context: typer.Context,
    subject: Annotated[
        Path,
        typer.Argument(help="A sheet, to compare quality; or a bundle, for its speed.", metavar="SHEET|BUNDLE"),
    ],
    source: Annotated[
        str | None,
        typer.Argument(
            help="After a bundle: what it is to inspect, as for predict.", metavar="SOURCE", show_default=False
        ),
    ] = None,
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
        int | None,
        typer.Option(
            help="Measure at most so many test images, or pictures.", min=1, show_default=f"all; speed: {_MANY}"
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Speed: so many pictures at a time.", min=1, show_default="one a core")
    ] = None,
    denoised: Annotated[
        DenoisedFormat | None,
        typer.Option(help="Speed: write restored pictures too.", show_default="they are not written"),
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
    split_column: SplitColumn = "Split",
    trust: TrustedKeys = None,
    *,
    options: SheetOptions,
) -> None:
    """Compare denoisers and verdicts on a SHEET's test images; or tell how fast a BUNDLE inspects a SOURCE.

    With a sheet: quality and milliseconds, side by side. With a bundle: images a second, each stage's share, memory,
    and how far that is from only decoding the same files.
    """
    given = {name for name in context.params if _is_given(context, name)}
    if source is not None or _is_bundle(subject):
        _refuse_mixture(given - _OF_SPEED, "SHEET")
        if source is None:
            raise typer.BadParameter(
                f"{subject} is a bundle: name the pictures too, clearcast benchmark {subject} SOURCE"
            )
        _print_speed(subject, source, limit or _MANY, threads, denoised, options, trust)
        return
    _refuse_mixture(given & _OF_SPEED_ALONE, "BUNDLE SOURCE")
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
    read = options.read(subject, subset=split_column if split == "column" else None)
    denoisers, judges = contenders_of_run(run) if run else ([], [])
    bundles = bundle or []
    trusted = trust_of(trust)
    for restorer, bundled in (contenders_of_bundle(each, trusted) for each in bundles):
        denoisers, judges = [*denoisers, restorer], [*judges, *bundled]
    trained = [run, *bundles] if run else bundles
    own = [folder for folder in trained if trained_on(folder, read)]
    named = parse_split(split or (str(own[0] / "split.csv") if own else ""))
    study = StudyRequest(
        sheet=read,
        recipe=load_recipe("report"),
        out=out or Path("runs") / f"{subject.stem}-benchmark",
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
        console.print(f"Beware: {warning['text']}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    for path in write_contact_sheets(result):
        say(f"Pictures: {path}")
    say(f"Table: {result.folder / 'benchmark.csv'}")


def _is_bundle(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() == ".zip"


def _is_given(context: typer.Context, name: str) -> bool:
    origin = context.get_parameter_source(name)
    return origin is not None and origin.name == "COMMANDLINE"


def _refuse_mixture(foreign: set[str], needed: str) -> None:
    if foreign:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(foreign))
        raise typer.BadParameter(f"{listed}: only with clearcast benchmark {needed}; leave it out")


def _print_speed(
    bundle: Path,
    source: str,
    limit: int,
    threads: int | None,
    denoised: DenoisedFormat | None,
    options: SheetOptions,
    trust: list[Path] | None,
) -> None:
    from clearcast.runtime.profiling import SpeedRequest, measure_speed

    speed = measure_speed(
        SpeedRequest(
            bundle=bundle,
            source=source,
            root=options.root,
            column=options.columns.noisy,
            reading=options.reading,
            limit=limit,
            threads=threads,
            suffix=f".{denoised}" if denoised else None,
            trust=trust_of(trust),
            console=console,
        )
    )
    console.print(_stage_table(speed))
    ratio = speed.decoding / speed.inspecting
    say(
        f"{counted(speed.pictures, 'picture')} by {speed.model} with {counted(speed.threads, 'thread')}: "
        f"{speed.pictures / speed.inspecting:.1f} a second; only read and decoded: "
        f"{speed.pictures / speed.decoding:.1f} a second; that is 1/{1 / ratio:.1f} of it"
    )
    memory = "" if speed.peak is None else f"; at most {speed.peak / 2**20:.0f} MB of memory"
    say(f"Loading the bundle took {speed.loading:.2f} s{memory}")
    if speed.errors:
        say(f"{counted(speed.errors, 'picture')} could not be inspected")


def _stage_table(speed: "Speed") -> Table:
    table = Table("stage", "ms a picture", "share", title="One picture in one thread", title_justify="left")
    whole = sum(speed.stages.values())
    for name, words in _STAGES.items():
        if name in speed.stages:
            seconds = speed.stages[name]
            table.add_row(words, f"{1000 * seconds:.2f}", f"{seconds / whole:.1%}")
    table.caption = f"with {counted(speed.threads, 'thread')} at work"
    return table
