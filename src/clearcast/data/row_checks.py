"""Validation of single rows of a sheet and their images, and of rows that share images."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from clearcast.data.images import ImageMetadata
from clearcast.data.reference_mismatches import find_reference_mismatches
from clearcast.data.sheet import SheetRow
from clearcast.noise.registry import NoiseType

MetadataByPath = Mapping[str, ImageMetadata]

WRONG_REFERENCE_KIND = "wrong reference"


class FindingSeverity(StrEnum):
    """Severity of a finding: an ``ERROR`` must be corrected before training, a ``WARNING`` should be reviewed."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class SheetFinding:
    """Validation finding. ``row`` is the spreadsheet's row number; None if it concerns the whole sheet."""

    severity: FindingSeverity
    kind: str
    message: str
    row: int | None = None
    path: str = ""


def find_row_findings(rows: Sequence[SheetRow], metadata: MetadataByPath) -> list[SheetFinding]:
    """Find all errors and warnings of single rows, their images, and rows that share images."""
    return [
        *_find_row_problems(rows),
        *_find_contradictions(rows),
        *_find_broken_images(rows, metadata),
        *_find_size_mismatches(rows, metadata),
        *_find_wrong_references(rows, metadata),
        *_find_identical_files(rows, metadata),
        *_find_noise_free_images(rows, metadata),
    ]


def _error(kind: str, message: str, row: SheetRow, path: str = "") -> SheetFinding:
    return SheetFinding(
        severity=FindingSeverity.ERROR, kind=kind, message=message, row=row.number, path=path or row.noisy
    )


def _find_row_problems(rows: Iterable[SheetRow]) -> Iterator[SheetFinding]:
    for row in rows:
        for problem in row.problems:
            yield _error("row not understood", problem, row)


def _find_contradictions(rows: Iterable[SheetRow]) -> Iterator[SheetFinding]:
    """Find noisy images listed in several rows: a contradiction if the rows differ, else a duplicate (leakage).

    Several noisy images may share a reference if they have the same label.
    """
    noisy: dict[str, SheetRow] = {}
    references: dict[str, SheetRow] = {}
    for row in rows:
        known = noisy.setdefault(row.noisy, row) if row.noisy else row
        sibling = references.setdefault(row.reference, row) if row.reference else row
        if differing := _differences(known, row, "label", "noise_type", "reference"):
            yield from _contradiction(known, row, f"contradicts it: {differing}")
        elif known is not row:
            yield _error("listed twice", f"identical to row {known.number}; remove one of them", row)
        elif differing := _differences(sibling, row, "label"):
            yield from _contradiction(sibling, row, f"has the same reference, but another label: {differing}")


def _contradiction(one: SheetRow, other: SheetRow, message: str, path: str = "") -> Iterator[SheetFinding]:
    """Report a contradiction for both rows, since either of them can be wrong."""
    yield _error("contradiction", f"row {other.number} {message}", one)
    yield _error("contradiction", f"row {one.number} {message}", other, path)


def _differences(one: SheetRow, other: SheetRow, *fields: str) -> str:
    """Describe the fields that differ between two rows; a value that is not understood is ignored."""
    pairs = {field: (getattr(one, field), getattr(other, field)) for field in fields}
    return "; ".join(
        f"{field.replace('_', ' ')} {first!s} / {second!s}"
        for field, (first, second) in pairs.items()
        if first and second and first != second
    )


def _find_broken_images(rows: Iterable[SheetRow], metadata: MetadataByPath) -> Iterator[SheetFinding]:
    for row in rows:
        for path in dict.fromkeys((row.noisy, row.reference)):
            entry = metadata.get(path)
            if entry and entry.fault:
                yield _error(f"{entry.fault} picture", entry.message, row, path)


def _find_size_mismatches(rows: Iterable[SheetRow], metadata: MetadataByPath) -> Iterator[SheetFinding]:
    for row in rows:
        noisy, reference = (metadata[path].header if path in metadata else None for path in (row.noisy, row.reference))
        if noisy and reference and (noisy.width, noisy.height) != (reference.width, reference.height):
            message = (
                f"the noisy image has {noisy.width}x{noisy.height} pixels, but its reference {row.reference} has "
                f"{reference.width}x{reference.height}; both images of a pair must have the same size"
            )
            yield _error("unequal pair", message, row)


def _find_wrong_references(rows: Sequence[SheetRow], metadata: MetadataByPath) -> Iterator[SheetFinding]:
    """Find references that show another part, or are rotated or mirrored: training on them would be wrong."""
    for mismatch in find_reference_mismatches(rows, metadata):
        yield _error(WRONG_REFERENCE_KIND, mismatch.message, mismatch.row)


def _find_identical_files(rows: Iterable[SheetRow], metadata: MetadataByPath) -> Iterator[SheetFinding]:
    """Find files with the same bytes under several names, among the noisy images and among the references."""
    for role in ("noisy", "reference"):
        by_hash: dict[str, dict[str, SheetRow]] = defaultdict(dict)
        for row in rows:
            path = getattr(row, role)
            if path in metadata and metadata[path].sha256:
                by_hash[metadata[path].sha256].setdefault(path, row)
        for copies in by_hash.values():
            yield from _compare_copies(role, list(copies.items()))


def _compare_copies(role: str, copies: list[tuple[str, SheetRow]]) -> Iterator[SheetFinding]:
    (original, first), *others = copies
    fields = ("label", "noise_type") if role == "noisy" else ("label",)
    for path, row in others:
        if differing := _differences(first, row, *fields):
            message = f"has the same {role} image, byte for byte ({original}, {path}), but: {differing}"
            yield from _contradiction(first, row, message, path)
        else:
            yield _copy(f"identical to the {role} image {original} of row {first.number}, byte for byte", row, path)


def find_noise_free_rows(rows: Sequence[SheetRow], metadata: MetadataByPath) -> list[SheetRow]:
    """Find the rows with a noise type whose noisy image is identical to its reference, byte for byte."""
    return [row for row in rows if row.noise_type is not NoiseType.NONE and _is_its_reference(row, metadata)]


def _is_its_reference(row: SheetRow, metadata: MetadataByPath) -> bool:
    noisy, reference = (metadata[path].sha256 if path in metadata else "" for path in (row.noisy, row.reference))
    return bool(noisy) and noisy == reference


def _find_noise_free_images(rows: Sequence[SheetRow], metadata: MetadataByPath) -> Iterator[SheetFinding]:
    for row in find_noise_free_rows(rows, metadata):
        yield _copy(f"identical to its reference {row.reference}, byte for byte, so it has no noise", row, row.noisy)


def _copy(message: str, row: SheetRow, path: str) -> SheetFinding:
    return SheetFinding(
        severity=FindingSeverity.WARNING, kind="identical copy", message=message, row=row.number, path=path
    )
