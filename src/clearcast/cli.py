"""The command line: parse, call one function, print. What needs torch is imported where it is used."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clearcast import __version__
from clearcast.data.check import Check, Severity, check_sheet
from clearcast.data.corrupt import corrupt_folder
from clearcast.data.findings import write_findings
from clearcast.data.sheet import Columns, read_sheet
from clearcast.disks import write_disks
from clearcast.errors import ClearcastError, MissingDependencyError
from clearcast.progress import progress_bar

if TYPE_CHECKING:
    from clearcast.evaluation.results import StudyMetrics

SHOWN = 5  # findings of one kind that the terminal shows

app = typer.Typer(
    name="clearcast",
    help="Inspect parts from noisy pictures: ok or defect, which noise, and the clean picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()

SheetPath = Annotated[Path, typer.Argument(help="The sheet: .xlsx, .xls, .csv or .parquet.", metavar="SHEET")]
Root = Annotated[
    Path | None, typer.Option(help="Folder that the sheet's paths are relative to. [default: the sheet's]")
]
NoisyColumn = Annotated[str, typer.Option(help="Column of the noisy pictures' paths.")]
NoiseColumn = Annotated[str, typer.Option(help="Column of the noise types.")]
ReferenceColumn = Annotated[str, typer.Option(help="Column of the noise-free pictures' paths.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the labels. [default: the words of the paths]")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0)]


class Device(StrEnum):
    """Where networks are trained."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


