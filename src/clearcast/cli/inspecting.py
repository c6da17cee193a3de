"""The command that inspects pictures. It never needs torch."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearcast.cli.options import TrustedKeys, trust_of
from clearcast.cli.output import console, say
from clearcast.cli.sheets import Root, StripPrefix, Worksheet
from clearcast.data.sheet import Columns, Reading
from clearcast.domain import Verdict
from clearcast.evaluation.evidence.words import counted

if TYPE_CHECKING:
    from clearcast.runtime.predicting import Summary

FAILED = 3  # the exit code where --fail-on found what it names


class FailOn(StrEnum):
    """What ends the command with an exit code of its own."""

    DEFECT = "defect"
    RETAKE = "retake"
    ERROR = "error"


class Engine(StrEnum):
    """What inspects."""

    LOCAL = "local"
    RAY = "ray"


class PictureFormat(StrEnum):
    """How restored pictures are written."""

    PNG = "png"
    JPG = "jpg"


def predict(
    bundle: Annotated[Path, typer.Argument(help="A bundle: its folder, or its zip.", metavar="BUNDLE")],
    source: Annotated[
        str,
        typer.Argument(
            help="A picture, a folder, a pattern such as 'parts/**/*.png', a sheet, a .zip, a video, a store's URL, "
            "the number of a camera, or - for paths from stdin.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The results, one row a picture: .csv, .jsonl or .parquet.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the results that are there; begin where nothing is.")
    ] = False,
    denoised: Annotated[Path | None, typer.Option(help="Folder for the pictures without noise.")] = None,
    denoised_format: Annotated[PictureFormat, typer.Option(help="Of the pictures without noise.")] = PictureFormat.PNG,
    heatmaps: Annotated[Path | None, typer.Option(help="Folder for pictures of where a defect is.")] = None,
    fail_on: Annotated[
        list[FailOn] | None,
        typer.Option(help=f"End with exit code {FAILED} if there is one; several are allowed.", show_default="never"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="So many pictures at a time, each on a core.", min=1, show_default="one a core"),
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="ray: on the cluster that RAY_ADDRESS names, or else on the cores here; rows only.")
    ] = Engine.LOCAL,
    recursive: Annotated[bool, typer.Option(help="Of a folder, also its folders.")] = True,
    shard: Annotated[
        str | None,
        typer.Option(help="Only this share, such as 3/16: for machines that share the work.", show_default="all"),
    ] = None,
    root: Root = None,
    worksheet: Worksheet = None,
    strip_prefix: StripPrefix = None,
    noisy_column: Annotated[str, typer.Option(help="Of a sheet, the column of the pictures.")] = Columns.noisy,
    trust: TrustedKeys = None,
) -> None:
    """Inspect pictures: ok, defect or retake, which noise, how sure; one row a picture."""
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
    already = f"; {summary.before} had been before" if summary.before else ""
    inspected = counted(summary.pictures, "picture")
    say(f"{inspected} inspected by {summary.model} in {summary.seconds:.1f} s{rate}{already}")
    if summary.others.counts:
        say(summary.others.sentence)
    if summary.changed:
        say(f"{counted(summary.changed, 'picture')} had a row, and changed since: inspected again, the last row counts")
    for title, counts in (("Verdicts", summary.verdicts), ("Noise", summary.noise_types)):
        if counts:
            say(f"{title}: {', '.join(f'{count} {name}' for name, count in counts.most_common())}")
    if summary.errors:
        say(f"{counted(summary.errors, 'picture')} could not be inspected; the column error says why")
    if summary.unwritten:
        pictures = counted(summary.unwritten, "picture")
        _warn(f"{pictures} beside the results could not be written; the first, {summary.unwritten_reason}")
    if summary.repeats:
        say(f"{counted(summary.repeats, 'picture')} the same as the one before; is the camera frozen?")
    for sentence in summary.drift:
        _warn(sentence)


def _warn(sentence: str) -> None:
    console.print(f"Beware: {sentence}", style="yellow", markup=False, highlight=False, soft_wrap=True)
