"""Command ``compare``; it needs packages of the extra ``train``, but not torch."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import (
    Groups,
    Seed,
    SheetPath,
    SkipBad,
    Threads,
    TrustedKeys,
    trust_of,
)
from clearcast.cli.output import console, packages, say
from clearcast.cli.sheets import SheetOptions, with_sheet_options


@with_sheet_options
def compare(
    first: Annotated[
        Path, typer.Argument(help="A bundle, such as the one in use: its folder or its .zip.", metavar="A")
    ],
    second: Annotated[Path, typer.Argument(help="Another bundle, such as its replacement.", metavar="B")],
    sheet: SheetPath,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for differences.csv, changed.csv, predictions.csv and conclusion.txt.",
            show_default="not written",
        ),
    ] = None,
    threads: Threads = None,
    skip_bad: SkipBad = False,
    groups: Groups = None,
    seed: Seed = 7,
    trust: TrustedKeys = None,
    *,
    options: SheetOptions,
) -> None:
    """Compare two bundles on images that neither was trained on: which is better, and which verdicts change."""
    with packages("train"):
        from clearcast.bundle.comparing import CompareRequest
        from clearcast.bundle.comparing import compare as compare_bundles
        from clearcast.report.compared import changed_table, difference_table
    found = compare_bundles(
        CompareRequest(
            first=first,
            second=second,
            sheet=options.read(sheet),
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
