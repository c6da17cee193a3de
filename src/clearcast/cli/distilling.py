"""The command that distils a bundle to a quick one. What needs torch is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import Device, DeviceOption, TrustedKeys, trust_of
from clearcast.cli.output import console, packages, remind_to_sign, say
from clearcast.cli.sheets import Root, StripPrefix


def distill(
    bundle: Annotated[Path, typer.Argument(help="The folder of a bundle of recipe clear.", metavar="BUNDLE")],
    out: Annotated[Path, typer.Option(help="The quick bundle's folder.")],
    budget: Annotated[
        float | None, typer.Option(help="Minutes for all of it, on this machine.", show_default="the recipe's steps")
    ] = None,
    side: Annotated[
        int,
        typer.Option(help="Pixels of the longer side of what is looked at: more show finer defects, and take longer."),
    ] = 160,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete a bundle that is there and start anew.")] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Where the sheet that BUNDLE was trained on is now.", show_default="where it was"),
    ] = None,
    root: Root = None,
    strip_prefix: StripPrefix = None,
    device: DeviceOption = Device.AUTO,
    trust: TrustedKeys = None,
) -> None:
    """Make a quick bundle of another: verdicts at a glance at the noisy picture, restored pictures on demand."""
    with packages("train"):
        from clearcast.bundle.distilling import distill as distill_bundle
        from clearcast.bundle.distilling import request_of
        from clearcast.bundle.packaging import Data
        from clearcast.report.bundle import bundle_table
    request = request_of(
        bundle,
        out,
        Data(sheet=sheet, root=root, strip_prefix=tuple(strip_prefix or ())),
        budget=budget,
        side=side,
        resume=resume,
        force=force,
        accelerator=device.value,
        trust=trust_of(trust),
        console=console,
    )
    manifest = distill_bundle(request)
    console.print(bundle_table(manifest))
    say(f"Compare it with its teacher on pictures of parts that neither knows: clearcast compare {bundle} {out} SHEET")
    if (bundle / "wishes.json").exists():
        say("The teacher was tuned, and this one is not: give it the same wishes with 'clearcast tune'.")
    remind_to_sign(bundle, out)
    say(f"Bundle: {out}")
