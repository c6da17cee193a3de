"""Command ``benchmark``: quality of denoisers and classifiers on a sheet, or speed of a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from clearcast.cli.options import (
    ForceOption,
    GroupsOption,
    ImageFormat,
    ResumeOption,
    SeedOption,
    SheetOptions,
    SplitColumnOption,
    TrustOption,
    read_trust_option,
    with_sheet_options,
)
from clearcast.cli.output import console, print_line, print_warning, require_extra
from clearcast.core.numbers import format_count

if TYPE_CHECKING:
    from clearcast.evaluation.benchmark.benchmark_runner import BenchmarkResult
    from clearcast.evaluation.benchmark.entrants import BenchmarkClassifier, BenchmarkDenoiser
    from clearcast.inference.speed import SpeedResult


_SPEED_OPTIONS = {
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
_SPEED_ONLY_OPTIONS = {"threads", "denoised"}
_SPEED_LIMIT = 500  # images that speed is measured on
_STAGE_TITLES = {
    "read": "read the file",
    "hash": "its SHA-256",
    "decode": "decode",
    "infer": "networks: noise type, verdict, denoised image",
    "statistics": "noise level, brightness, sharpness",
    "write": "write the denoised image",
    "row": "write the row",
}


@with_sheet_options
def benchmark(
    context: typer.Context,
    subject: Annotated[
        Path,
        typer.Argument(help="A sheet, to compare quality; or a bundle, to measure its speed.", metavar="SHEET|BUNDLE"),
    ],
    source: Annotated[
        str | None,
        typer.Argument(
            help="After a bundle: the images to inspect, as for predict.", metavar="SOURCE", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the tables.", show_default="runs/SHEET-benchmark")
    ] = None,
    rivals: Annotated[
        str,
        typer.Option(
            help="Classical baselines: median, nlm, wavelet, bm3d, notch.", show_default="all; bm3d if installed"
        ),
    ] = "",
    run: Annotated[
        Path | None, typer.Option(help="A finished study's run whose networks take part.", show_default="none")
    ] = None,
    bundle: Annotated[
        list[Path] | None, typer.Option(help="A bundle that takes part; repeatable.", show_default="none")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="Minutes to train each of DnCNN, U-Net and ResNet-18.", min=0.01, show_default="not trained"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Number of images to measure, at most.", min=1, show_default=f"all; speed: {_SPEED_LIMIT}"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Speed: images inspected at a time.", min=1, show_default="one a core")
    ] = None,
    denoised: Annotated[
        ImageFormat | None,
        typer.Option(help="Speed: write denoised images in this format, too.", show_default="not written"),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="Split the rows as for study: grouped, random, column, or the split.csv of a run.",
            show_default="that of --run or --bundle, if of this sheet; else grouped, if a part is shown twice",
        ),
    ] = "",
    groups: GroupsOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    seed: SeedOption = 7,
    split_column: SplitColumnOption = "Split",
    trust: TrustOption = None,
    *,
    options: SheetOptions,
) -> None:
    """Compare denoisers and classifiers on a SHEET's test images, or measure how fast a BUNDLE inspects a SOURCE.

    With a sheet: quality and milliseconds an image. With a bundle: images a second, the share of each stage, memory,
    and the ratio to only decoding the same files.
    """
    given = {name for name in context.params if _is_given(context, name)}
    if source is not None or _is_bundle(subject):
        _refuse_options(given - _SPEED_OPTIONS, "SHEET")
        if source is None:
            raise typer.BadParameter(
                f"{subject} is a bundle; give the images too: clearcast benchmark {subject} SOURCE"
            )
        _print_speed(subject, source, limit or _SPEED_LIMIT, threads, denoised, options, trust)
        return
    _refuse_options(given & _SPEED_ONLY_OPTIONS, "BUNDLE SOURCE")
    with require_extra("train"):
        from clearcast.evaluation.benchmark.benchmark_runner import (
            BenchmarkRequest,
            run_benchmark,
            was_trained_on_sheet,
        )
        from clearcast.evaluation.benchmark.entrants import classical_baselines, parse_baselines
        from clearcast.study import SplitChoice, StudyRequest, parse_split_option
        from clearcast.train.recipe import load_recipe
    read = options.read(subject, subset=split_column if split == "column" else None)
    denoisers, classifiers = _load_entrants(run, bundle or [], trust)
    trained = [run, *(bundle or [])] if run else bundle or []
    of_sheet = [folder for folder in trained if was_trained_on_sheet(folder, read)]
    split_options = parse_split_option(split or (str(of_sheet[0] / "split.csv") if of_sheet else ""))
    study = StudyRequest(
        sheet=read,
        recipe=load_recipe("report"),
        out=out or Path("runs") / f"{subject.stem}-benchmark",
        seed=seed,
        split=SplitChoice(**split_options, column=split_column, groups=groups),
        resume=resume,
        force=force,
        console=console,
    )
    result = run_benchmark(
        BenchmarkRequest(
            study=study,
            denoisers=[*classical_baselines(parse_baselines(rivals)), *denoisers],
            classifiers=classifiers,
            trained_in=trained,
            budget=budget,
            limit=limit,
        )
    )
    _print_quality(result)


def _print_quality(result: "BenchmarkResult") -> None:
    from clearcast.report.contact_sheets import make_benchmark_tables, write_contact_sheets

    for table in make_benchmark_tables(result):
        console.print(table)
    for warning in result.metadata["warnings"]:
        print_warning(warning["text"])
    for path in write_contact_sheets(result):
        print_line(f"Sample images: {path}")
    print_line(f"Table: {result.folder / 'benchmark.csv'}")


def _load_entrants(
    run: Path | None, bundles: list[Path], trust: list[Path] | None
) -> "tuple[list[BenchmarkDenoiser], list[BenchmarkClassifier]]":
    """Load the denoisers and classifiers of a study's run and of bundles."""
    from clearcast.evaluation.benchmark.entrants import load_bundle_entrants, load_study_entrants

    denoisers, classifiers = load_study_entrants(run) if run else ([], [])
    keys = read_trust_option(trust)
    for bundle in bundles:
        denoiser, of_bundle = load_bundle_entrants(bundle, keys)
        denoisers, classifiers = [*denoisers, denoiser], [*classifiers, *of_bundle]
    return denoisers, classifiers


