"""Commands about data: ``check`` of a sheet, rendered ``disks``, and ``corrupt``, which adds noise to images."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from clearcast.cli.options import SeedOption, SheetArgument, SheetOptions, with_sheet_options
from clearcast.cli.output import console, print_line
from clearcast.core.console import show_progress
from clearcast.core.errors import ClearcastError
from clearcast.data.groups import (
    RowGroups,
    detect_row_groups,
    find_label_errors,
    select_group_images,
    write_groups_table,
    write_match_scores,
)
from clearcast.data.groups.row_groups import resolve_row_parts
from clearcast.data.images import ImageMetadata, read_image_metadata
from clearcast.data.row_checks import FindingSeverity
from clearcast.data.sheet import Sheet
from clearcast.data.validation import (
    GROUPS_FILE,
    GROUPS_PAGE_FILE,
    MATCH_SCORES_FILE,
    SheetCheck,
    check_sheet,
    describe_unlisted_files,
    require_findings_folder,
    summarise_counts,
    write_findings,
)
from clearcast.noise import DEFAULT_NOISE_RANGES, load_noise_ranges
from clearcast.report.groups_page import write_groups_page
from clearcast.synth.corruption import degrade_folder
from clearcast.synth.disks import write_disks

_SHOWN_ERRORS = 5  # errors on the terminal; errors.csv has all
_SHOWN_FINDINGS = 5  # findings of each kind on the terminal


def disks(
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    parts: Annotated[int, typer.Option(help="Number of parts.", min=1)] = 200,
    size: Annotated[int, typer.Option(help="Pixels a side.", min=64, max=4096)] = 512,
    seed: SeedOption = 7,
) -> None:
    """Render images of machined and cast disks, with masks of their defects."""
    with show_progress(console, f"Rendering {parts} parts") as progress:
        summary = write_disks(out, parts=parts, seed=seed, size=size, progress=progress)
    console.print(f"{summary.images} images of {summary.parts} parts, {summary.defect_parts} with defects.")
    print_line(f"Sheet: {summary.sheet}")


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
    seed: SeedOption = 7,
) -> None:
    """Add noise to noise-free images; write With-Noise, Without-Noise and Labels.xlsx."""
    ranges = load_noise_ranges(levels) if levels else DEFAULT_NOISE_RANGES
    quality = None if png else jpeg_quality
    with show_progress(console, "Adding noise") as progress:
        done = degrade_folder(folder, out, seed=seed, ranges=ranges, jpeg_quality=quality, progress=progress)
    counts = ", ".join(f"{count} {kind.display_name}" for kind, count in done.written.items())
    console.print(f"{sum(done.written.values())} images: {counts}.")
    print_line(f"Sheet: {done.labels}")
    if done.others.counts:
        print_line(done.others.sentence)
    if done.failures:
        listed = "\n  ".join(reason for _, reason in done.failures[:_SHOWN_ERRORS])
        raise ClearcastError(f"{len(done.failures)} images could not be used (see {out / 'errors.csv'}):\n  {listed}")


@with_sheet_options
def check(
    sheet: SheetArgument,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the findings and for the groups of images that show one part.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the findings in the folder.")] = False,
    *,
    options: SheetOptions,
) -> None:
    """Check a sheet and its images; exit with code 1 if something must be corrected."""
    if out is not None:
        require_findings_folder(out, force=force)
    rows = options.read(sheet, notes=False)  # notes are among the findings
    print_line(f"Read {rows.place}.")
    with show_progress(console, "Reading images") as progress:
        metadata = read_image_metadata(rows, progress=progress)
    result = check_sheet(rows, metadata=metadata)
    groups = _groups(rows, metadata) if out is not None else None
    if groups is not None:
        result = replace(result, findings=(*result.findings, *find_label_errors(rows.rows, groups.of_rows)))
    _print_check(result)
    for sentence in describe_unlisted_files(rows):
        print_line(sentence)
    if out is not None and groups is not None:
        _print_groups(groups)
        write_findings(result, out, force=force)
        write_groups_table(rows, groups.of_rows, out / GROUPS_FILE)
        write_match_scores(groups, out / MATCH_SCORES_FILE)
        write_groups_page(rows, groups, out / GROUPS_PAGE_FILE)
        print_line(f"Findings: {out}")
    if not result.fit:
        raise typer.Exit(1)


def _groups(rows: Sheet, metadata: dict[str, ImageMetadata]) -> RowGroups:
    """Return the groups of the sheet's group column or, without one, detect them in the images."""
    if any(row.group for row in rows.rows):
        named = resolve_row_parts(rows, None, detect=tuple).of_rows
        return RowGroups(of_rows=named, images=select_group_images(rows, metadata))
    with show_progress(console, "Finding images of one part") as progress:
        return detect_row_groups(rows, metadata, progress=progress)


def _print_groups(groups: RowGroups) -> None:
    sizes = Counter(groups.of_rows)
    shows = f"{len(groups.of_rows)} rows show {len(sizes)} parts, by their images"
    if len(sizes) < len(groups.of_rows):
        console.print(
            f"{shows}; one part is shown in {max(sizes.values())} of them. A random split would put images of one part "
            "into training and test, and inflate the figures."
        )
    doubts, misses = groups.doubtful_matches, groups.near_misses
    if doubts:
        span = f"{doubts[0].match_score:.2f} to {doubts[-1].match_score:.2f}"
        print_line(f"Uncertain matches of images: {len(doubts)} (match score {span}); see {GROUPS_PAGE_FILE}")
    if misses:
        span = f"{misses[-1].match_score:.2f} to {misses[0].match_score:.2f}"
        print_line(f"Groups that nearly match: {len(misses)} pairs (match score {span}); see {GROUPS_PAGE_FILE}")


def _print_check(result: SheetCheck) -> None:
    table = Table(title=f"{result.rows} rows, {result.pictures} images", title_justify="left", show_header=False)
    for name in ("labels", "noise_types", "sizes", "modes", "formats"):
        table.add_row(name.replace("_", " "), summarise_counts(getattr(result, name)))
    console.print(table)
    shown: Counter[str] = Counter()
    for finding in result.findings:
        shown[finding.kind] += 1
        if shown[finding.kind] <= _SHOWN_FINDINGS:
            where = f" (row {finding.row}: {finding.path})" if finding.row else ""
            colour = "red" if finding.severity is FindingSeverity.ERROR else "yellow"
            message = escape(f"{finding.kind}{where}: {finding.message}")
            console.print(f"[{colour}]{finding.severity}[/] {message}", highlight=False, soft_wrap=True)
    for kind, count in shown.items():
        if count > _SHOWN_FINDINGS:
            console.print(f"... and {count - _SHOWN_FINDINGS} more of: {kind} (--out DIR writes all)")
    errors = sum(finding.severity is FindingSeverity.ERROR for finding in result.findings)
    summary = "Ready for training." if result.fit else f"Errors to correct: {errors}."
    console.print(f"{summary} Warnings: {len(result.findings) - errors}.")
