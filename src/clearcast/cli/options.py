"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

SheetPath = Annotated[Path, typer.Argument(help="The sheet: .xlsx, .xls, .csv or .parquet.", metavar="SHEET")]
Root = Annotated[
    Path | None, typer.Option(help="Folder that the sheet's paths are relative to. [default: the sheet's]")
]
NoisyColumn = Annotated[str, typer.Option(help="Column of the noisy pictures' paths.")]
NoiseColumn = Annotated[str, typer.Option(help="Column of the noise types.")]
ReferenceColumn = Annotated[str, typer.Option(help="Column of the noise-free pictures' paths.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the labels.", show_default="the words of the paths")]
GroupColumn = Annotated[
    str | None,
    typer.Option(help="Column that names the part each row shows.", show_default="Group, where there is one"),
]
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
