"""The commands that write a bundle anew and that verify one."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.output import packages, say
from clearcast.cli.sheets import Root, StripPrefix

BundlePath = Annotated[Path, typer.Argument(help="The bundle: its folder, or its zip.", metavar="BUNDLE")]


def export(
    source: Annotated[Path, typer.Argument(help="A bundle, or the folder of a study.", metavar="SOURCE")],
    out: Annotated[Path, typer.Argument(help="The new bundle: a folder, or one file if it ends in .zip.")],
    sheet: Annotated[
        Path | None, typer.Option(help="The sheet that SOURCE was made of.", show_default="where it was then")
    ] = None,
    root: Root = None,
    strip_prefix: StripPrefix = None,
) -> None:
    """Make a bundle of a study, zip or unzip one, or give graphs to an old one; proved equal before it is written."""
    from clearcast.runtime.repacking import has_graphs, repack

    if has_graphs(source):  # to copy needs no torch: it works also where pictures are inspected
        repack(source, out)
    else:
        with packages("train"):
            from clearcast.bundle.packaging import Data
            from clearcast.bundle.packaging import export as export_bundle
        export_bundle(source, out, data=Data(sheet=sheet, root=root, strip_prefix=tuple(strip_prefix or ())))
    say(f"Bundle: {out}")


def verify(bundle: BundlePath) -> None:
    """Check that a bundle is whole, and says on this machine what it said where it was made."""
    from clearcast.runtime.verifying import verify as verify_bundle

    found = verify_bundle(bundle)
    manifest = found.manifest
    identity = f"format {manifest['format']}, fingerprint {manifest['fingerprint'][:8]}"
    say(f"{bundle} is whole: {found.files} files, {identity}")
    say(
        f"  recipe {manifest['recipe']}, made {manifest['created'][:10]} by Clearcast {manifest['clearcast']} from "
        f"{manifest['trained_on']['sheet']}"
    )
    say(
        f"  {found.pictures} golden pictures: the same verdicts; probabilities differ by "
        f"{found.largest_difference:.1g} at most"
    )
