"""Validation of a sheet: findings about rows and images, their files, usable rows, and unlisted files."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from clearcast.core.console import ProgressCallback, show_progress
from clearcast.core.decoding.image_info import ImageHeader
from clearcast.core.errors import OutputError, SheetError
from clearcast.core.files import OtherFileCounts, is_image_file, list_files, read_first_bytes, replace_file
from clearcast.core.spreadsheets import protect_cell
from clearcast.data.images import ImageMetadata, read_image_metadata
from clearcast.data.row_checks import (
    WRONG_REFERENCE_KIND,
    FindingSeverity,
    MetadataByPath,
    SheetFinding,
    find_noise_free_rows,
    find_row_findings,
)
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.noise.registry import NoiseType
from clearcast.types import Label

GROUPS_FILE, MATCH_SCORES_FILE, GROUPS_PAGE_FILE = "groups.csv", "group_doubts.csv", "groups.html"
_FINDINGS_FILE, _COUNTS_FILE = "findings.csv", "check.json"

_RARE_CLASS_SHARE = 0.1  # a class with a smaller share of the rows is reported as rare
_MAX_WRONG_REFERENCE_SHARE = 0.2  # if a greater share of the references is wrong, none of them can be trusted
_FEW_WRONG_REFERENCES = 2  # rows; in a small sheet, so few can exceed that share by chance
_MAX_NOISE_FREE_SHARE = 0.5  # if a greater share of the noisy images has no noise, the sheet as a whole is wrong
_SHOWN_VALUES = 6  # distinct values, such as image sizes, that a summary lists
_SHOWN_ROWS = 5  # unusable rows that a message lists
_SEE_ALL = "See all with 'clearcast check'"


@dataclass(frozen=True, kw_only=True)
class SheetCheck:
    """Validation result of a sheet: findings, and counts that describe it."""

    findings: tuple[SheetFinding, ...]
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
        return all(finding.severity is not FindingSeverity.ERROR for finding in self.findings)


@dataclass(frozen=True, kw_only=True)
class UsableRows:
    """The usable rows of a sheet.

    Attributes:
        sheet: the sheet with the usable rows only.
        metadata: metadata of all images, by path.
        left_out: the unusable rows with the reason, as text.
        wrong_references: number of rows left out because their reference does not match the noisy image.
    """

    sheet: Sheet
    metadata: dict[str, ImageMetadata] = field(repr=False)
    left_out: tuple[str, ...]
    wrong_references: int = 0

    def hashes(self) -> dict[str, list[str]]:
        """Return the hash of each row's files by role; a row without a reference gets a unique value."""
        return {
            role: [
                self.metadata[path].sha256 if (path := getattr(row, role)) else f"row {row.number}"
                for row in self.sheet.rows
            ]
            for role in ("noisy", "reference")
        }


def check_sheet(
    sheet: Sheet, *, metadata: dict[str, ImageMetadata] | None = None, progress: ProgressCallback | None = None
) -> SheetCheck:
    """Validate a sheet: read and decode every image, and report all errors and warnings.

    Args:
        sheet: the sheet; problems of its rows are reported.
        metadata: the result of ``read_image_metadata``; None reads the images now.
        progress: called with (done, total) while images are read.
    """
    metadata = metadata if metadata is not None else read_image_metadata(sheet, progress=progress)
    headers = [entry.header for entry in metadata.values() if entry.header]
    by_row = find_row_findings(sheet.rows, metadata)
    findings = [
        *(SheetFinding(severity=FindingSeverity.WARNING, kind=note.kind, message=note.message) for note in sheet.notes),
        *by_row,
        *_find_many_wrong_references(sheet, by_row),
        *_find_mostly_noise_free(sheet.rows, metadata),
        *_find_unknown_references(sheet.rows),
        *_find_mixed_properties(headers),
        *_find_imbalance("label", Label, [row.label for row in sheet.rows]),
        *_find_imbalance("noise type", NoiseType, [row.noise_type for row in sheet.rows], required=()),
    ]
    return SheetCheck(
        findings=tuple(sorted(findings, key=lambda finding: (finding.severity, finding.kind, finding.row or 0))),
        rows=len(sheet.rows),
        pictures=len(metadata),
        labels=_count(row.label or "unknown" for row in sheet.rows),
        noise_types=_count(row.noise_type or "unknown" for row in sheet.rows),
        sizes=_count(f"{header.width}x{header.height}" for header in headers),
        modes=_count(header.mode for header in headers),
        formats=_count(header.format for header in headers),
    )


