"""The command that chooses another threshold for a bundle. It needs packages of training, but not torch."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import MaxEscape, MaxRisk, MinCoverage, TrustedKeys, trust_of
from clearcast.cli.output import console, packages, remind_to_sign, say
from clearcast.errors import RecipeError


def tune(
    bundle: Annotated[Path, typer.Argument(help="A bundle: its folder, or its zip.", metavar="BUNDLE")],
    out: Annotated[Path, typer.Argument(help="The new bundle: a folder, or one file if it ends in .zip.")],
    escape_cost: Annotated[
        float | None, typer.Option(help="What a defect called ok costs, in any unit.", show_default="1")
    ] = None,
    overkill_cost: Annotated[
        float | None, typer.Option(help="What an ok part called defect costs.", show_default="1")
    ] = None,
    max_escape: MaxEscape = None,
    max_risk: MaxRisk = None,
    min_coverage: MinCoverage = None,
    trust: TrustedKeys = None,
) -> None:
    """Choose a bundle's threshold by what mistakes cost, and pictures to retake; nothing is trained.

    What it says of parts that it did not learn from chooses; the test pictures show what that does.
    """
    with packages("train"):
        from clearcast.bundle.tuning import tune as tune_bundle
        from clearcast.evaluation.evidence.wishes import Wishes
        from clearcast.report.tuned import tuning_table
    if max_escape is not None and (escape_cost, overkill_cost) != (None, None):
        raise RecipeError("--max-escape stands in place of costs; leave out --escape-cost and --overkill-cost, or it")
    wishes = Wishes(
        escape_cost=1.0 if escape_cost is None else escape_cost,
        overkill_cost=1.0 if overkill_cost is None else overkill_cost,
        max_escape=max_escape,
        max_risk=max_risk,
        min_coverage=min_coverage,
    )
    tuned = tune_bundle(bundle, out, wishes, console=console, trust=trust_of(trust))
    console.print(tuning_table(tuned))
    decision = tuned.evidence["decisions"]["denoised"]
    if decision["retake"]:
        say(f"Before any is retaken: {decision['sentence']}")
        say(decision["retake"]["sentence"])
    else:
        say(decision["sentence"])
    remind_to_sign(bundle, out)
    say(f"Bundle: {out}")
