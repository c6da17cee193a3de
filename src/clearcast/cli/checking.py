"""Command ``check``: validate a sheet and its images."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from clearcast.cli.options import (
    SheetPath,
)
from clearcast.cli.output import console, say
from clearcast.cli.sheets import SheetOptions, with_sheet_options
from clearcast.data.check import Check, Severity, check_sheet, read_facts, summarise_counts
from clearcast.data.facts import PictureFacts
from clearcast.data.findings import GROUP_DOUBTS, GROUPS, GROUPS_PAGE, require_findings_folder, write_findings
from clearcast.data.groups import (
    RowGroups,
    find_row_groups,
    label_doubts,
    shown_pictures,
    write_doubts,
    write_groups,
)
from clearcast.data.groups.given import known_parts
from clearcast.data.sheet import Sheet
from clearcast.data.unlisted import unlisted_files
from clearcast.progress import progress_bar
from clearcast.report.groups_page import write_groups_page

SHOWN = 5  # findings of each kind on the terminal


@with_sheet_options
def check(
    sheet: SheetPath,
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
    say(f"Read {rows.place}.")
    with progress_bar(console, "Reading images") as progress:
        facts = read_facts(rows, progress=progress)
    result = check_sheet(rows, facts=facts)
    groups = _groups(rows, facts) if out is not None else None
    if groups is not None:
        result = replace(result, findings=(*result.findings, *label_doubts(rows.rows, groups.of_rows)))
    _print_check(result)
    for sentence in unlisted_files(rows):
        say(sentence)
    if out is not None and groups is not None:
        _print_groups(groups)
        write_findings(result, out, force=force)
        write_groups(rows, groups.of_rows, out / GROUPS)
        write_doubts(groups, out / GROUP_DOUBTS)
        write_groups_page(rows, groups, out / GROUPS_PAGE)
        say(f"Findings: {out}")
    if not result.fit:
        raise typer.Exit(1)


def _groups(rows: Sheet, facts: dict[str, PictureFacts]) -> RowGroups:
    """The groups of the sheet's group column or, without one, those found in the images."""
    if any(row.group for row in rows.rows):
        named = known_parts(rows, None, find=tuple).of_rows
        return RowGroups(of_rows=named, images=shown_pictures(rows, facts))
    with progress_bar(console, "Finding images of one part") as progress:
        return find_row_groups(rows, facts, progress=progress)


def _print_groups(groups: RowGroups) -> None:
    sizes = Counter(groups.of_rows)
    shows = f"{len(groups.of_rows)} rows show {len(sizes)} parts, by their images"
    if len(sizes) < len(groups.of_rows):
        console.print(
            f"{shows}; one part is in {max(sizes.values())} of them. A random split would put images of one part into "
            "training and test, and inflate the figures."
        )
    doubts, misses = groups.doubtful_joins, groups.near_misses
    if doubts:
        span = f"{doubts[0].agreement:.2f} to {doubts[-1].agreement:.2f}"
        say(f"{len(doubts)} joins are doubtful (match score {span}); see {GROUPS_PAGE}")
    if misses:
        span = f"{misses[-1].agreement:.2f} to {misses[0].agreement:.2f}"
        say(f"{len(misses)} pairs of groups were nearly joined (match score {span}); see {GROUPS_PAGE}")


def _print_check(result: Check) -> None:
    table = Table(title=f"{result.rows} rows, {result.pictures} images", title_justify="left", show_header=False)
    for name in ("labels", "noise_types", "sizes", "modes", "formats"):
        table.add_row(name.replace("_", " "), summarise_counts(getattr(result, name)))
    console.print(table)
    shown: Counter[str] = Counter()
    for finding in result.findings:
        shown[finding.kind] += 1
        if shown[finding.kind] <= SHOWN:
            where = f" (row {finding.row}: {finding.path})" if finding.row else ""
            colour = "red" if finding.severity is Severity.ERROR else "yellow"
            message = escape(f"{finding.kind}{where}: {finding.message}")
            console.print(f"[{colour}]{finding.severity}[/] {message}", highlight=False, soft_wrap=True)
    for kind, count in shown.items():
        if count > SHOWN:
            console.print(f"... and {count - SHOWN} more of: {kind} (--out DIR writes all)")
    errors = sum(finding.severity is Severity.ERROR for finding in result.findings)
    summary = "Ready for training." if result.fit else f"{errors} errors must be corrected."
    console.print(f"{summary} {len(result.findings) - errors} warnings.")
