from dataclasses import replace
from pathlib import Path

import pytest

from clearcast.data.frames import LABELS, label_frame, noise_frame, pair_frame
from clearcast.data.sheet import Row, Sheet
from clearcast.domain import Label, NoiseType
from clearcast.errors import SheetError

ROOT = Path("/data")


def sheet(*kinds: tuple[Label, NoiseType]) -> Sheet:
    rows = tuple(
        Row(number=number, noisy=f"n/{number}.png", noise_type=noise, reference=f"c/{number}.png", label=label)
        for number, (label, noise) in enumerate(kinds, 2)
    )
    return Sheet(path=ROOT / "Labels.xlsx", root=ROOT, sha256="", rows=rows)


THREE = sheet(
    (Label.DEFECT, NoiseType.PERIODIC), (Label.OK, NoiseType.GAUSSIAN), (Label.DEFECT, NoiseType.SALT_AND_PEPPER)
)
PICTURES = tuple(ROOT / "n" / f"{number}.png" for number in (2, 3, 4))


def test_noisy_images_to_labels_with_defect_as_the_positive_class() -> None:
    frame = label_frame(THREE)

    assert frame.classes == LABELS == ("ok", "defect")
    assert frame.targets == (1, 0, 1)
    assert frame.images == PICTURES


def test_noisy_images_to_noise_types() -> None:
    frame = noise_frame(THREE)

    assert frame.classes == ("gaussian", "salt_and_pepper", "periodic")
    assert [frame.classes[target] for target in frame.targets] == ["periodic", "gaussian", "salt_and_pepper"]
    assert frame.images == PICTURES


def test_noise_types_that_the_sheet_lacks_are_no_classes() -> None:
    frame = noise_frame(sheet((Label.OK, NoiseType.NONE), (Label.OK, NoiseType.PERIODIC)))

    assert frame.classes == ("periodic", "none")
    assert frame.targets == (1, 0)


def test_noisy_images_to_references() -> None:
    frame = pair_frame(THREE)

    assert frame.images == PICTURES
    assert frame.references == tuple(ROOT / "c" / f"{number}.png" for number in (2, 3, 4))


@pytest.mark.parametrize("make", [label_frame, noise_frame, pair_frame])
def test_unusable_rows_are_counted_and_the_first_is_named(make: type) -> None:
    good, *others = THREE.rows
    bad = tuple(replace(row, label=None, problems=("unknown label 'x'", "another")) for row in others)

    with pytest.raises(
        SheetError,
        match=r"2 of 3 rows cannot be used; the first is row 3: unknown label 'x'; see all with 'clearcast check'",
    ):
        make(replace(THREE, rows=(good, *bad)))
