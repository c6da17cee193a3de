"""Commands ``export``, ``keygen`` and ``verify``."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import BundlePath, NewBundle, TrainedSheet, TrustedKeys, trust_of
from clearcast.cli.output import packages, say
from clearcast.cli.sheets import Root, StripPrefix


def export(
    source: Annotated[Path, typer.Argument(help="A bundle, or the folder of a study's run.", metavar="SOURCE")],
    out: NewBundle,
    sheet: TrainedSheet = None,
    root: Root = None,
    strip_prefix: StripPrefix = None,
    sign: Annotated[
        Path | None,
        typer.Option(help="Sign the new bundle with this private key (see keygen).", show_default="keep its signature"),
    ] = None,
    trust: TrustedKeys = None,
) -> None:
    """Export a study's run as a bundle, zip a bundle's folder, or unzip it."""
    from clearcast.runtime.repacking import has_graphs, repack

    if has_graphs(source):  # copying needs no torch
        repack(source, out, trust=trust_of(trust), key=sign)
    else:
        with packages("train"):
            from clearcast.bundle.packaging import Data
            from clearcast.bundle.packaging import export as export_bundle
        data = Data(sheet=sheet, root=root, strip_prefix=tuple(strip_prefix or ()))
        export_bundle(source, out, data=data, trust=trust_of(trust), key=sign)
    say(f"Bundle: {out}")


def keygen(
    name: Annotated[Path, typer.Argument(help="Write NAME.key and NAME.pub.", metavar="NAME")],
) -> None:
    """Create a key pair: a private key to sign bundles with, and a public key to verify them."""
    from clearcast.runtime.signing import make_keys

    private, public = name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub")
    make_keys(private, public)
    say(f"Private key, keep it secret: {private} (use it with 'clearcast export BUNDLE OUT --sign {private}')")
    say(f"Public key, for every machine that inspects: {public} (use it with --trust {public})")


def verify(
    bundle: BundlePath,
    timeout: Annotated[float, typer.Option(help="Seconds that the graphs may take.", min=0.1)] = 60.0,
    trust: TrustedKeys = None,
) -> None:
    """Verify that a bundle is complete and gives the same results on this machine as where it was made."""
    from clearcast.runtime.verifying import verify as verify_bundle

    found = verify_bundle(bundle, timeout=timeout, trust=trust_of(trust))
    manifest = found.manifest
    identity = f"format {manifest['format']}, fingerprint {manifest['fingerprint'][:8]}"
    say(f"{bundle} is complete: {found.files} files, {identity}{', signed by a trusted key' if trust else ''}")
    say(
        f"  recipe {manifest['recipe']}, created {manifest['created'][:10]} by Clearcast {manifest['clearcast']} from "
        f"{manifest['trained_on']['sheet']}"
    )
    say(
        f"  {found.pictures} golden samples: the same verdicts; probabilities differ by at most "
        f"{found.largest_difference:.1g}"
    )
