"""Whether a sheet and its pictures are fit: everything that is wrong, found in one pass and told at once."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from clearcast import imaging
from clearcast.data.sheet import Row, Sheet
from clearcast.domain import Label, NoiseType
from clearcast.errors import PictureError, PictureFault
from clearcast.imaging import Channels, PictureInfo
from clearcast.progress import Progress

RARE = 0.1  # a class with a smaller share of the rows is reported as rare


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


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """What was learned about one picture file by reading it whole: its header and hash, or why it cannot be used."""

    info: PictureInfo | None = None
    sha256: str = ""
    fault: PictureFault | None = None
    message: str = ""


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


def check_sheet(sheet: Sheet, *, progress: Progress | None = None) -> Check:
    """Read every picture of a sheet whole and report all that is wrong with it and with its rows.

    Args:
        sheet: the sheet; its rows may have problems, they are reported.
        progress: called with (done, all) while pictures are read.
    """
    facts = read_facts(sheet, progress=progress)
    readable = [fact.info for fact in facts.values() if fact.info]
    findings = [
        *_row_findings(sheet.rows, facts),
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


def read_facts(sheet: Sheet, *, progress: Progress | None = None) -> dict[str, PictureFacts]:
    """Read each picture that the sheet names once and whole; the keys are the rows' paths."""
    paths = list(dict.fromkeys(path for row in sheet.rows for path in (row.noisy, row.reference) if path))
    facts: dict[str, PictureFacts] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (path, fact) in enumerate(zip(paths, pool.map(_examine, map(sheet.resolve, paths)), strict=True), 1):
            facts[path] = fact
            if progress:
                progress(done, len(paths))
    return facts


def unusable_rows(sheet: Sheet, facts: dict[str, PictureFacts]) -> list[Finding]:
    """The errors that forbid to learn from single rows."""
    return [finding for finding in _row_findings(sheet.rows, facts) if finding.severity is Severity.ERROR]


def _row_findings(rows: tuple[Row, ...], facts: dict[str, PictureFacts]) -> list[Finding]:
    return [
        *_row_problems(rows),
        *_contradictions(rows),
        *_broken_pictures(rows, facts),
        *_unequal_pairs(rows, facts),
        *_copies(rows, facts),
        *_unspoilt(rows, facts),
    ]


def _examine(path: Path) -> PictureFacts:
    try:
        data = imaging.read_bytes(path)
        info = imaging.probe(data, str(path))
        height, width = imaging.decode(data, Channels.GREY, str(path)).shape  # tells whether a file is whole, too
    except PictureError as error:
        return PictureFacts(fault=error.fault, message=str(error))
    info = replace(info, width=width, height=height)  # as seen, with a camera's orientation applied
    return PictureFacts(info=info, sha256=hashlib.sha256(data).hexdigest())


def _error(kind: str, message: str, row: Row, path: str = "") -> Finding:
    return Finding(severity=Severity.ERROR, kind=kind, message=message, row=row.number, path=path or row.noisy)


def _row_problems(rows: Iterable[Row]) -> Iterator[Finding]:
    for row in rows:
        for problem in row.problems:
            yield _error("row not understood", problem, row)


def _contradictions(rows: Iterable[Row]) -> Iterator[Finding]:
    """One noisy picture in several rows: a contradiction where they differ, a copy that leaks where they agree.

    One reference may serve several noisy pictures, of one label.
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


def _broken_pictures(rows: Iterable[Row], facts: dict[str, PictureFacts]) -> Iterator[Finding]:
    for row in rows:
        for path in dict.fromkeys((row.noisy, row.reference)):
            fact = facts.get(path)
            if fact and fact.fault:
                yield _error(f"{fact.fault} picture", fact.message, row, path)


def _unequal_pairs(rows: Iterable[Row], facts: dict[str, PictureFacts]) -> Iterator[Finding]:
    for row in rows:
        noisy, reference = (facts[path].info if path in facts else None for path in (row.noisy, row.reference))
        if noisy and reference and (noisy.width, noisy.height) != (reference.width, reference.height):
            sizes = f"{noisy.width}x{noisy.height}, its reference {row.reference} {reference.width}x{reference.height}"
            yield _error("unequal pair", f"the noisy picture has {sizes}; a pair must show the same at one size", row)


def _copies(rows: Iterable[Row], facts: dict[str, PictureFacts]) -> Iterator[Finding]:
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
            message = f"has byte for byte the same {role} picture ({original}, {path}), but: {differing}"
            yield from _contradiction(first, row, message, path)
        else:
            yield _copy(f"byte for byte the {role} picture {original} of row {first.number}", row, path)


def _unspoilt(rows: Iterable[Row], facts: dict[str, PictureFacts]) -> Iterator[Finding]:
    """Noisy pictures that are their own references, although a noise is named."""
    for row in rows:
        noisy, reference = (facts[path].sha256 if path in facts else "" for path in (row.noisy, row.reference))
        if noisy and noisy == reference and row.noise_type is not NoiseType.NONE:
            yield _copy(f"byte for byte its own reference {row.reference}, so without noise", row, row.noisy)


def _copy(message: str, row: Row, path: str) -> Finding:
    return Finding(severity=Severity.WARNING, kind="identical copy", message=message, row=row.number, path=path)


def _mixtures(infos: list[PictureInfo]) -> Iterator[Finding]:
    for what, counts in (
        ("sizes", _counted(f"{info.width}x{info.height}" for info in infos)),
        ("modes", _counted(info.mode for info in infos)),
    ):
        if len(counts) > 1:
            listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
            message = f"the pictures have several {what}: {listed}"
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
            message = f"no row has the {what} {kind}; a classifier needs pictures of each"
            yield Finding(severity=Severity.ERROR, kind="missing class", message=message)
        elif counts[kind] and share < RARE:
            message = f"only {counts[kind]} of {len(values)} rows have the {what} {kind}"
            yield Finding(severity=Severity.WARNING, kind="rare class", message=message)


def _counted(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs, the most frequent first."""
    return dict(Counter(str(value) for value in values).most_common())