def main() -> None:
    """Run the command line; what is the user's to mend is one message and exit code 1, never a traceback."""
    try:
        app()
    except ClearcastError as error:
        _stop(str(error), 1)
    except KeyboardInterrupt:
        _stop("Stopped. What was finished is kept; where the command has --resume, it goes on from there.", 130)
    except OSError as error:
        _stop(f"The system refused: {error}", 1)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Inspect parts from noisy pictures: ok or defect, which noise, and the clean picture."""
    if show:
        print(f"clearcast {__version__}")
        raise typer.Exit


@app.command()
def disks(
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    parts: Annotated[int, typer.Option(help="How many parts.", min=1)] = 200,
    size: Annotated[int, typer.Option(help="Pixels a side.", min=64, max=4096)] = 512,
    seed: Seed = 7,
) -> None:
    """Render pictures of machined and cast disks, with masks of their defects."""
    with progress_bar(console, f"Rendering {parts} parts") as progress:
        summary = write_disks(out, parts=parts, seed=seed, size=size, progress=progress)
    console.print(f"{summary.pictures} pictures of {summary.parts} parts, {summary.defect_parts} with defects.")
    console.print(f"Listed in {summary.sheet}", soft_wrap=True)


@app.command()
def corrupt(
    folder: Annotated[Path, typer.Argument(help="A folder with clean pictures.")],
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    jpeg_quality: Annotated[int, typer.Option(help="Quality of the JPEG step after the noise.", min=1, max=100)] = 80,
    png: Annotated[bool, typer.Option("--png", help="Write noisy pictures as PNG, without a JPEG step.")] = False,
    seed: Seed = 7,
) -> None:
    """Add noise to clean pictures; write With-Noise, Without-Noise and Labels.xlsx."""
    with progress_bar(console, "Adding noise") as progress:
        done = corrupt_folder(folder, out, seed=seed, jpeg_quality=None if png else jpeg_quality, progress=progress)
    counts = ", ".join(f"{count} {kind.display_name}" for kind, count in done.written.items())
    console.print(f"{sum(done.written.values())} pictures: {counts}.")
    console.print(f"Listed in {done.labels}", soft_wrap=True)
    if done.failures:
        listed = "\n  ".join(reason for _, reason in done.failures[:SHOWN])
        raise ClearcastError(f"{len(done.failures)} pictures could not be used (see {out / 'errors.csv'}):\n  {listed}")


@app.command()
def check(
    sheet: SheetPath,
    out: Annotated[Path | None, typer.Option(help="Keep the findings as files in this folder.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace findings that the folder holds.")] = False,
    root: Root = None,
    noisy_column: NoisyColumn = Columns.noisy,
    noise_column: NoiseColumn = Columns.noise_type,
    reference_column: ReferenceColumn = Columns.reference,
    label_column: LabelColumn = Columns.label,
) -> None:
    """Say whether a sheet and its pictures are fit; exit code 1 where something must be mended."""
    columns = Columns(noisy=noisy_column, noise_type=noise_column, reference=reference_column, label=label_column)
    with progress_bar(console, "Reading pictures") as progress:
        result = check_sheet(read_sheet(sheet, columns=columns, root=root), progress=progress)
    _print_check(result)
    if out is not None:
        write_findings(result, out, force=force)
        console.print(f"Kept in {out}", soft_wrap=True)
    if not result.fit:
        raise typer.Exit(1)


@app.command()
def study(
    sheet: SheetPath,
    recipe: Annotated[str, typer.Option(help="report, report-literal, or the path of a .toml file.")] = "report",
    out: Annotated[Path | None, typer.Option(help="The run's folder. [default: runs/SHEET-RECIPE]")] = None,
    stages: Annotated[str, typer.Option(help="Which stages, such as 0,1,4 or noisy,denoised.")] = "0,1,2,3,4",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run where it stopped.")] = False,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="With --resume: run the stages again that are done.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete a run that is there and start anew.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Epochs of every network. [default: the recipe's]", min=1)] = None,
    size: Annotated[int | None, typer.Option(help="Pixels a side. [default: the recipe's]")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures a step. [default: the recipe's]", min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of every network. [default: the recipe's]")] = None,
    seed: Seed = 7,
    cache_mb: Annotated[int, typer.Option(help="Memory for decoded pictures, in MB.", min=0)] = 2048,
    device: Annotated[Device, typer.Option(help="Where to train; auto takes a GPU where there is one.")] = Device.AUTO,
    lpips_backbone: Annotated[Path | None, typer.Option(help="AlexNet's weights. [default: torch's cache]")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download AlexNet's weights for LPIPS.")] = False,
    mlflow: Annotated[str | None, typer.Option(help="Log to this MLflow tracking URI too.")] = None,
    root: Root = None,
    noisy_column: NoisyColumn = Columns.noisy,
    noise_column: NoiseColumn = Columns.noise_type,
    reference_column: ReferenceColumn = Columns.reference,
    label_column: LabelColumn = Columns.label,
) -> None:
    """Repeat the report's four stages, and the ceiling on noise-free pictures; write tables and a page."""
    columns = Columns(noisy=noisy_column, noise_type=noise_column, reference=reference_column, label=label_column)
    with _packages("train"):
        from clearcast.evaluation.study import StudyRequest, parse_stages, run_study
        from clearcast.training.recipe import load_recipe, override
    if mlflow is not None:
        with _packages("mlflow"):
            import mlflow as _  # noqa: F401 -- asked for now rather than after the first stage is prepared
    chosen = override(load_recipe(recipe), size=size, epochs=epochs, batch=batch, learning_rate=learning_rate)
    run = out or Path("runs") / f"{sheet.stem}-{chosen.name}"
    metrics = run_study(
        StudyRequest(
            sheet=read_sheet(sheet, columns=columns, root=root),
            recipe=chosen,
            out=run,
            seed=seed,
            stages=parse_stages(stages),
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
    _report(run, metrics)


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Folder for everything that the demo makes.")] = Path("demo")) -> None:
    """Render disks, add noise, study them, and write the report: all in minutes, without any data."""
    with _packages("train"):
        from clearcast.demo import run_demo
    _report(*run_demo(out, console))


def _report(run: Path, metrics: "StudyMetrics") -> None:
    from clearcast.report.page import write_report
    from clearcast.report.tables import stage_tables

    for table in stage_tables(metrics):
        console.print(table)
    console.print(f"Report: {write_report(run)}", soft_wrap=True)


def _print_check(result: Check) -> None:
    table = Table(title=f"{result.rows} rows, {result.pictures} pictures", title_justify="left", show_header=False)
    for name in ("labels", "noise_types", "sizes", "modes", "formats"):
        counts = getattr(result, name)
        table.add_row(name.replace("_", " "), ", ".join(f"{count} {value}" for value, count in counts.items()))
    console.print(table)
    shown: Counter[str] = Counter()
    for finding in result.findings:
        shown[finding.kind] += 1
        if shown[finding.kind] <= SHOWN:
            where = f" (row {finding.row}: {finding.path})" if finding.row else ""
            colour = "red" if finding.severity is Severity.ERROR else "yellow"
            said = escape(f"{finding.kind}{where}: {finding.message}")
            console.print(f"[{colour}]{finding.severity}[/] {said}", highlight=False, soft_wrap=True)
    for kind, count in shown.items():
        if count > SHOWN:
            console.print(f"... and {count - SHOWN} more of: {kind} (all of them with --out DIR)")
    errors = sum(finding.severity is Severity.ERROR for finding in result.findings)
    verdict = "Fit for training." if result.fit else f"{errors} things must be mended."
    console.print(f"{verdict} {len(result.findings) - errors} warnings.")


@contextmanager
def _packages(extra: str) -> Iterator[None]:
    """Turn a missing package of an extra into the command that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"this needs the package {error.name}, which is not installed; install it with: "
            f"pip install 'clearcast[{extra}]'"
        ) from None


def _stop(message: str, code: int) -> None:
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)
