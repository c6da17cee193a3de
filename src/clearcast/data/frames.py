"""Three typed frames from one sheet, as in the report: noisy -> ok/defect, noisy -> noise type, noisy -> reference."""

from dataclasses import dataclass
from pathlib import Path

from clearcast.data.sheet import Row, Sheet
from clearcast.domain import Label, NoiseType
from clearcast.errors import SheetError

LABELS = (Label.OK.value, Label.DEFECT.value)  # the order of classes everywhere; defect is the positive one


@dataclass(frozen=True, kw_only=True)
class ClassFrame:
    """Images and the class of each: ``targets`` index into ``classes``. All tuples follow the sheet's rows."""

    images: tuple[Path, ...]
    targets: tuple[int, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PairFrame:
    """Noisy images and their noise-free counterparts, in the order of the sheet's rows."""

    images: tuple[Path, ...]
    references: tuple[Path, ...]


def label_frame(sheet: Sheet) -> ClassFrame:
    """Noisy image -> ok or defect."""
    targets = tuple(LABELS.index(row.label) for row in _understood(sheet) if row.label)
    return ClassFrame(images=_noisy(sheet), targets=targets, classes=LABELS)


def noise_frame(sheet: Sheet) -> ClassFrame:
    """Noisy image -> noise type. The classes are those that the sheet holds, in the order of ``NoiseType``."""
    present = {row.noise_type for row in _understood(sheet)}
    classes = tuple(kind.value for kind in NoiseType if kind in present)
    targets = tuple(classes.index(row.noise_type) for row in sheet.rows if row.noise_type)
    return ClassFrame(images=_noisy(sheet), targets=targets, classes=classes)


def pair_frame(sheet: Sheet) -> PairFrame:
    """Noisy image -> reference image."""
    references = tuple(sheet.resolve(row.reference) for row in _understood(sheet))
    return PairFrame(images=_noisy(sheet), references=references)


def _noisy(sheet: Sheet) -> tuple[Path, ...]:
    return tuple(sheet.resolve(row.noisy) for row in sheet.rows)


def _understood(sheet: Sheet) -> tuple[Row, ...]:
    bad = [row for row in sheet.rows if row.problems]
    if bad:
        raise SheetError(
            f"{sheet.path}: {len(bad)} of {len(sheet.rows)} rows cannot be used; the first is row {bad[0].number}: "
            f"{bad[0].problems[0]}; run 'clearcast check' to see all"
        )
    return sheet.rows
