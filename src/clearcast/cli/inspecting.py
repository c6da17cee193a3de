"""Command ``predict``; it never needs torch."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearcast.cli.options import BundlePath, ImageFormat, Threads, TrustedKeys, trust_of
from clearcast.cli.output import console, say, warn
from clearcast.cli.sheets import NoisyColumn, Root, StripPrefix, Worksheet
from clearcast.data.sheet import Columns, Reading
from clearcast.domain import Verdict
from clearcast.evaluation.evidence.words import counted

if TYPE_CHECKING:
    from clearcast.runtime.predicting import Summary

FAILED = 3  # exit code if --fail-on found what it names


class FailOn(StrEnum):
    """The results that end the command with exit code ``FAILED``."""

    DEFECT = "defect"
    RETAKE = "retake"
    ERROR = "error"


class Engine(StrEnum):
    """Where the inspection runs."""

    LOCAL = "local"
    RAY = "ray"


def predict(
    bundle: BundlePath,
    source: Annotated[
        str,
        typer.Argument(
            help="An image, a folder, a pattern such as 'parts/**/*.png', a sheet, a .zip, a video, a URL of an object "
            "store, the number of a camera, or - for paths from stdin.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The results, one row an image: .csv, .jsonl or .parquet.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the results if the file exists.")] = False,
    denoised: Annotated[Path | None, typer.Option(help="Folder for the denoised images.")] = None,
    denoised_format: Annotated[ImageFormat, typer.Option(help="File format of the denoised images.")] = ImageFormat.PNG,
    heatmaps: Annotated[Path | None, typer.Option(help="Folder for heat maps, which show where a defect is.")] = None,
    fail_on: Annotated[
        list[FailOn] | None,
        typer.Option(help=f"Exit with code {FAILED} if there is one; repeatable.", show_default="never"),
    ] = None,
    threads: Threads = None,
    engine: Annotated[
        Engine,
        typer.Option(help="ray: on the cluster of RAY_ADDRESS, or on this machine's cores; writes rows only."),
    ] = Engine.LOCAL,
    recursive: Annotated[bool, typer.Option(help="Include the subfolders of a folder.")] = True,
    shard: Annotated[
        str | None,
        typer.Option(help="Inspect only this share, such as 3/16, if machines share the work.", show_default="all"),
    ] = None,
    root: Root = None,
    worksheet: Worksheet = None,
    strip_prefix: StripPrefix = None,
    noisy_column: NoisyColumn = Columns.noisy,
    trust: TrustedKeys = None,
) -> None:
    """Inspect images: verdict, probability and noise type, one row an image."""
    from clearcast.runtime.beside import Beside
    from clearcast.runtime.predicting import PredictRequest
    from clearcast.runtime.predicting import predict as inspect
    from clearcast.runtime.sources import parse_shard

    wanted = fail_on or []
    request = PredictRequest(
        bundle=bundle,
        source=source,
        out=out,
        resume=resume,
        outputs=Beside(denoised=denoised, suffix=f".{denoised_format}", heatmaps=heatmaps),
        threads=threads,
        on_ray=engine is Engine.RAY,
        recursive=recursive,
        shard=parse_shard(shard) if shard else None,
        root=root,
        column=noisy_column,
        reading=Reading(worksheet=worksheet, strip_prefix=tuple(strip_prefix or ())),
        required_verdicts=frozenset(Verdict(each) for each in wanted if each is not FailOn.ERROR),
        trust=trust_of(trust),
        console=console,
    )
    summary = inspect(request)
    _print_summary(summary)
    say(f"Results: {out}")
    if any(summary.errors if each is FailOn.ERROR else summary.verdicts[each.value] for each in wanted):
        raise typer.Exit(FAILED)


def _print_summary(summary: "Summary") -> None:
    rate = f", {summary.pictures / summary.seconds:.1f} a second" if summary.seconds else ""
    already = f"; {summary.before} inspected before" if summary.before else ""
    inspected = counted(summary.pictures, "image")
    say(f"{inspected} inspected by {summary.model} in {summary.seconds:.1f} s{rate}{already}")
    if summary.others.counts:
        say(summary.others.sentence)
    if summary.changed:
        say(f"{counted(summary.changed, 'changed image')} inspected again; the last row of each counts")
    for title, counts in (("Verdicts", summary.verdicts), ("Noise", summary.noise_types)):
        if counts:
            say(f"{title}: {', '.join(f'{count} {name}' for name, count in counts.most_common())}")
    if summary.errors:
        say(f"{counted(summary.errors, 'image')} could not be inspected; see the column error")
    if summary.unwritten:
        files = counted(summary.unwritten, "output file")
        warn(f"{files} of denoised images and heat maps could not be written; the first: {summary.unwritten_reason}")
    if summary.repeats:
        say(f"{counted(summary.repeats, 'image')} identical to the previous one; is the camera frozen?")
    for sentence in summary.drift:
        warn(sentence)