def find_unusable_rows(sheet: Sheet, metadata: dict[str, ImageMetadata]) -> list[SheetFinding]:
    """Find the errors of single rows, which make them unusable for training."""
    return [finding for finding in find_row_findings(sheet.rows, metadata) if finding.severity is FindingSeverity.ERROR]


def filter_usable_rows(sheet: Sheet, *, skip_bad: bool, console: Console, paired: bool = True) -> UsableRows:
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
    with show_progress(console, "Checking images") as progress:
        metadata = read_image_metadata(sheet, progress=progress)
    findings = [*find_unusable_rows(sheet, metadata), *(_find_rows_without_reference(sheet) if paired else [])]
    if not findings:
        return UsableRows(sheet=sheet, metadata=metadata, left_out=())
    unusable = {finding.row for finding in findings}
    reasons = [f"row {finding.row}: {finding.message}" for finding in findings]
    _require_few_wrong_references(sheet, findings, reasons)
    if not skip_bad:
        place = f"Read {sheet.place}. " if sheet.place else ""
        raise SheetError(
            f"{sheet.path}: {len(unusable)} of {len(sheet.rows)} rows cannot be used:\n  {_first_rows(reasons)}\n"
            f"{place}{_SEE_ALL}, correct them, or leave them out with --skip-bad."
        )
    rows = tuple(row for row in sheet.rows if row.number not in unusable)
    if not rows:
        raise SheetError(f"{sheet.path}: no row can be used; see the reasons with 'clearcast check'")
    console.print(f"Leaving out {len(unusable)} of {len(sheet.rows)} rows that cannot be used; the report lists them.")
    wrong = sum(finding.kind == WRONG_REFERENCE_KIND for finding in findings)
    return UsableRows(
        sheet=replace(sheet, rows=rows), metadata=metadata, left_out=tuple(reasons), wrong_references=wrong
    )


def _require_few_wrong_references(sheet: Sheet, findings: Sequence[SheetFinding], reasons: Sequence[str]) -> None:
    if message := _wrong_references_message(sheet, findings):
        raise SheetError(f"{sheet.path}: {message}:\n  {_first_rows(reasons)}\n{_SEE_ALL}.")


def _first_rows(reasons: Sequence[str]) -> str:
    """List the reasons of the first unusable rows, one per line."""
    more = [f"and {len(reasons) - _SHOWN_ROWS} more"] if len(reasons) > _SHOWN_ROWS else []
    return "\n  ".join([*reasons[:_SHOWN_ROWS], *more])


def _find_rows_without_reference(sheet: Sheet) -> list[SheetFinding]:
    message = "its reference is unknown, but required here; only 'train', 'evaluate' and 'compare' do without"
    return [
        SheetFinding(
            severity=FindingSeverity.ERROR, kind="no reference", message=message, row=row.number, path=row.noisy
        )
        for row in sheet.rows
        if not row.reference and not row.problems
    ]


def require_findings_folder(out: Path, *, force: bool) -> None:
    """Check that findings can be written to a folder; call it before the images are read, which takes long.

    Raises:
        OutputError: the folder or one of its parents is a file, or the folder has findings and ``force`` is not set.
    """
    try:
        nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise OutputError(f"{nearest}: expected a folder for the findings, got a file")
        existing = [
            name
            for name in (_FINDINGS_FILE, _COUNTS_FILE, GROUPS_FILE, MATCH_SCORES_FILE, GROUPS_PAGE_FILE)
            if (out / name).exists()
        ]
    except OSError as error:
        raise OutputError(f"{out}: cannot be opened ({error}); choose another folder") from None
    if existing and not force:
        raise OutputError(f"{out / existing[0]} exists; choose another folder, or replace it with --force")


def write_findings(check: SheetCheck, out: Path, *, force: bool = False) -> None:
    """Write ``findings.csv`` (severity, kind, row, path, message) and ``check.json`` (the counts) into a folder.

    Existing files are replaced only after both are complete.

    Raises:
        OutputError: see ``require_findings_folder``; or the folder cannot be written.
    """
    require_findings_folder(out, force=force)
    counts = {key: value for key, value in asdict(check).items() if key != "findings"} | {"fit": check.fit}
    try:
        with replace_file(out / _COUNTS_FILE) as counts_file, replace_file(out / _FINDINGS_FILE) as table:
            counts_file.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
            with table.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
                writer = csv.DictWriter(file, ["severity", "kind", "row", "path", "message"])
                writer.writeheader()
                rows = (asdict(finding) for finding in check.findings)
                writer.writerows({key: protect_cell(str(value or "")) for key, value in row.items()} for row in rows)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error}); choose another folder or free disk space") from None


