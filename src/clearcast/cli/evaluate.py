"""Commands ``evaluate``, ``compare`` and ``tune``; they need packages of the extra ``train``, but not torch."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import (
    BundleArgument,
    GroupsOption,
    MaxEscapeOption,
    MaxRiskOption,
    MinCoverageOption,
    NewBundleArgument,
    SeedOption,
    SheetArgument,
    SheetOptions,
    SkipBadOption,
    ThreadsOption,
    TrustOption,
    read_trust_option,
    with_sheet_options,
)
from clearcast.cli.output import console, print_line, remind_to_sign, require_extra
from clearcast.core.errors import RecipeError


@with_sheet_options
def evaluate(
    bundle: BundleArgument,
    sheet: SheetArgument,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for predictions.csv and evidence.json.", show_default="not written"),
    ] = None,
    threads: ThreadsOption = None,
    skip_bad: SkipBadOption = False,
    groups: GroupsOption = None,
    seed: SeedOption = 7,
    trust: TrustOption = None,
    *,
    options: SheetOptions,
) -> None:
    """Measure a bundle on a labelled sheet."""
    with require_extra("train"):
        from clearcast.evaluation.evaluate import EvaluateRequest, evaluate_bundle
        from clearcast.report.terminal_tables import make_evaluation_tables
    found = evaluate_bundle(
        EvaluateRequest(
            bundle=bundle,
            sheet=options.read(sheet),
            groups=groups,
            out=out,
            skip_bad=skip_bad,
            threads=threads,
            trust=read_trust_option(trust),
            seed=seed,
            console=console,
        )
    )
    for table in make_evaluation_tables(found.table, found.evidence):
        console.print(table)
    if found.used_rows:
        print_line(
            f"The bundle was trained on {found.used_rows} rows of this sheet; only the other {len(found.table)} rows "
            "are measured."
        )
    if out:
        print_line(f"Tables: {out}")


@with_sheet_options
def compare(
    first: Annotated[
        Path, typer.Argument(help="A bundle, such as the one in use: its folder or its .zip.", metavar="A")
    ],
    second: Annotated[Path, typer.Argument(help="Another bundle, such as its replacement.", metavar="B")],
    sheet: SheetArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for differences.csv, changed.csv, predictions.csv and conclusion.txt.",
            show_default="not written",
        ),
    ] = None,
    threads: ThreadsOption = None,
    skip_bad: SkipBadOption = False,
    groups: GroupsOption = None,
    seed: SeedOption = 7,
    trust: TrustOption = None,
    *,
    options: SheetOptions,
) -> None:
    """Compare two bundles on images that neither was trained on: which is better, and which verdicts change."""
    with require_extra("train"):
        from clearcast.evaluation.compare import CompareRequest, compare_bundles
        from clearcast.report.terminal_tables import make_changed_verdicts_table, make_difference_table
    found = compare_bundles(
        CompareRequest(
            first=first,
            second=second,
            sheet=options.read(sheet),
            groups=groups,
            out=out,
            skip_bad=skip_bad,
            threads=threads,
            trust=read_trust_option(trust),
            seed=seed,
            console=console,
        )
    )
    console.print(make_difference_table(found.differences))
    if not found.changed.empty:
        console.print(make_changed_verdicts_table(found.changed))
    for line in (*found.notes, *found.conclusions):
        print_line(line)
    if out:
        print_line(f"Tables: {out}")


def tune(
    bundle: BundleArgument,
    out: NewBundleArgument,
    escape_cost: Annotated[
        float | None, typer.Option(help="Cost of an escape (a defect called ok), in any unit.", show_default="1")
    ] = None,
    overkill_cost: Annotated[
        float | None, typer.Option(help="Cost of an overkill (an ok part called defect).", show_default="1")
    ] = None,
    max_escape: MaxEscapeOption = None,
    max_risk: MaxRiskOption = None,
    min_coverage: MinCoverageOption = None,
    trust: TrustOption = None,
) -> None:
    """Choose a bundle's threshold, and which images to retake, by costs or limits; nothing is trained.

    They are chosen on cross-fitted predictions of the training parts, and measured on the test images.
    """
    with require_extra("train"):
        from clearcast.evaluation.tune import tune_bundle
        from clearcast.metrics.evidence.scores import DecisionPolicy
        from clearcast.report.terminal_tables import make_tuning_table
    if max_escape is not None and (escape_cost, overkill_cost) != (None, None):
        raise RecipeError(
            "--max-escape replaces costs; leave out either --max-escape or --escape-cost and --overkill-cost"
        )
    policy = DecisionPolicy(
        escape_cost=1.0 if escape_cost is None else escape_cost,
        overkill_cost=1.0 if overkill_cost is None else overkill_cost,
        max_escape=max_escape,
        max_risk=max_risk,
        min_coverage=min_coverage,
    )
    tuned = tune_bundle(bundle, out, policy, console=console, trust=read_trust_option(trust))
    console.print(make_tuning_table(tuned))
    decision = tuned.evidence["decisions"]["denoised"]
    if decision["retake"]:
        print_line(f"Without retakes: {decision['sentence']}")
        print_line(decision["retake"]["sentence"])
    else:
        print_line(decision["sentence"])
    remind_to_sign(bundle, out)
    print_line(f"Bundle: {out}")
