"""Commands ``disks`` and ``corrupt``: rendered parts, and noisy images from noise-free ones."""

from pathlib import Path
from typing import Annotated

import typer

from clearcast.cli.options import Seed
from clearcast.cli.output import console, say
from clearcast.data.corrupt import corrupt_folder
from clearcast.disks import write_disks
from clearcast.errors import ClearcastError
from clearcast.noise import DEFAULT_RANGES, load_ranges
from clearcast.progress import progress_bar

SHOWN = 5  # errors on the terminal; errors.csv has all


def disks(
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    parts: Annotated[int, typer.Option(help="Number of parts.", min=1)] = 200,
    size: Annotated[int, typer.Option(help="Pixels a side.", min=64, max=4096)] = 512,
    seed: Seed = 7,
) -> None:
    """Render images of machined and cast disks, with masks of their defects."""
    with progress_bar(console, f"Rendering {parts} parts") as progress:
        summary = write_disks(out, parts=parts, seed=seed, size=size, progress=progress)
    console.print(f"{summary.pictures} images of {summary.parts} parts, {summary.defect_parts} with defects.")
    say(f"Sheet: {summary.sheet}")


def corrupt(
    folder: Annotated[Path, typer.Argument(help="A folder of noise-free images.")],
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    jpeg_quality: Annotated[
        int, typer.Option(help="Quality of the JPEG compression after the noise.", min=1, max=100)
    ] = 80,
    levels: Annotated[
        Path | None,
        typer.Option(help="TOML file of the noise types and their strengths.", show_default="all, as in castings"),
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Write noisy images as PNG, without JPEG compression.")] = False,
    seed: Seed = 7,
) -> None:
    """Add noise to noise-free images; write With-Noise, Without-Noise and Labels.xlsx."""
    ranges = load_ranges(levels) if levels else DEFAULT_RANGES
    quality = None if png else jpeg_quality
    with progress_bar(console, "Adding noise") as progress:
        done = corrupt_folder(folder, out, seed=seed, ranges=ranges, jpeg_quality=quality, progress=progress)
    counts = ", ".join(f"{count} {kind.display_name}" for kind, count in done.written.items())
    console.print(f"{sum(done.written.values())} images: {counts}.")
    say(f"Sheet: {done.labels}")
    if done.others.counts:
        say(done.others.sentence)
    if done.failures:
        listed = "\n  ".join(reason for _, reason in done.failures[:SHOWN])
        raise ClearcastError(f"{len(done.failures)} images could not be used (see {out / 'errors.csv'}):\n  {listed}")
