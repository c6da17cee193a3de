"""Command ``train``; torch is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import (
    Budget,
    Device,
    DeviceOption,
    Force,
    Groups,
    Resume,
    Seed,
    SheetPath,
    SkipBad,
    SplitColumn,
    SplitOption,
)
from clearcast.cli.output import console, packages, say
from clearcast.cli.sheets import SheetOptions, with_sheet_options
from clearcast.errors import RecipeError


@with_sheet_options
def train(
    sheet: SheetPath,
    out: Annotated[Path, typer.Option(help="The bundle's folder.")],
    recipe: Annotated[
        str, typer.Option(help="clear; to train the published networks, run 'clearcast study'.")
    ] = "clear",
    budget: Budget = None,
    resume: Resume = False,
    force: Force = False,
    skip_bad: SkipBad = False,
    split: SplitOption = "",
    groups: Groups = None,
    seed: Seed = 7,
    backbone: Annotated[
        Path | None, typer.Option(help="Weights of EfficientNet-Lite0.", show_default="the installed package's")
    ] = None,
    device: DeviceOption = Device.AUTO,
    devices: Annotated[
        int, typer.Option(help="GPUs of this machine, or processes on its CPU, that train together.", min=1)
    ] = 1,
    split_column: SplitColumn = "Split",
    *,
    options: SheetOptions,
) -> None:
    """Train a bundle on a labelled sheet and measure it on held-out parts."""
    if recipe != "clear":
        raise RecipeError(f"expected recipe 'clear', got {recipe!r}; to train other networks, run 'clearcast study'")
    with packages("train"):
        from clearcast.bundle.request import TrainRequest
        from clearcast.bundle.training import train as train_bundle
        from clearcast.evaluation.study.dividing import SplitChoice, parse_split
        from clearcast.report.bundle import SAMPLES, bundle_table, write_samples
    read = options.read(sheet, subset=split_column if split == "column" else None)
    manifest = train_bundle(
        TrainRequest(
            sheet=read,
            out=out,
            seed=seed,
            split=SplitChoice(**parse_split(split), column=split_column, groups=groups),
            budget=budget,
            resume=resume,
            force=force,
            skip_bad=skip_bad,
            backbone=backbone,
            accelerator=device.value,
            devices=devices,
            console=console,
        ),
        draw_samples=lambda samples: write_samples(out, samples),
    )
    console.print(bundle_table(manifest))
    if manifest["no_judge"]:
        say(f"No verdicts: {manifest['no_judge']}")
    say(f"Sample images: {out / SAMPLES}")
    say(f"Bundle: {out}")
