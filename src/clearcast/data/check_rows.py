"""What is wrong with single rows of a sheet, with their images, and between rows that name the same."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from clearcast.data.facts import PictureFacts
from clearcast.data.mismatches import find_mismatches
from clearcast.data.sheet import Row
from clearcast.domain import NoiseType

Facts = Mapping[str, PictureFacts]

WRONG_REFERENCE = "wrong reference"


class Severity(StrEnum):
    """``ERROR`` must be mended before training; ``WARNING`` should be looked at."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing to mend or to look at. ``row`` is the spreadsheet's row number, None where it concerns the whole."""

    severity: Severity
    kind: str
    message: str
    row: int | None = None
    path: str = ""


def row_findings(rows: Sequence[Row], facts: Facts) -> list[Finding]:
    """All that is wrong with single rows and their images, and between rows that name the same."""
    return [
        *_row_problems(rows),
        *_contradictions(rows),
        *_broken_images(rows, facts),
        *_unequal_pairs(rows, facts),
        *_wrong_references(rows, facts),
        *_copies(rows, facts),
        *_unspoilt(rows, facts),
    ]


def _error(kind: str, message: str, row: Row, path: str = "") -> Finding:
    return Finding(severity=Severity.ERROR, kind=kind, message=message, row=row.number, path=path or row.noisy)


def _row_problems(rows: Iterable[Row]) -> Iterator[Finding]:
    for row in rows:
        for problem in row.problems:
            yield _error("row not understood", problem, row)


def _contradictions(rows: Iterable[Row]) -> Iterator[Finding]:
    """One noisy image in several rows: a contradiction where they differ, a copy that leaks where they agree.

    One reference may serve several noisy images, of one label.
    """
    noisy: dict[str, Row] = {}
    references: dict[str, Row] = {}
    for row in rows:
        known = noisy.setdefault(row.noisy, row) if row.noisy else row
        sibling = references.setdefault(row.reference, row) if row.reference else row
        if differing := _differences(known, row, "label", "noise_type", "reference"):
            yield from _contradiction(known, row, f"says otherwise: {differing}")
        elif known is not row:
            yield _error("listed twice", f"the same as row {known.number}; remove one of them", row)
        elif differing := _differences(sibling, row, "label"):
            yield from _contradiction(sibling, row, f"has the same reference, but: {differing}")


def _contradiction(one: Row, other: Row, message: str, path: str = "") -> Iterator[Finding]:
    """Two rows that cannot both be true; which of them is not, nobody can tell here."""
    yield _error("contradiction", f"row {other.number} {message}", one)
    yield _error("contradiction", f"row {one.number} {message}", other, path)


def _differences(one: Row, other: Row, *fields: str) -> str:
    """In which fields two rows contradict each other; what could not be understood contradicts nothing."""
    pairs = {field: (getattr(one, field), getattr(other, field)) for field in fields}
    return "; ".join(
        f"{field.replace('_', ' ')} {first!s} / {second!s}"
        for field, (first, second) in pairs.items()
        if first and second and first != second
    )


def _broken_images(rows: Iterable[Row], facts: Facts) -> Iterator[Finding]:
    for row in rows:
        for path in dict.fromkeys((row.noisy, row.reference)):
            fact = facts.get(path)
            if fact and fact.fault:
                yield _error(f"{fact.fault} picture", fact.message, row, path)


def _unequal_pairs(rows: Iterable[Row], facts: Facts) -> Iterator[Finding]:
    for row in rows:
        noisy, reference = (facts[path].info if path in facts else None for path in (row.noisy, row.reference))
        if noisy and reference and (noisy.width, noisy.height) != (reference.width, reference.height):
            sizes = f"{noisy.width}x{noisy.height}, its reference {row.reference} {reference.width}x{reference.height}"
            yield _error("unequal pair", f"the noisy image has {sizes}; a pair must show the same at one size", row)


def _wrong_references(rows: Sequence[Row], facts: Facts) -> Iterator[Finding]:
    """References of another part, turned or mirrored: whatever learns from them learns what is not true."""
    for mismatch in find_mismatches(rows, facts):
        yield _error(WRONG_REFERENCE, mismatch.message, mismatch.row)


def _copies(rows: Iterable[Row], facts: Facts) -> Iterator[Finding]:
    """Files with the same bytes under several names: noisy ones always, references among themselves."""
    for role in ("noisy", "reference"):
        same: dict[str, dict[str, Row]] = defaultdict(dict)
        for row in rows:
            path = getattr(row, role)
            if path in facts and facts[path].sha256:
                same[facts[path].sha256].setdefault(path, row)
        for copies in same.values():
            yield from _copies_of_one(role, list(copies.items()))


def _copies_of_one(role: str, copies: list[tuple[str, Row]]) -> Iterator[Finding]:
    (original, first), *others = copies
    fields = ("label", "noise_type") if role == "noisy" else ("label",)
    for path, row in others:
        if differing := _differences(first, row, *fields):
            message = f"has byte for byte the same {role} image ({original}, {path}), but: {differing}"
            yield from _contradiction(first, row, message, path)
        else:
            yield _copy(f"byte for byte the {role} image {original} of row {first.number}", row, path)


def unspoilt_rows(rows: Sequence[Row], facts: Facts) -> list[Row]:
    """The rows whose noisy image is its own reference, byte for byte, although they do not say ``none``."""
    return [row for row in rows if row.noise_type is not NoiseType.NONE and _is_its_reference(row, facts)]


def _is_its_reference(row: Row, facts: Facts) -> bool:
    noisy, reference = (facts[path].sha256 if path in facts else "" for path in (row.noisy, row.reference))
    return bool(noisy) and noisy == reference


def _unspoilt(rows: Sequence[Row], facts: Facts) -> Iterator[Finding]:
    for row in unspoilt_rows(rows, facts):
        yield _copy(f"byte for byte its own reference {row.reference}, so without noise", row, row.noisy)


def _copy(message: str, row: Row, path: str) -> Finding:
    return Finding(severity=Severity.WARNING, kind="identical copy", message=message, row=row.number, path=path)
