"""The command that trains a bundle. What needs torch is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import (
    Device,
    DeviceOption,
    Groups,
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
    recipe: Annotated[str, typer.Option(help="clear; to train the published networks, run a study.")] = "clear",
    budget: Annotated[
        float | None, typer.Option(help="Minutes for all of it, on this machine.", show_default="the recipe's steps")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training where it stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete a bundle that is there and start anew.")] = False,
    skip_bad: SkipBad = False,
    split: SplitOption = "",
    groups: Groups = None,
    seed: Seed = 7,
    backbone: Annotated[
        Path | None, typer.Option(help="Weights of EfficientNet-Lite0.", show_default="the installed package's")
    ] = None,
    device: DeviceOption = Device.AUTO,
    devices: Annotated[
        int, typer.Option(help="So many GPUs of this machine, or processes on its CPU, learn together.", min=1)
    ] = 1,
    split_column: SplitColumn = "Split",
    *,
    options: SheetOptions,
) -> None:
    """Train our own networks: which noise, the clean picture, ok or defect; measured on parts never seen."""
    if recipe != "clear":
        raise RecipeError(f"recipe {recipe!r} cannot be trained to a bundle; take clear, or run 'clearcast study'")
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
    say(f"Pictures: {out / SAMPLES}")
    say(f"Bundle: {out}")
