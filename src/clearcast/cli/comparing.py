"""The command that tells which of two bundles is better, before anyone swaps them. It needs no torch."""

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
    SkipBad,
    TrustedKeys,
    trust_of,
)
from clearcast.cli.output import console, packages, say
from clearcast.data.sheet import Columns, read_sheet


def compare(
    first: Annotated[Path, typer.Argument(help="A bundle, such as the one in use: its folder or zip.", metavar="A")],
    second: Annotated[Path, typer.Argument(help="Another, such as the one to take its place.", metavar="B")],
    sheet: SheetPath,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for differences.csv, changed.csv, predictions.csv and conclusion.txt.",
            show_default="none is written",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="So many pictures at a time.", min=1, show_default="one a core")
    ] = None,
    skip_bad: SkipBad = False,
    groups: Groups = None,
    seed: Seed = 7,
    root: Root = None,
    noisy_column: NoisyColumn = Columns.noisy,
    noise_column: NoiseColumn = Columns.noise_type,
    reference_column: ReferenceColumn = Columns.reference,
    label_column: LabelColumn = Columns.label,
    group_column: GroupColumn = Columns.group,
    trust: TrustedKeys = None,
) -> None:
    """Tell which of two bundles is better on pictures that neither learned from, and which verdicts change."""
    columns = Columns(
        noisy=noisy_column,
        noise_type=noise_column,
        reference=reference_column,
        label=label_column,
        group=group_column,
    )
    with packages("train"):
        from clearcast.bundle.comparing import CompareRequest
        from clearcast.bundle.comparing import compare as compare_bundles
        from clearcast.report.compared import changed_table, difference_table
    found = compare_bundles(
        CompareRequest(
            first=first,
            second=second,
            sheet=read_sheet(sheet, columns=columns, root=root),
            groups=groups,
            out=out,
            skip_bad=skip_bad,
            threads=threads,
            trust=trust_of(trust),
            seed=seed,
            console=console,
        )
    )
    console.print(difference_table(found.differences))
    if not found.changed.empty:
        console.print(changed_table(found.changed))
    for line in (*found.notes, *found.conclusions):
        say(line)
    if out:
        say(f"Tables: {out}")
