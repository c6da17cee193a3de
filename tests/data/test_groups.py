"""Groups: copies of one part are found whatever was done to them, and other parts are not taken for copies."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from clearcast import imaging
from clearcast.data.check import read_facts
from clearcast.data.groups import find_groups, group_rows, label_doubts, write_groups
from clearcast.data.sheet import Sheet, read_sheet
from clearcast.disks import write_disks
from clearcast.domain import Label
from clearcast.imaging import Channels, Picture


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One picture of each of six parts."""
    folder = tmp_path_factory.mktemp("parts")
    write_disks(folder / "disks", parts=6, seed=3, size=256, views=(1, 1))
    return imaging.find(folder / "disks" / "pictures")


def stretched(picture: Picture) -> Picture:
    return np.asarray(cv2.resize(picture, (256, 210), interpolation=cv2.INTER_AREA), np.uint8)


def shifted(picture: Picture) -> Picture:
    matrix = np.array([[1, 0, 9], [0, 1, -6]], np.float32)
    return np.asarray(cv2.warpAffine(picture, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def darker(picture: Picture) -> Picture:
    return (picture * 0.8).astype(np.uint8)


@pytest.mark.parametrize(
    "change", [np.fliplr, np.flipud, np.rot90, stretched, shifted, darker], ids=lambda f: f.__name__
)
def test_a_changed_copy_is_of_its_part(parts: list[Path], change: Callable[[Picture], Picture], tmp_path: Path) -> None:
    copies = []
    for part in parts:
        copies.append(tmp_path / part.name)
        copy = np.ascontiguousarray(change(imaging.load(part, Channels.GREY)))
        imaging.save(copies[-1], np.asarray(copy, np.uint8), jpeg_quality=90)
    groups = find_groups([*parts, *copies]).groups
    assert groups == (*range(6), *range(6))


def test_rendered_parts_are_told_apart(tmp_path: Path) -> None:
    write_disks(tmp_path / "disks", parts=20, seed=5, size=256, views=(3, 3))
    paths = imaging.find(tmp_path / "disks" / "pictures")
    found = find_groups(paths).groups
    pairs = list(combinations(zip(paths, found, strict=True), 2))
    same = [one.name.split("_")[2] == other.name.split("_")[2] for (one, _), (other, _) in pairs]
    said = [one == other for (_, one), (_, other) in pairs]
    both = sum(a and b for a, b in zip(same, said, strict=True))
    assert both == sum(said)  # no two parts are taken for one
    assert both >= 0.9 * sum(same)


def test_nothing_and_a_picture_without_contrast(tmp_path: Path) -> None:
    assert find_groups([]).groups == ()
    for name, level in (("a.png", 0), ("b.png", 200)):
        imaging.save(tmp_path / name, np.full((64, 64), level, np.uint8))
    assert find_groups(imaging.find(tmp_path)).groups == (0, 1)


@pytest.fixture
def sheet(noisy_folder: Path) -> Sheet:
    return read_sheet(noisy_folder / "Labels.xlsx")


def test_every_picture_of_the_sheet_is_listed(sheet: Sheet, tmp_path: Path) -> None:
    groups = group_rows(sheet, read_facts(sheet))
    write_groups(sheet, groups, tmp_path / "groups.csv")
    listed = pd.read_csv(tmp_path / "groups.csv")
    assert list(listed.columns) == ["path", "group"]
    assert set(listed.path) == {path for row in sheet.rows for path in (row.noisy, row.reference)}


def test_rows_of_one_reference_are_of_one_group_and_a_broken_one_of_its_own(sheet: Sheet) -> None:
    shared = replace(sheet.rows[1], reference=sheet.rows[0].reference)
    broken = replace(sheet.rows[2], reference="none.png", noisy="none.png")
    rows = replace(sheet, rows=(sheet.rows[0], shared, broken))
    first, second, third = group_rows(rows, read_facts(rows))
    assert first == second != third


def test_a_label_that_the_copies_contradict_is_doubted(sheet: Sheet) -> None:
    rows = [replace(row, label=Label.OK) for row in sheet.rows[:4]]
    rows[2] = replace(rows[2], label=Label.DEFECT)
    (doubt,) = label_doubts(rows, ["a", "a", "a", "b"])
    assert (doubt.kind, doubt.row) == ("likely label error", rows[2].number)
    assert "2 other pictures of the same part" in doubt.message
