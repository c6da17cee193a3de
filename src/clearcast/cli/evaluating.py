"""The command that measures a bundle on a labelled sheet. It measures with packages of training, but without torch."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import (
    Groups,
    Seed,
    SheetPath,
    SkipBad,
    TrustedKeys,
    trust_of,
)
from clearcast.cli.output import console, packages, say
from clearcast.cli.sheets import SheetOptions, with_sheet_options


@with_sheet_options
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle: its folder, or its zip.", metavar="BUNDLE")],
    sheet: SheetPath,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for predictions.csv and evidence.json.", show_default="none is written"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="So many pictures at a time.", min=1, show_default="one a core")
    ] = None,
    skip_bad: SkipBad = False,
    groups: Groups = None,
    seed: Seed = 7,
    trust: TrustedKeys = None,
    *,
    options: SheetOptions,
) -> None:
    """Measure a bundle on pictures whose truth a sheet tells, as it inspects on the line."""
    with packages("train"):
        from clearcast.bundle.evaluating import EvaluateRequest
        from clearcast.bundle.evaluating import evaluate as measure
        from clearcast.report.evaluated import evaluation_tables
    found = measure(
        EvaluateRequest(
            bundle=bundle,
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
    for table in evaluation_tables(found.table, found.evidence):
        console.print(table)
    if found.learned:
        say(
            f"The bundle was trained on {found.learned} rows of this sheet: measured are only the other "
            f"{len(found.table)}, which it did not learn from."
        )
    if out:
        say(f"Tables: {out}")
