"""Filter for the usable rows of a sheet, after reading every image once."""

from dataclasses import dataclass, field, replace

from rich.console import Console

from clearcast.data.check import (
    Finding,
    PictureFacts,
    Severity,
    mostly_wrong_references,
    read_facts,
    unusable_rows,
)
from clearcast.data.check_rows import WRONG_REFERENCE
from clearcast.data.sheet import Sheet
from clearcast.errors import SheetError
from clearcast.progress import progress_bar

_SHOWN = 5  # unusable rows that a message lists
_SEE_ALL = "See all with 'clearcast check'"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The usable rows of a sheet.

    Attributes:
        sheet: the sheet with the usable rows only.
        facts: metadata of all images, by path.
        left_out: the unusable rows with the reason, as text.
        wrong_references: number of rows left out because their reference does not match the noisy image.
    """

    sheet: Sheet
    facts: dict[str, PictureFacts] = field(repr=False)
    left_out: tuple[str, ...]
    wrong_references: int = 0

    def hashes(self) -> dict[str, list[str]]:
        """Return the hash of each row's files by role; a row without a reference gets a unique value."""
        return {
            role: [
                self.facts[path].sha256 if (path := getattr(row, role)) else f"row {row.number}"
                for row in self.sheet.rows
            ]
            for role in ("noisy", "reference")
        }


def usable(sheet: Sheet, *, skip_bad: bool, console: Console, paired: bool = True) -> Rows:
    """Filter the usable rows of a sheet: read every image once, and validate each row.

    Args:
        sheet: the sheet.
        skip_bad: leave out unusable rows instead of raising an error.
        console: shows progress.
        paired: whether rows without a reference are unusable.

    Raises:
        SheetError: there are unusable rows and ``skip_bad`` is not set, there are no usable rows, or so many references
            are wrong that the others cannot be trusted.
    """
    with progress_bar(console, "Checking images") as progress:
        facts = read_facts(sheet, progress=progress)
    findings = [*unusable_rows(sheet, facts), *(_unpaired(sheet) if paired else [])]
    if not findings:
        return Rows(sheet=sheet, facts=facts, left_out=())
    bad = {finding.row for finding in findings}
    listed = [f"row {finding.row}: {finding.message}" for finding in findings]
    place = f"Read {sheet.place}. " if sheet.place else ""
    more = f"\n  and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    if message := mostly_wrong_references(sheet, findings):
        raise SheetError(f"{sheet.path}: {message}:\n  " + "\n  ".join(listed[:_SHOWN]) + f"{more}\n{_SEE_ALL}.")
    if not skip_bad:
        raise SheetError(
            f"{sheet.path}: {len(bad)} of {len(sheet.rows)} rows cannot be used:\n  "
            + "\n  ".join(listed[:_SHOWN])
            + f"{more}\n{place}{_SEE_ALL}, correct them, or leave them out with --skip-bad."
        )
    rows = tuple(row for row in sheet.rows if row.number not in bad)
    if not rows:
        raise SheetError(f"{sheet.path}: no row can be used; see the reasons with 'clearcast check'")
    console.print(f"Leaving out {len(bad)} of {len(sheet.rows)} rows that cannot be used; the report lists them.")
    wrong = sum(finding.kind == WRONG_REFERENCE for finding in findings)
    return Rows(sheet=replace(sheet, rows=rows), facts=facts, left_out=tuple(listed), wrong_references=wrong)


def _unpaired(sheet: Sheet) -> list[Finding]:
    message = "its reference is unknown, but required here; only 'train', 'evaluate' and 'compare' do without"
    return [
        Finding(severity=Severity.ERROR, kind="no reference", message=message, row=row.number, path=row.noisy)
        for row in sheet.rows
        if not row.reference and not row.problems
    ]