def describe_unlisted_files(sheet: Sheet) -> Iterator[str]:
    """Report images that the sheet does not list, and files of other kinds, in the folders of its images.

    Sub-folders are not searched. The sheet itself is not counted.
    """
    listed = {sheet.resolve(path) for row in sheet.rows for path in (row.noisy, row.reference) if path}
    others = OtherFileCounts()
    for folder in sorted({path.parent for path in listed}):
        unlisted = 0
        for name in list_files(folder):
            path = folder / name
            if path in listed or path == sheet.path.absolute():
                continue
            if is_image_file(name, partial(read_first_bytes, path)):
                unlisted += 1
            else:
                others.add(name)
        if unlisted:
            images = "1 image is" if unlisted == 1 else f"{unlisted:,} images are"
            yield f"{images} in {folder}, but not in the sheet"
    if others.counts:
        yield f"In the folders of the sheet's images, {others.sentence}"


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


def _wrong_references_message(sheet: Sheet, findings: Iterable[SheetFinding]) -> str:
    """Return the message for a sheet with so many wrong references that the others cannot be trusted, else ""."""
    wrong = sum(finding.kind == WRONG_REFERENCE_KIND for finding in findings)
    paired = sum(bool(row.reference) for row in sheet.rows)
    if wrong <= max(_FEW_WRONG_REFERENCES, _MAX_WRONG_REFERENCE_SHARE * paired):
        return ""
    return (
        f"{wrong} of {paired} rows name a reference that does not match the noisy image, so the others cannot be "
        "trusted either; perhaps two lists were joined in different orders, or a program rotated the images by their "
        "EXIF orientation. Correct the sheet; the findings by row name the references that match"
    )


def _find_many_wrong_references(sheet: Sheet, findings: Iterable[SheetFinding]) -> Iterator[SheetFinding]:
    if message := _wrong_references_message(sheet, findings):
        yield SheetFinding(severity=FindingSeverity.ERROR, kind="wrong references", message=message)


def _find_mostly_noise_free(rows: Sequence[SheetRow], metadata: MetadataByPath) -> Iterator[SheetFinding]:
    """Find sheets whose noisy images are mostly identical to their references: the wrong column or folder was named."""
    noise_free = len(find_noise_free_rows(rows, metadata))
    noisy = sum(row.noise_type is not NoiseType.NONE for row in rows)
    if noise_free > _MAX_NOISE_FREE_SHARE * noisy:
        message = (
            f"{noise_free} of {noisy} noisy images are identical to their references, byte for byte, so training has "
            "no noise to learn from; name the column and the folder of the noisy images"
        )
        yield SheetFinding(severity=FindingSeverity.ERROR, kind="no noise", message=message)


def _find_unknown_references(rows: Sequence[SheetRow]) -> Iterator[SheetFinding]:
    if count := sum(not row.reference and not row.problems for row in rows):
        message = (
            f"{count} of {len(rows)} rows have an unknown reference: the classifier can use them, the denoiser cannot; "
            "leave them out of a study with --skip-bad"
        )
        yield SheetFinding(severity=FindingSeverity.WARNING, kind="no reference", message=message)


def _find_mixed_properties(headers: list[ImageHeader]) -> Iterator[SheetFinding]:
    for what, counts in (
        ("sizes", _count(f"{header.width}x{header.height}" for header in headers)),
        ("modes", _count(header.mode for header in headers)),
    ):
        if len(counts) > 1:
            message = f"the images have {len(counts):,} {what}: {summarise_counts(counts, ' of ')}"
            yield SheetFinding(severity=FindingSeverity.WARNING, kind=f"mixed {what}", message=message)


def _find_imbalance(
    what: str,
    kinds: type[Label] | type[NoiseType],
    values: list[Label | None] | list[NoiseType | None],
    required: tuple[str, ...] = tuple(Label),
) -> Iterator[SheetFinding]:
    """Report required classes without rows as errors, and classes with few rows as warnings."""
    counts = Counter(value for value in values if value)
    for kind in kinds:
        share = counts[kind] / max(len(values), 1)
        if kind in required and not counts[kind]:
            message = f"no row has the {what} {kind}; a classifier requires images of each class"
            yield SheetFinding(severity=FindingSeverity.ERROR, kind="missing class", message=message)
        elif counts[kind] and share < _RARE_CLASS_SHARE:
            message = f"only {counts[kind]} of {len(values)} rows have the {what} {kind}"
            yield SheetFinding(severity=FindingSeverity.WARNING, kind="rare class", message=message)


def _count(values: Iterable[str]) -> dict[str, int]:
    """Count the occurrences of each value, the most frequent first."""
    return dict(Counter(str(value) for value in values).most_common())
