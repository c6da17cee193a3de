"""Command ``predict``; it never needs torch."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearcast.cli.options import (
    BundleArgument,
    ImageFormat,
    NoisyColumnOption,
    RootOption,
    StripPrefixOption,
    ThreadsOption,
    TrustOption,
    WorksheetOption,
    read_trust_option,
)
from clearcast.cli.output import console, print_line, print_warning
from clearcast.core.numbers import format_count
from clearcast.data.sheet import SheetColumns, SheetReading
from clearcast.types import Verdict

if TYPE_CHECKING:
    from clearcast.inference.predict import PredictSummary


EXIT_FAILED = 3  # exit code if a result is one of --fail-on


class FailOn(StrEnum):
    """Results that end the command with exit code ``EXIT_FAILED``."""

    DEFECT = "defect"
    RETAKE = "retake"
    ERROR = "error"


class Engine(StrEnum):
    """Engine of the inspection: this process, or Ray."""

    LOCAL = "local"
    RAY = "ray"


def predict(
    bundle: BundleArgument,
    source: Annotated[
        str,
        typer.Argument(
            help="An image, a folder, a pattern such as 'parts/**/*.png', a sheet, a .zip, a video, a URL of an object "
            "store, the number of a camera, or - for paths from stdin.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The results, one row per image: .csv, .jsonl or .parquet.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the results if the file exists.")] = False,
    denoised: Annotated[Path | None, typer.Option(help="Folder for the denoised images.")] = None,
    denoised_format: Annotated[ImageFormat, typer.Option(help="File format of the denoised images.")] = ImageFormat.PNG,
    heatmaps: Annotated[Path | None, typer.Option(help="Folder for heat maps, which show where a defect is.")] = None,
    fail_on: Annotated[
        list[FailOn] | None,
        typer.Option(help=f"Exit with code {EXIT_FAILED} if there is one; repeatable.", show_default="never"),
    ] = None,
    threads: ThreadsOption = None,
    engine: Annotated[
        Engine,
        typer.Option(help="ray: on the cluster of RAY_ADDRESS, or on this machine's cores; writes rows only."),
    ] = Engine.LOCAL,
    recursive: Annotated[bool, typer.Option(help="Include the subfolders of a folder.")] = True,
    shard: Annotated[
        str | None,
        typer.Option(help="Inspect only this share, such as 3/16, if machines share the work.", show_default="all"),
    ] = None,
    root: RootOption = None,
    worksheet: WorksheetOption = None,
    strip_prefix: StripPrefixOption = None,
    noisy_column: NoisyColumnOption = SheetColumns.noisy,
    trust: TrustOption = None,
) -> None:
    """Inspect images: verdict, probability and noise type, one row per image."""
    from clearcast.inference.image_outputs import ImageOutputs
    from clearcast.inference.predict import PredictRequest, predict_source
    from clearcast.inference.sources import parse_shard

    failing = fail_on or []
    request = PredictRequest(
        bundle=bundle,
        source=source,
        out=out,
        resume=resume,
        outputs=ImageOutputs(denoised=denoised, suffix=f".{denoised_format}", heatmaps=heatmaps),
        threads=threads,
        on_ray=engine is Engine.RAY,
        recursive=recursive,
        shard=parse_shard(shard) if shard else None,
        root=root,
        column=noisy_column,
        reading=SheetReading(worksheet=worksheet, strip_prefix=tuple(strip_prefix or ())),
        required_verdicts=frozenset(Verdict(each) for each in failing if each is not FailOn.ERROR),
        trust=read_trust_option(trust),
        console=console,
    )
    summary = predict_source(request)
    _print_summary(summary)
    print_line(f"Results: {out}")
    if any(summary.errors if each is FailOn.ERROR else summary.verdicts[each.value] for each in failing):
        raise typer.Exit(EXIT_FAILED)


def _print_summary(summary: "PredictSummary") -> None:
    rate = f", {summary.images / summary.seconds:.1f} a second" if summary.seconds else ""
    already = f"; {summary.before} inspected before" if summary.before else ""
    inspected = format_count(summary.images, "image")
    print_line(f"{inspected} inspected by {summary.model} in {summary.seconds:.1f} s{rate}{already}")
    if summary.others.counts:
        print_line(summary.others.sentence)
    if summary.changed:
        print_line(f"{format_count(summary.changed, 'changed image')} inspected again; the last row of each counts")
    for title, counts in (("Verdicts", summary.verdicts), ("Noise", summary.noise_types)):
        if counts:
            print_line(f"{title}: {', '.join(f'{count} {name}' for name, count in counts.most_common())}")
    if summary.errors:
        print_line(f"{format_count(summary.errors, 'image')} could not be inspected; see the column error")
    if summary.unwritten:
        files = format_count(summary.unwritten, "output file")
        print_warning(
            f"{files} of denoised images and heat maps could not be written; the first: {summary.unwritten_reason}"
        )
    if summary.repeats:
        print_line(f"{format_count(summary.repeats, 'image')} identical to the previous one; is the camera frozen?")
    for sentence in summary.drift:
        print_warning(sentence)
