"""The command that says whether data are fit."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from clearcast.cli.options import LabelColumn, NoiseColumn, NoisyColumn, ReferenceColumn, Root, SheetPath
from clearcast.cli.output import console, say
from clearcast.data.check import Check, Severity, check_sheet, read_facts
from clearcast.data.findings import GROUPS, require_findings_folder, write_findings
from clearcast.data.groups import group_rows, label_doubts, write_groups
from clearcast.data.sheet import Columns, read_sheet
from clearcast.progress import progress_bar

SHOWN = 5  # findings of one kind that the terminal shows


def check(
    sheet: SheetPath,
    out: Annotated[Path | None, typer.Option(help="Keep the findings, and which pictures show one part, here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace findings that the folder holds.")] = False,
    root: Root = None,
    noisy_column: NoisyColumn = Columns.noisy,
    noise_column: NoiseColumn = Columns.noise_type,
    reference_column: ReferenceColumn = Columns.reference,
    label_column: LabelColumn = Columns.label,
) -> None:
    """Say whether a sheet and its pictures are fit; exit code 1 where something must be mended."""
    columns = Columns(noisy=noisy_column, noise_type=noise_column, reference=reference_column, label=label_column)
    if out is not None:
        require_findings_folder(out, force=force)
    rows = read_sheet(sheet, columns=columns, root=root)
    with progress_bar(console, "Reading pictures") as progress:
        facts = read_facts(rows, progress=progress)
    result = check_sheet(rows, facts=facts)
    groups: tuple[str, ...] = ()
    if out is not None:
        with progress_bar(console, "Looking for pictures of one part") as progress:
            groups = group_rows(rows, facts, progress=progress)
        result = replace(result, findings=(*result.findings, *label_doubts(rows.rows, groups)))
    _print_check(result)
    if out is not None:
        _print_groups(groups)
        write_findings(result, out, force=force)
        write_groups(rows, groups, out / GROUPS)
        say(f"Kept in {out}")
    if not result.fit:
        raise typer.Exit(1)


def _print_groups(groups: tuple[str, ...]) -> None:
    sizes = Counter(groups)
    if len(sizes) < len(groups):
        console.print(
            f"{len(groups)} rows show {len(sizes)} parts, as far as can be seen; one part is in {max(sizes.values())} "
            "of them. A random split puts pictures of one part on both sides and measures memory."
        )


def _print_check(result: Check) -> None:
    table = Table(title=f"{result.rows} rows, {result.pictures} pictures", title_justify="left", show_header=False)
    for name in ("labels", "noise_types", "sizes", "modes", "formats"):
        counts = getattr(result, name)
        table.add_row(name.replace("_", " "), ", ".join(f"{count} {value}" for value, count in counts.items()))
    console.print(table)
    shown: Counter[str] = Counter()
    for finding in result.findings:
        shown[finding.kind] += 1
        if shown[finding.kind] <= SHOWN:
            where = f" (row {finding.row}: {finding.path})" if finding.row else ""
            colour = "red" if finding.severity is Severity.ERROR else "yellow"
            said = escape(f"{finding.kind}{where}: {finding.message}")
            console.print(f"[{colour}]{finding.severity}[/] {said}", highlight=False, soft_wrap=True)
    for kind, count in shown.items():
        if count > SHOWN:
            console.print(f"... and {count - SHOWN} more of: {kind} (all of them with --out DIR)")
    errors = sum(finding.severity is Severity.ERROR for finding in result.findings)
    verdict = "Fit for training." if result.fit else f"{errors} things must be mended."
    console.print(f"{verdict} {len(result.findings) - errors} warnings.")
