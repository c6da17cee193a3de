"""Targets of training from a sheet: labels, noise types and references."""

from dataclasses import replace
from pathlib import Path

import pytest

from clearcast.core.errors import SheetError
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.noise.registry import NoiseType
from clearcast.train.datasets import LABEL_CLASSES, make_denoising_targets, make_label_targets, make_noise_type_targets
from clearcast.types import Label

ROOT = Path("/data")


def sheet(*kinds: tuple[Label, NoiseType]) -> Sheet:
    rows = tuple(
        SheetRow(number=number, noisy=f"n/{number}.png", noise_type=noise, reference=f"c/{number}.png", label=label)
        for number, (label, noise) in enumerate(kinds, 2)
    )
    return Sheet(path=ROOT / "Labels.xlsx", root=ROOT, sha256="", rows=rows)


THREE_ROWS = sheet(
    (Label.DEFECT, NoiseType.PERIODIC), (Label.OK, NoiseType.GAUSSIAN), (Label.DEFECT, NoiseType.SALT_AND_PEPPER)
)
IMAGES = tuple(ROOT / "n" / f"{number}.png" for number in (2, 3, 4))


def test_noisy_images_to_labels_with_defect_as_the_positive_class() -> None:
    targets = make_label_targets(THREE_ROWS)

    assert targets.classes == LABEL_CLASSES == ("ok", "defect")
    assert targets.targets == (1, 0, 1)
    assert targets.images == IMAGES


def test_noisy_images_to_noise_types() -> None:
    targets = make_noise_type_targets(THREE_ROWS)

    assert targets.classes == ("gaussian", "salt_and_pepper", "periodic")
    assert [targets.classes[target] for target in targets.targets] == ["periodic", "gaussian", "salt_and_pepper"]
    assert targets.images == IMAGES


def test_noise_types_that_the_sheet_lacks_are_no_classes() -> None:
    targets = make_noise_type_targets(sheet((Label.OK, NoiseType.NONE), (Label.OK, NoiseType.PERIODIC)))

    assert targets.classes == ("periodic", "none")
    assert targets.targets == (1, 0)


def test_noisy_images_to_references() -> None:
    targets = make_denoising_targets(THREE_ROWS)

    assert targets.images == IMAGES
    assert targets.references == tuple(ROOT / "c" / f"{number}.png" for number in (2, 3, 4))


@pytest.mark.parametrize("make", [make_label_targets, make_noise_type_targets, make_denoising_targets])
def test_unusable_rows_are_counted_and_the_first_is_named(make: type) -> None:
    good, *others = THREE_ROWS.rows
    bad = tuple(replace(row, label=None, problems=("unknown label 'x'", "another")) for row in others)

    with pytest.raises(
        SheetError,
        match=r"2 of 3 rows cannot be used; the first is row 3: unknown label 'x'; see all with 'clearcast check'",
    ):
        make(replace(THREE_ROWS, rows=(good, *bad)))
