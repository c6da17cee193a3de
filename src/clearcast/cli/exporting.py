"""The commands that write a bundle anew, that make keys to sign one, and that verify one."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import TrustedKeys, trust_of
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
    sign: Annotated[
        Path | None,
        typer.Option(help="Sign the new bundle with this private key (see keygen).", show_default="as it was"),
    ] = None,
    trust: TrustedKeys = None,
) -> None:
    """Make a bundle of a study, zip or unzip one, or give graphs to an old one; proved equal before it is written."""
    from clearcast.runtime.repacking import has_graphs, repack

    if has_graphs(source):  # to copy needs no torch: it works also where pictures are inspected
        repack(source, out, trust=trust_of(trust), key=sign)
    else:
        with packages("train"):
            from clearcast.bundle.packaging import Data
            from clearcast.bundle.packaging import export as export_bundle
        data = Data(sheet=sheet, root=root, strip_prefix=tuple(strip_prefix or ()))
        export_bundle(source, out, data=data, trust=trust_of(trust), key=sign)
    say(f"Bundle: {out}")


def keygen(
    name: Annotated[Path, typer.Argument(help="Where to write: NAME.key and NAME.pub.", metavar="NAME")],
) -> None:
    """Make a pair of keys: one to sign bundles with, and one by which others know them."""
    from clearcast.runtime.signing import make_keys

    private, public = name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub")
    make_keys(private, public)
    say(f"Private key, keep it secret: {private} (for 'clearcast export BUNDLE OUT --sign {private}')")
    say(f"Public key, for every machine that inspects: {public} (for --trust {public})")


def verify(
    bundle: BundlePath,
    timeout: Annotated[float, typer.Option(help="Seconds that its graphs have to answer.", min=0.1)] = 60.0,
    trust: TrustedKeys = None,
) -> None:
    """Check that a bundle is whole, and says on this machine what it said where it was made."""
    from clearcast.runtime.verifying import verify as verify_bundle

    found = verify_bundle(bundle, timeout=timeout, trust=trust_of(trust))
    manifest = found.manifest
    identity = f"format {manifest['format']}, fingerprint {manifest['fingerprint'][:8]}"
    say(f"{bundle} is whole: {found.files} files, {identity}{', signed by a trusted key' if trust else ''}")
    say(
        f"  recipe {manifest['recipe']}, made {manifest['created'][:10]} by Clearcast {manifest['clearcast']} from "
        f"{manifest['trained_on']['sheet']}"
    )
    say(
        f"  {found.pictures} golden pictures: the same verdicts; probabilities differ by "
        f"{found.largest_difference:.1g} at most"
    )
