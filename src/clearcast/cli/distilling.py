"""Command ``distill``; torch is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import Budget, Device, DeviceOption, Force, Resume, TrainedSheet, TrustedKeys, trust_of
from clearcast.cli.output import console, packages, remind_to_sign, say
from clearcast.cli.sheets import Root, StripPrefix


def distill(
    bundle: Annotated[Path, typer.Argument(help="The folder of a bundle of recipe clear.", metavar="BUNDLE")],
    out: Annotated[Path, typer.Option(help="The new bundle's folder.")],
    budget: Budget = None,
    side: Annotated[
        int,
        typer.Option(help="Pixels of the longer side of the network's input: more show finer defects but take longer."),
    ] = 160,
    resume: Resume = False,
    force: Force = False,
    sheet: TrainedSheet = None,
    root: Root = None,
    strip_prefix: StripPrefix = None,
    device: DeviceOption = Device.AUTO,
    trust: TrustedKeys = None,
) -> None:
    """Distil a bundle into a faster one, which classifies the noisy image and denoises on demand."""
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
    say(f"Compare it with its teacher on images of other parts: clearcast compare {bundle} {out} SHEET")
    if (bundle / "wishes.json").exists():
        say("The teacher was tuned, but this bundle is not; tune it with the same options of 'clearcast tune'.")
    remind_to_sign(bundle, out)
    say(f"Bundle: {out}")
