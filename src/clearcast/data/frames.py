"""Training targets from a sheet, one table per task: noisy -> ok/defect, noisy -> noise type, noisy -> reference."""

from dataclasses import dataclass
from pathlib import Path

from clearcast.data.sheet import Row, Sheet
from clearcast.domain import Label, NoiseType
from clearcast.errors import SheetError

LABELS = (Label.OK.value, Label.DEFECT.value)  # class order in the whole package; defect is the positive class


@dataclass(frozen=True, kw_only=True)
class ClassFrame:
    """Classification targets: ``targets`` are indices into ``classes``. All tuples are in the order of the rows."""

    images: tuple[Path, ...]
    targets: tuple[int, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PairFrame:
    """Denoising targets: noisy images and their references, in the order of the sheet's rows."""

    images: tuple[Path, ...]
    references: tuple[Path, ...]


def label_frame(sheet: Sheet) -> ClassFrame:
    """Return the targets ok or defect of the noisy images."""
    targets = tuple(LABELS.index(row.label) for row in _valid_rows(sheet) if row.label)
    return ClassFrame(images=_noisy_paths(sheet), targets=targets, classes=LABELS)


def noise_frame(sheet: Sheet) -> ClassFrame:
    """Return the noise types of the noisy images. Classes are those in the sheet, in the order of ``NoiseType``."""
    present = {row.noise_type for row in _valid_rows(sheet)}
    classes = tuple(kind.value for kind in NoiseType if kind in present)
    targets = tuple(classes.index(row.noise_type) for row in sheet.rows if row.noise_type)
    return ClassFrame(images=_noisy_paths(sheet), targets=targets, classes=classes)


def pair_frame(sheet: Sheet) -> PairFrame:
    """Return the references of the noisy images."""
    references = tuple(sheet.resolve(row.reference) for row in _valid_rows(sheet))
    return PairFrame(images=_noisy_paths(sheet), references=references)


def _noisy_paths(sheet: Sheet) -> tuple[Path, ...]:
    return tuple(sheet.resolve(row.noisy) for row in sheet.rows)


def _valid_rows(sheet: Sheet) -> tuple[Row, ...]:
    bad = [row for row in sheet.rows if row.problems]
    if bad:
        raise SheetError(
            f"{sheet.path}: {len(bad)} of {len(sheet.rows)} rows cannot be used; the first is row {bad[0].number}: "
            f"{bad[0].problems[0]}; see all with 'clearcast check'"
        )
    return sheet.rows
