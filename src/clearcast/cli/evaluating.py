"""Command ``evaluate``; it needs packages of the extra ``train``, but not torch."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import (
    BundlePath,
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
def evaluate(
    bundle: BundlePath,
    sheet: SheetPath,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for predictions.csv and evidence.json.", show_default="not written"),
    ] = None,
    threads: Threads = None,
    skip_bad: SkipBad = False,
    groups: Groups = None,
    seed: Seed = 7,
    trust: TrustedKeys = None,
    *,
    options: SheetOptions,
) -> None:
    """Measure a bundle on a labelled sheet."""
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
            f"The bundle was trained on {found.learned} rows of this sheet; only the other {len(found.table)} rows are "
            "measured."
        )
    if out:
        say(f"Tables: {out}")