def _is_bundle(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() == ".zip"


def _is_given(context: typer.Context, name: str) -> bool:
    origin = context.get_parameter_source(name)
    return origin is not None and origin.name == "COMMANDLINE"


def _refuse_options(options: set[str], arguments: str) -> None:
    if options:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(options))
        raise typer.BadParameter(f"{listed}: works only with clearcast benchmark {arguments}; leave it out")


def _print_speed(
    bundle: Path,
    source: str,
    limit: int,
    threads: int | None,
    denoised: ImageFormat | None,
    options: SheetOptions,
    trust: list[Path] | None,
) -> None:
    from clearcast.inference.speed import SpeedRequest, measure_speed

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
            trust=read_trust_option(trust),
            console=console,
        )
    )
    console.print(_stage_table(speed))
    ratio = speed.decoding / speed.inspecting
    print_line(
        f"{format_count(speed.images, 'image')} by {speed.model} with {format_count(speed.threads, 'thread')}: "
        f"{speed.images / speed.inspecting:.1f} a second, 1/{1 / ratio:.1f} of only reading and decoding them "
        f"({speed.images / speed.decoding:.1f} a second)"
    )
    memory = "" if speed.peak is None else f"; at most {speed.peak / 2**20:.0f} MB of memory"
    print_line(f"Loading the bundle took {speed.loading:.2f} s{memory}")
    if speed.errors:
        print_line(f"{format_count(speed.errors, 'image')} could not be inspected")


def _stage_table(speed: "SpeedResult") -> Table:
    table = Table("stage", "ms an image", "share", title="One image in one thread", title_justify="left")
    total = sum(speed.stages.values())
    for name, title in _STAGE_TITLES.items():
        if name in speed.stages:
            seconds = speed.stages[name]
            table.add_row(title, f"{1000 * seconds:.2f}", f"{seconds / total:.1%}")
    table.caption = f"measured with {format_count(speed.threads, 'thread')}"
    return table
