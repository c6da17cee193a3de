"""Whether a sheet and its images are fit: everything that is wrong, found in one pass and told at once."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clearcast.data.check_rows import WRONG_REFERENCE, Facts, Finding, Severity, row_findings, unspoilt_rows
from clearcast.data.facts import PictureFacts, read_facts
from clearcast.data.sheet import Row, Sheet
from clearcast.domain import Label, NoiseType
from clearcast.imaging import PictureInfo
from clearcast.progress import Progress

__all__ = ["Check", "Finding", "PictureFacts", "Severity", "check_sheet", "read_facts", "unusable_rows"]

RARE = 0.1  # a class with a smaller share of the rows is reported as rare
MANY_WRONG = 0.2  # where a greater share of the references is wrong, the sheet as a whole is
_FEW_WRONG = 2  # rows: of small sheets, these are no share to speak of
MOST = 0.5  # where a greater share of the rows is without noise, the sheet as a whole is wrong


@dataclass(frozen=True, kw_only=True)
class Check:
    """The findings about a sheet, and counts that describe it."""

    findings: tuple[Finding, ...]
    rows: int
    pictures: int
    labels: dict[str, int]
    noise_types: dict[str, int]
    sizes: dict[str, int]
    modes: dict[str, int]
    formats: dict[str, int]

    @property
    def fit(self) -> bool:
        """Whether nothing must be mended."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)


def check_sheet(
    sheet: Sheet, *, facts: dict[str, PictureFacts] | None = None, progress: Progress | None = None
) -> Check:
    """Read every image of a sheet whole and report all that is wrong with it and with its rows.

    Args:
        sheet: the sheet; its rows may have problems, they are reported.
        facts: what ``read_facts`` found, where that was asked before; else the images are read now.
        progress: called with (done, all) while images are read.
    """
    facts = facts if facts is not None else read_facts(sheet, progress=progress)
    readable = [fact.info for fact in facts.values() if fact.info]
    by_row = row_findings(sheet.rows, facts)
    findings = [
        *(Finding(severity=Severity.WARNING, kind=note.kind, message=note.message) for note in sheet.notes),
        *by_row,
        *_wrong_references(sheet, by_row),
        *_without_noise(sheet.rows, facts),
        *_unpaired(sheet.rows),
        *_mixtures(readable),
        *_imbalance("label", Label, [row.label for row in sheet.rows]),
        *_imbalance("noise type", NoiseType, [row.noise_type for row in sheet.rows], needed=()),
    ]
    return Check(
        findings=tuple(sorted(findings, key=lambda finding: (finding.severity, finding.kind, finding.row or 0))),
        rows=len(sheet.rows),
        pictures=len(facts),
        labels=_counted(row.label or "unknown" for row in sheet.rows),
        noise_types=_counted(row.noise_type or "unknown" for row in sheet.rows),
        sizes=_counted(f"{info.width}x{info.height}" for info in readable),
        modes=_counted(info.mode for info in readable),
        formats=_counted(info.format for info in readable),
    )


def unusable_rows(sheet: Sheet, facts: dict[str, PictureFacts]) -> list[Finding]:
    """The errors that forbid to learn from single rows."""
    return [finding for finding in row_findings(sheet.rows, facts) if finding.severity is Severity.ERROR]


def mostly_wrong_references(sheet: Sheet, findings: Iterable[Finding]) -> str:
    """What to say of a sheet whose references are wrong in so many rows that the others are in doubt too, else ""."""
    wrong = sum(finding.kind == WRONG_REFERENCE for finding in findings)
    paired = sum(bool(row.reference) for row in sheet.rows)
    if wrong <= max(_FEW_WRONG, MANY_WRONG * paired):
        return ""
    return (
        f"{wrong} of {paired} rows name a reference that is not what the noisy image shows, so the others cannot be "
        "trusted either; were two lists joined in different orders, or the images turned by a program that reads "
        "their EXIF orientation? Correct the sheet; the findings by row say what fits"
    )


def _wrong_references(sheet: Sheet, findings: Iterable[Finding]) -> Iterator[Finding]:
    if message := mostly_wrong_references(sheet, findings):
        yield Finding(severity=Severity.ERROR, kind="wrong references", message=message)


def _without_noise(rows: Sequence[Row], facts: Facts) -> Iterator[Finding]:
    """Most noisy images are their own references: a column or a folder was taken for another."""
    unspoilt, named = len(unspoilt_rows(rows, facts)), sum(row.noise_type is not NoiseType.NONE for row in rows)
    if unspoilt > MOST * named:
        message = (
            f"{unspoilt} of {named} noisy images are byte for byte their own references; there is nothing to learn "
            "from them: name the column and the folder of the noisy images"
        )
        yield Finding(severity=Severity.ERROR, kind="no noise", message=message)


def _unpaired(rows: Sequence[Row]) -> Iterator[Finding]:
    if count := sum(not row.reference and not row.problems for row in rows):
        message = (
            f"{count} of {len(rows)} rows have an unknown reference: verdicts can be learned from them, restoring "
            "cannot; a study leaves them out with --skip-bad"
        )
        yield Finding(severity=Severity.WARNING, kind="no reference", message=message)


def _mixtures(infos: list[PictureInfo]) -> Iterator[Finding]:
    for what, counts in (
        ("sizes", _counted(f"{info.width}x{info.height}" for info in infos)),
        ("modes", _counted(info.mode for info in infos)),
    ):
        if len(counts) > 1:
            listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
            message = f"the images have several {what}: {listed}"
            yield Finding(severity=Severity.WARNING, kind=f"mixed {what}", message=message)


def _imbalance(
    what: str,
    kinds: type[Label] | type[NoiseType],
    values: list[Label | None] | list[NoiseType | None],
    needed: tuple[str, ...] = tuple(Label),
) -> Iterator[Finding]:
    """A class that is needed and has no row is an error; one with few rows, a warning."""
    counts = Counter(value for value in values if value)
    for kind in kinds:
        share = counts[kind] / max(len(values), 1)
        if kind in needed and not counts[kind]:
            message = f"no row has the {what} {kind}; a classifier needs images of each"
            yield Finding(severity=Severity.ERROR, kind="missing class", message=message)
        elif counts[kind] and share < RARE:
            message = f"only {counts[kind]} of {len(values)} rows have the {what} {kind}"
            yield Finding(severity=Severity.WARNING, kind="rare class", message=message)


def _counted(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs, the most frequent first."""
    return dict(Counter(str(value) for value in values).most_common())
