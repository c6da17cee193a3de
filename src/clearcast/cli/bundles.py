"""Commands ``train``, ``distill``, ``export``, ``keygen`` and ``verify``; torch is imported only if it is needed."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import (
    BudgetOption,
    BundleArgument,
    Device,
    DeviceOption,
    ForceOption,
    GroupsOption,
    NewBundleArgument,
    ResumeOption,
    RootOption,
    SeedOption,
    SheetArgument,
    SheetOptions,
    SkipBadOption,
    SplitColumnOption,
    SplitOption,
    StripPrefixOption,
    TrainedSheetOption,
    TrustOption,
    read_trust_option,
    with_sheet_options,
)
from clearcast.cli.output import console, print_line, remind_to_sign, require_extra
from clearcast.core.errors import RecipeError


@with_sheet_options
def train(
    sheet: SheetArgument,
    out: Annotated[Path, typer.Option(help="The bundle's folder.")],
    recipe: Annotated[
        str, typer.Option(help="clear; to train the published networks, run 'clearcast study'.")
    ] = "clear",
    budget: BudgetOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    skip_bad: SkipBadOption = False,
    split: SplitOption = "",
    groups: GroupsOption = None,
    seed: SeedOption = 7,
    backbone: Annotated[
        Path | None, typer.Option(help="Weights of EfficientNet-Lite0.", show_default="the installed package's")
    ] = None,
    device: DeviceOption = Device.AUTO,
    devices: Annotated[
        int, typer.Option(help="GPUs of this machine, or processes on its CPU, that train together.", min=1)
    ] = 1,
    split_column: SplitColumnOption = "Split",
    *,
    options: SheetOptions,
) -> None:
    """Train a bundle on a labelled sheet and measure it on held-out parts."""
    if recipe != "clear":
        raise RecipeError(f"expected recipe 'clear', got {recipe!r}; to train other networks, run 'clearcast study'")
    with require_extra("train"):
        from clearcast.pipelines.train import train_bundle
        from clearcast.pipelines.training_data import TrainRequest
        from clearcast.report.contact_sheets import SAMPLES_FIGURE, draw_sample_rows
        from clearcast.report.terminal_tables import make_bundle_metrics_table
        from clearcast.train.split_choice import SplitChoice, parse_split_option
    read = options.read(sheet, subset=split_column if split == "column" else None)
    manifest = train_bundle(
        TrainRequest(
            sheet=read,
            out=out,
            seed=seed,
            split=SplitChoice(**parse_split_option(split), column=split_column, groups=groups),
            budget=budget,
            resume=resume,
            force=force,
            skip_bad=skip_bad,
            backbone=backbone,
            accelerator=device.value,
            devices=devices,
            console=console,
        ),
        draw_samples=lambda samples: draw_sample_rows(out, samples),
    )
    console.print(make_bundle_metrics_table(manifest))
    if manifest["no_judge"]:
        print_line(f"No verdicts: {manifest['no_judge']}")
    print_line(f"Sample images: {out / SAMPLES_FIGURE}")
    print_line(f"Bundle: {out}")


def distill(
    bundle: Annotated[Path, typer.Argument(help="The folder of a bundle of recipe clear.", metavar="BUNDLE")],
    out: Annotated[Path, typer.Option(help="The new bundle's folder.")],
    budget: BudgetOption = None,
    side: Annotated[
        int,
        typer.Option(help="Pixels of the longer side of the network's input: more show finer defects but take longer."),
    ] = 160,
    resume: ResumeOption = False,
    force: ForceOption = False,
    sheet: TrainedSheetOption = None,
    root: RootOption = None,
    strip_prefix: StripPrefixOption = None,
    device: DeviceOption = Device.AUTO,
    trust: TrustOption = None,
) -> None:
    """Distil a bundle into a faster one, which classifies the noisy image and denoises on demand."""
    with require_extra("train"):
        from clearcast.pipelines.distill import distill_bundle, make_distill_request
        from clearcast.pipelines.export import SheetLocation
        from clearcast.report.terminal_tables import make_bundle_metrics_table
    request = make_distill_request(
        bundle,
        out,
        SheetLocation(sheet=sheet, root=root, strip_prefix=tuple(strip_prefix or ())),
        budget=budget,
        side=side,
        resume=resume,
        force=force,
        accelerator=device.value,
        trust=read_trust_option(trust),
        console=console,
    )
    manifest = distill_bundle(request)
    console.print(make_bundle_metrics_table(manifest))
    print_line(f"Compare it with its teacher on images of other parts: clearcast compare {bundle} {out} SHEET")
    if (bundle / "wishes.json").exists():
        print_line("The teacher was tuned, but this bundle is not; tune it with the same options of 'clearcast tune'.")
    remind_to_sign(bundle, out)
    print_line(f"Bundle: {out}")


def export(
    source: Annotated[Path, typer.Argument(help="A bundle, or the folder of a study's run.", metavar="SOURCE")],
    out: NewBundleArgument,
    sheet: TrainedSheetOption = None,
    root: RootOption = None,
    strip_prefix: StripPrefixOption = None,
    sign: Annotated[
        Path | None,
        typer.Option(help="Sign the new bundle with this private key (see keygen).", show_default="keep its signature"),
    ] = None,
    trust: TrustOption = None,
) -> None:
    """Export a study's run as a bundle, zip a bundle's folder, or unzip it."""
    from clearcast.bundle.archive import copy_bundle, is_bundle

    if is_bundle(source):  # copying needs no torch
        copy_bundle(source, out, trust=read_trust_option(trust), key=sign)
    else:
        with require_extra("train"):
            from clearcast.pipelines.export import SheetLocation, export_bundle
        location = SheetLocation(sheet=sheet, root=root, strip_prefix=tuple(strip_prefix or ()))
        export_bundle(source, out, location=location, trust=read_trust_option(trust), key=sign)
    print_line(f"Bundle: {out}")


def keygen(
    name: Annotated[Path, typer.Argument(help="Write NAME.key and NAME.pub.", metavar="NAME")],
) -> None:
    """Create a key pair: a private key to sign bundles with, and a public key to verify them."""
    from clearcast.bundle.signing import generate_keys

    private, public = name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub")
    generate_keys(private, public)
    print_line(f"Private key, keep it secret: {private} (use it with 'clearcast export BUNDLE OUT --sign {private}')")
    print_line(f"Public key, for every machine that inspects: {public} (use it with --trust {public})")


def verify(
    bundle: BundleArgument,
    timeout: Annotated[float, typer.Option(help="Seconds that the graphs may take.", min=0.1)] = 60.0,
    trust: TrustOption = None,
) -> None:
    """Verify that a bundle is complete and gives the same results on this machine as where it was made."""
    from clearcast.inference.verification import verify_bundle

    found = verify_bundle(bundle, timeout=timeout, trust=read_trust_option(trust))
    manifest = found.manifest
    identity = f"format {manifest['format']}, fingerprint {manifest['fingerprint'][:8]}"
    print_line(f"{bundle} is complete: {found.files} files, {identity}{', signed by a trusted key' if trust else ''}")
    print_line(
        f"  recipe {manifest['recipe']}, created {manifest['created'][:10]} by Clearcast {manifest['clearcast']} from "
        f"{manifest['trained_on']['sheet']}"
    )
    print_line(
        f"  {found.golden_samples} golden samples: the same verdicts; probabilities differ by at most "
        f"{found.largest_difference:.1g}"
    )
