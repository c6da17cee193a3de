"""Command ``tune``; it needs packages of the extra ``train``, but not torch."""

from typing import Annotated

import typer

from clearcast.cli.options import BundlePath, MaxEscape, MaxRisk, MinCoverage, NewBundle, TrustedKeys, trust_of
from clearcast.cli.output import console, packages, remind_to_sign, say
from clearcast.errors import RecipeError


def tune(
    bundle: BundlePath,
    out: NewBundle,
    escape_cost: Annotated[
        float | None, typer.Option(help="Cost of an escape (a defect called ok), in any unit.", show_default="1")
    ] = None,
    overkill_cost: Annotated[
        float | None, typer.Option(help="Cost of an overkill (an ok part called defect).", show_default="1")
    ] = None,
    max_escape: MaxEscape = None,
    max_risk: MaxRisk = None,
    min_coverage: MinCoverage = None,
    trust: TrustedKeys = None,
) -> None:
    """Choose a bundle's threshold, and which images to retake, by costs or limits; nothing is trained.

    They are chosen on cross-fitted predictions of the training parts, and measured on the test images.
    """
    with packages("train"):
        from clearcast.bundle.tuning import tune as tune_bundle
        from clearcast.evaluation.evidence.wishes import Wishes
        from clearcast.report.tuned import tuning_table
    if max_escape is not None and (escape_cost, overkill_cost) != (None, None):
        raise RecipeError(
            "--max-escape replaces costs; leave out either --max-escape or --escape-cost and --overkill-cost"
        )
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
        say(f"Without retakes: {decision['sentence']}")
        say(decision["retake"]["sentence"])
    else:
        say(decision["sentence"])
    remind_to_sign(bundle, out)
    say(f"Bundle: {out}")
