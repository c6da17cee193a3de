"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clearcast.runtime.signing import Trust


class Device(StrEnum):
    """Where networks are trained."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


TrustedKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust",
        help="A public key (see keygen): only what its private key signed is taken; several are allowed.",
        show_default="hashes alone",
    ),
]
SheetPath = Annotated[Path, typer.Argument(help="The sheet: .xlsx, .xlsm, .xls, .csv or .parquet.", metavar="SHEET")]
EscapeCost = Annotated[
    float | None,
    typer.Option(help="What a defect called ok costs, in any unit.", show_default="as asked last, or 1"),
]
OverkillCost = Annotated[
    float | None,
    typer.Option(help="What an ok part called defect costs.", show_default="as asked last, or 1"),
]
MaxEscape = Annotated[
    float | None, typer.Option(help="In place of costs: the share of defects that may escape, such as 0.01.")
]
MaxRisk = Annotated[
    float | None, typer.Option(help="Retake pictures so that at most this share of the verdicts given is wrong.")
]
MinCoverage = Annotated[float | None, typer.Option(help="Retake pictures so that at least this share gets a verdict.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0, max=2**31 - 1)]
DeviceOption = Annotated[Device, typer.Option(help="Where to train; auto takes a GPU where there is one.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used.")]
SplitOption = Annotated[
    str,
    typer.Option(
        help="How rows are divided: grouped (whole parts), random (as published), column (see --split-column), or "
        "the split.csv of another run.",
        show_default="grouped, where a part is shown twice",
    ),
]
Groups = Annotated[
    Path | None, typer.Option(help="Which pictures show one part: a table with the columns path and group.")
]
ValidationShare = Annotated[
    float | None,
    typer.Option(
        help="Share of the other rows that choose thresholds.", min=0, max=0.9, show_default="0.15, random: none"
    ),
]
SplitColumn = Annotated[str, typer.Option(help="Column for --split column: train, validation or test.")]


def trust_of(keys: list[Path] | None) -> "Trust | None":
    """What ``--trust`` asks for; None if it is not given.

    Raises:
        OutputError: a file is not a public key.
    """
    from clearcast.runtime.signing import read_trust

    return read_trust(keys) if keys else None
