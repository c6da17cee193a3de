"""The command that measures a bundle on a labelled sheet. It measures with packages of training, but without torch."""

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
    root: Root = None,
    noisy_column: NoisyColumn = Columns.noisy,
    noise_column: NoiseColumn = Columns.noise_type,
    reference_column: ReferenceColumn = Columns.reference,
    label_column: LabelColumn = Columns.label,
    group_column: GroupColumn = Columns.group,
    trust: TrustedKeys = None,
) -> None:
    """Measure a bundle on pictures whose truth a sheet tells, as it inspects on the line."""
    columns = Columns(
        noisy=noisy_column,
        noise_type=noise_column,
        reference=reference_column,
        label=label_column,
        group=group_column,
    )
    with packages("train"):
        from clearcast.bundle.evaluating import EvaluateRequest
        from clearcast.bundle.evaluating import evaluate as measure
        from clearcast.report.evaluated import evaluation_tables
    found = measure(
        EvaluateRequest(
            bundle=bundle,
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
    for table in evaluation_tables(found.table, found.evidence):
        console.print(table)
    if found.learned:
        say(
            f"The bundle was trained on {found.learned} rows of this sheet: measured are only the other "
            f"{len(found.table)}, which it did not learn from."
        )
    if out:
        say(f"Tables: {out}")
