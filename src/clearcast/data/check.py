"""Validation of a sheet and its images: all errors and warnings, found in one pass."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clearcast.data.check_rows import WRONG_REFERENCE, Facts, Finding, Severity, noise_free_rows, row_findings
from clearcast.data.facts import PictureFacts, read_facts
from clearcast.data.sheet import Row, Sheet
from clearcast.domain import Label, NoiseType
from clearcast.imaging import PictureInfo
from clearcast.progress import Progress

__all__ = [
    "Check",
    "Finding",
    "PictureFacts",
    "Severity",
    "check_sheet",
    "read_facts",
    "summarise_counts",
    "unusable_rows",
]

RARE = 0.1  # a class with a smaller share of the rows is reported as rare
MANY_WRONG = 0.2  # if a greater share of the references is wrong, none of them can be trusted
_FEW_WRONG = 2  # rows; in a small sheet, so few can exceed that share by chance
MOST = 0.5  # if a greater share of the noisy images has no noise, the sheet as a whole is wrong
_SHOWN_VALUES = 6  # distinct values, such as image sizes, that a summary lists


@dataclass(frozen=True, kw_only=True)
class Check:
    """Validation result of a sheet: findings, and counts that describe it."""

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
        """Whether there are no errors."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)


def check_sheet(
    sheet: Sheet, *, facts: dict[str, PictureFacts] | None = None, progress: Progress | None = None
) -> Check:
    """Validate a sheet: read and decode every image, and report all errors and warnings.

    Args:
        sheet: the sheet; problems of its rows are reported.
        facts: the result of ``read_facts``; None reads the images now.
        progress: called with (done, total) while images are read.
    """
    facts = facts if facts is not None else read_facts(sheet, progress=progress)
    readable = [fact.info for fact in facts.values() if fact.info]
    by_row = row_findings(sheet.rows, facts)
    findings = [
        *(Finding(severity=Severity.WARNING, kind=note.kind, message=note.message) for note in sheet.notes),
        *by_row,
        *_many_wrong_references(sheet, by_row),
        *_mostly_noise_free(sheet.rows, facts),
        *_unpaired(sheet.rows),
        *_mixed_properties(readable),
        *_imbalance("label", Label, [row.label for row in sheet.rows]),
        *_imbalance("noise type", NoiseType, [row.noise_type for row in sheet.rows], required=()),
    ]
    return Check(
        findings=tuple(sorted(findings, key=lambda finding: (finding.severity, finding.kind, finding.row or 0))),
        rows=len(sheet.rows),
        pictures=len(facts),
        labels=_count(row.label or "unknown" for row in sheet.rows),
        noise_types=_count(row.noise_type or "unknown" for row in sheet.rows),
        sizes=_count(f"{info.width}x{info.height}" for info in readable),
        modes=_count(info.mode for info in readable),
        formats=_count(info.format for info in readable),
    )


def unusable_rows(sheet: Sheet, facts: dict[str, PictureFacts]) -> list[Finding]:
    """Find the errors of single rows, which make them unusable for training."""
    return [finding for finding in row_findings(sheet.rows, facts) if finding.severity is Severity.ERROR]


def mostly_wrong_references(sheet: Sheet, findings: Iterable[Finding]) -> str:
    """Return a message if so many references are wrong that the others cannot be trusted, else ""."""
    wrong = sum(finding.kind == WRONG_REFERENCE for finding in findings)
    paired = sum(bool(row.reference) for row in sheet.rows)
    if wrong <= max(_FEW_WRONG, MANY_WRONG * paired):
        return ""
    return (
        f"{wrong} of {paired} rows name a reference that does not match the noisy image, so the others cannot be "
        "trusted either; perhaps two lists were joined in different orders, or a program rotated the images by their "
        "EXIF orientation. Correct the sheet; the findings by row name the references that match"
    )


def _many_wrong_references(sheet: Sheet, findings: Iterable[Finding]) -> Iterator[Finding]:
    if message := mostly_wrong_references(sheet, findings):
        yield Finding(severity=Severity.ERROR, kind="wrong references", message=message)


def _mostly_noise_free(rows: Sequence[Row], facts: Facts) -> Iterator[Finding]:
    """Find sheets whose noisy images are mostly identical to their references: the wrong column or folder was named."""
    noise_free, named = len(noise_free_rows(rows, facts)), sum(row.noise_type is not NoiseType.NONE for row in rows)
    if noise_free > MOST * named:
        message = (
            f"{noise_free} of {named} noisy images are identical to their references, byte for byte, so training has "
            "no noise to learn from; name the column and the folder of the noisy images"
        )
        yield Finding(severity=Severity.ERROR, kind="no noise", message=message)


def _unpaired(rows: Sequence[Row]) -> Iterator[Finding]:
    if count := sum(not row.reference and not row.problems for row in rows):
        message = (
            f"{count} of {len(rows)} rows have an unknown reference: the classifier can use them, the denoiser cannot; "
            "leave them out of a study with --skip-bad"
        )
        yield Finding(severity=Severity.WARNING, kind="no reference", message=message)


def _mixed_properties(infos: list[PictureInfo]) -> Iterator[Finding]:
    for what, counts in (
        ("sizes", _count(f"{info.width}x{info.height}" for info in infos)),
        ("modes", _count(info.mode for info in infos)),
    ):
        if len(counts) > 1:
            message = f"the images have {len(counts):,} {what}: {summarise_counts(counts, ' of ')}"
            yield Finding(severity=Severity.WARNING, kind=f"mixed {what}", message=message)


def _imbalance(
    what: str,
    kinds: type[Label] | type[NoiseType],
    values: list[Label | None] | list[NoiseType | None],
    required: tuple[str, ...] = tuple(Label),
) -> Iterator[Finding]:
    """Report required classes without rows as errors, and classes with few rows as warnings."""
    counts = Counter(value for value in values if value)
    for kind in kinds:
        share = counts[kind] / max(len(values), 1)
        if kind in required and not counts[kind]:
            message = f"no row has the {what} {kind}; a classifier requires images of each class"
            yield Finding(severity=Severity.ERROR, kind="missing class", message=message)
        elif counts[kind] and share < RARE:
            message = f"only {counts[kind]} of {len(values)} rows have the {what} {kind}"
            yield Finding(severity=Severity.WARNING, kind="rare class", message=message)


def summarise_counts(counts: Mapping[str, int], separator: str = " ") -> str:
    """Summarise counts in one line: the most frequent values, and how many others there are.

    Args:
        counts: the count of each value, the most frequent first.
        separator: text between a count and its value.

    >>> summarise_counts({"8x8": 5, "9x9": 2}), summarise_counts({str(side): 2 for side in range(10)})
    ('5 8x8, 2 9x9', '2 0, 2 1, 2 2, 2 3, 2 4, 2 5, and 4 others (8)')
    """
    values = list(counts.items())
    listed = ", ".join(f"{count}{separator}{value}" for value, count in values[:_SHOWN_VALUES])
    others = values[_SHOWN_VALUES:]
    return f"{listed}, and {len(others):,} others ({sum(count for _, count in others):,})" if others else listed


def _count(values: Iterable[str]) -> dict[str, int]:
    """Count the occurrences of each value, the most frequent first."""
    return dict(Counter(str(value) for value in values).most_common())
