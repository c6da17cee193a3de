"""Arguments and options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clearcast.runtime.signing import Trust


class Device(StrEnum):
    """The device that networks are trained on."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class ImageFormat(StrEnum):
    """The file format of denoised images."""

    PNG = "png"
    JPG = "jpg"


BundlePath = Annotated[Path, typer.Argument(help="A bundle: its folder or its .zip.", metavar="BUNDLE")]
NewBundle = Annotated[Path, typer.Argument(help="The new bundle: a folder, or one file if it ends in .zip.")]
Threads = Annotated[
    int | None, typer.Option(help="Images inspected at a time, each on one core.", min=1, show_default="one a core")
]
Budget = Annotated[
    float | None,
    typer.Option(help="Minutes for everything, on this machine.", show_default="the recipe's number of steps"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue where it stopped.")]
Force = Annotated[bool, typer.Option("--force", help="Delete what the folder holds and start again.")]
TrainedSheet = Annotated[
    Path | None,
    typer.Option(help="The sheet that it was trained on, if it was moved.", show_default="where it was"),
]
TrustedKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust",
        help="A public key (see keygen): accept only bundles that its private key signed; repeatable.",
        show_default="hashes only",
    ),
]
SheetPath = Annotated[Path, typer.Argument(help="The sheet: .xlsx, .xlsm, .xls, .csv or .parquet.", metavar="SHEET")]
EscapeCost = Annotated[
    float | None,
    typer.Option(help="Cost of an escape (a defect called ok), in any unit.", show_default="the last one, or 1"),
]
OverkillCost = Annotated[
    float | None,
    typer.Option(help="Cost of an overkill (an ok part called defect).", show_default="the last one, or 1"),
]
MaxEscape = Annotated[
    float | None, typer.Option(help="Largest share of defects that may escape, such as 0.01; instead of costs.")
]
MaxRisk = Annotated[
    float | None, typer.Option(help="Retake images so that at most this share of the verdicts is wrong.")
]
MinCoverage = Annotated[float | None, typer.Option(help="Retake images, but give at least this share a verdict.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0, max=2**31 - 1)]
DeviceOption = Annotated[Device, typer.Option(help="Train on this device; auto takes a GPU if there is one.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out unusable rows.")]
SplitOption = Annotated[
    str,
    typer.Option(
        help="Split the rows: grouped (whole parts), random (as published), column (see --split-column), or the "
        "split.csv of another run.",
        show_default="grouped, if a part is shown twice",
    ),
]
Groups = Annotated[
    Path | None, typer.Option(help="A table of the images that show one part, with the columns path and group.")
]
ValidationShare = Annotated[
    float | None,
    typer.Option(
        help="Share of the training rows that choose the threshold.", min=0, max=0.9, show_default="0.15, random: none"
    ),
]
SplitColumn = Annotated[str, typer.Option(help="Column of --split column, with train, validation or test.")]


def trust_of(keys: list[Path] | None) -> "Trust | None":
    """Read the public keys of ``--trust``; None if it is not given.

    Raises:
        OutputError: a file is not a public key.
    """
    from clearcast.runtime.signing import read_trust

    return read_trust(keys) if keys else None
