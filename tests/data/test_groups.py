"""Groups: detection of transformed copies of a part, merging, and groups from a file or a column."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import SheetError
from clearcast.core.files import find_image_files
from clearcast.data.groups import (
    ComparedImages,
    RowGroups,
    align_images,
    detect_groups,
    detect_row_groups,
    find_label_errors,
    write_groups_table,
    write_match_scores,
)
from clearcast.data.groups.alignment import prefilter_noise
from clearcast.data.groups.clustering import MAX_IMAGE_FAILURES, Clustering, merge_matching_pairs
from clearcast.data.groups.row_groups import GroupSource, read_groups_file, resolve_row_parts
from clearcast.data.images import read_image_metadata
from clearcast.data.sheet import Sheet, SheetColumns, SheetRow, read_sheet
from clearcast.noise.registry import NoiseType
from clearcast.synth.disks import write_disks
from clearcast.types import Label, Subset


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One image of each of six parts."""
    folder = tmp_path_factory.mktemp("parts")
    write_disks(folder / "disks", parts=6, seed=3, size=256, views=(1, 1))
    return find_image_files(folder / "disks" / "pictures")


def stretched(image: ImageArray) -> ImageArray:
    return np.asarray(cv2.resize(image, (256, 210), interpolation=cv2.INTER_AREA), np.uint8)


def shifted(image: ImageArray) -> ImageArray:
    matrix = np.array([[1, 0, 9], [0, 1, -6]], np.float32)
    return np.asarray(cv2.warpAffine(image, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def darker(image: ImageArray) -> ImageArray:
    return (image * 0.8).astype(np.uint8)


@pytest.mark.parametrize(
    "change", [np.fliplr, np.flipud, np.rot90, stretched, shifted, darker], ids=lambda f: f.__name__
)
def test_a_transformed_copy_is_in_the_group_of_its_part(
    parts: list[Path], change: Callable[[ImageArray], ImageArray], tmp_path: Path
) -> None:
    copies = []
    for part in parts:
        copies.append(tmp_path / part.name)
        copy = np.ascontiguousarray(change(imaging.load_image(part, Channels.GREY)))
        imaging.save_image(copies[-1], np.asarray(copy, np.uint8), jpeg_quality=90)
    groups = detect_groups([*parts, *copies]).groups
    assert groups == (*range(6), *range(6))


def test_rendered_parts_are_distinguished(tmp_path: Path) -> None:
    write_disks(tmp_path / "disks", parts=12, seed=5, size=256, views=(3, 3))
    paths = find_image_files(tmp_path / "disks" / "pictures")
    found = detect_groups(paths).groups
    pairs = list(combinations(zip(paths, found, strict=True), 2))
    same = [one.name.split("_")[2] == other.name.split("_")[2] for (one, _), (other, _) in pairs]
    merged = [one == other for (_, one), (_, other) in pairs]
    both = sum(a and b for a, b in zip(same, merged, strict=True))
    assert both == sum(merged)  # no two parts are merged
    assert both >= 0.9 * sum(same)


def add_impulses(image: ImageArray, share: float) -> ImageArray:
    rng = np.random.default_rng(0)
    return np.where(rng.random(image.shape) < share, rng.choice([0, 255], image.shape), image).astype(np.uint8)


def test_impulses_and_waves_are_removed(parts: list[Path]) -> None:
    image = imaging.load_image(parts[0], Channels.GREY)
    wave = 40 * np.sin(2 * np.pi * (17 * np.arange(256)[:, None] + 9 * np.arange(256)) / 256)
    with_waves = np.clip(image + wave, 0, 255).astype(np.uint8)
    for noisy in (add_impulses(image, 0.05), with_waves):
        before, after = (
            np.abs(array.astype(float) - prefilter_noise(image)).mean() for array in (noisy, prefilter_noise(noisy))
        )
        assert after < before / 3


def test_copies_with_impulses_are_found(parts: list[Path], tmp_path: Path) -> None:
    noisy_paths = []
    for name, change in (("a", np.asarray), ("b", np.fliplr)):
        for part in parts:
            noisy_paths.append(tmp_path / f"{name}{part.stem}.png")
            imaging.save_image(
                noisy_paths[-1],
                add_impulses(np.ascontiguousarray(change(imaging.load_image(part, Channels.GREY))), 0.02),
            )
    assert detect_groups(noisy_paths, noisy=[True] * 12).groups == (*range(6), *range(6))


def test_no_images_and_uniform_images(tmp_path: Path) -> None:
    assert detect_groups([]).groups == ()
    for name, level in (("a.png", 0), ("b.png", 200)):
        imaging.save_image(tmp_path / name, np.full((64, 64), level, np.uint8))
    assert detect_groups(find_image_files(tmp_path)).groups == (0, 1)


@pytest.fixture
def sheet(noisy_folder: Path) -> Sheet:
    return read_sheet(noisy_folder / "Labels.xlsx")


def test_every_image_of_the_sheet_is_listed(sheet: Sheet, tmp_path: Path) -> None:
    groups = detect_row_groups(sheet, read_image_metadata(sheet)).of_rows
    write_groups_table(sheet, groups, tmp_path / "groups.csv")
    listed = pd.read_csv(tmp_path / "groups.csv")
    assert list(listed.columns) == ["path", "group"]
    assert set(listed.path) == {path for row in sheet.rows for path in (row.noisy, row.reference)}


def test_rows_with_one_reference_share_a_group_and_a_broken_row_has_its_own(sheet: Sheet) -> None:
    shared = replace(sheet.rows[1], reference=sheet.rows[0].reference)
    broken = replace(sheet.rows[2], reference="none.png", noisy="none.png")
    rows = replace(sheet, rows=(sheet.rows[0], shared, broken))
    first, second, third = detect_row_groups(rows, read_image_metadata(rows)).of_rows
    assert first == second != third


def test_a_label_that_the_copies_contradict_is_a_likely_error(sheet: Sheet) -> None:
    rows = [replace(row, label=Label.OK) for row in sheet.rows[:4]]
    rows[2] = replace(rows[2], label=Label.DEFECT)
    (finding,) = find_label_errors(rows, ["a", "a", "a", "b"])
    assert (finding.kind, finding.row) == ("likely label error", rows[2].number)
    assert "2 other images of the same part" in finding.message


def merge_pairs(count: int, pairs: list[tuple[int, int]], match_score: Callable[[int, int], float]) -> Clustering:
    def compare(place: int) -> float:
        return match_score(*pairs[place])

    def progress_calls(done: int, total: int) -> None:
        assert 0 <= done <= total == len(pairs)

    with ThreadPoolExecutor(2) as pool:
        places = np.array(pairs, np.int32).reshape(-1, 2)
        return merge_matching_pairs(
            Clustering(tuple(range(count))), places, compare, threshold=0.9, pool=pool, progress=progress_calls
        )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=MAX_IMAGE_FAILURES), st.randoms(use_true_random=False))
def test_merging_finds_the_groups_in_any_order(parts: list[int], random: Random) -> None:
    pairs = list(combinations(range(len(parts)), 2))
    random.shuffle(pairs)
    found = merge_pairs(len(parts), pairs, lambda one, other: 0.95 if parts[one] == parts[other] else 0.3)
    assert all((found.groups[one] == found.groups[other]) == (parts[one] == parts[other]) for one, other in pairs)
    assert len(found.matches) == len(parts) - len(set(parts))
    assert all(parts[pair.one] != parts[pair.other] and pair.match_score == 0.3 for pair in found.non_matches)


def test_images_with_too_many_failures_are_skipped() -> None:
    pairs = list(combinations(range(40), 2))
    found = merge_pairs(40, pairs, lambda one, other: (one + other) / 1000)
    assert found.groups == tuple(range(40))
    assert len(found.non_matches) < len(pairs) / 2


def test_progress_covers_reading_and_comparing(parts: list[Path]) -> None:
    progress_calls: list[tuple[int, int]] = []
    detect_groups(parts, progress=lambda done, total: progress_calls.append((done, total)))
    done = [count for count, _ in progress_calls]
    assert done == sorted(done)
    assert len({total for _, total in progress_calls}) == 1
    assert progress_calls[-1][0] == progress_calls[-1][1] > len(parts)


def test_the_same_images_give_the_same_groups(parts: list[Path]) -> None:
    assert detect_groups(parts) == detect_groups(parts)


@pytest.mark.parametrize("change", [np.fliplr, np.rot90, stretched], ids=lambda f: f.__name__)
def test_a_copy_is_aligned_with_its_original(parts: list[Path], change: Callable[[ImageArray], ImageArray]) -> None:
    one = imaging.load_image(parts[0], Channels.GREY)
    copy, original = align_images(np.ascontiguousarray(change(one)), one)
    middle = slice(40, 120)
    assert np.corrcoef(copy[middle, middle].ravel(), original[middle, middle].ravel())[0, 1] > 0.97


def test_match_scores_of_groups_are_written(tmp_path: Path) -> None:
    groups = RowGroups(
        of_rows=("a", "a", "a", "b", "c"),
        images=("1", "2", "3", "4", ""),
        matches=(
            ComparedImages(one="1", other="2", match_score=0.99),
            ComparedImages(one="2", other="3", match_score=0.91),
        ),
        non_matches=(ComparedImages(one="3", other="4", match_score=0.87),),
    )
    write_match_scores(groups, tmp_path / "doubts.csv")
    assert (tmp_path / "doubts.csv").read_text().split() == [
        "group,rows,weakest_join,nearest_group,nearest_agreement",
        "a,3,0.910,b,0.870",
        "b,1,,a,0.870",
        "c,1,,,",
    ]
    assert [link.match_score for link in groups.doubtful_matches] == [0.91]
    assert [link.match_score for link in groups.near_misses] == [0.87]


def test_matches_and_non_matches_are_listed_by_path(sheet: Sheet) -> None:
    found = detect_row_groups(sheet, read_image_metadata(sheet))
    assert {path for link in (*found.matches, *found.non_matches) for path in (link.one, link.other)} <= set(
        found.images
    )
    assert len(found.matches) == len(found.of_rows) - len(set(found.of_rows))
    assert all(found.group_of_image[link.one] == found.group_of_image[link.other] for link in found.matches)
    assert all(found.group_of_image[link.one] != found.group_of_image[link.other] for link in found.non_matches)


def test_merging_continues_from_a_clustering() -> None:
    known = merge_pairs(4, [(0, 1), (0, 3)], lambda _, other: 0.95 if other == 1 else 0.3)
    assert known.groups == (0, 0, 1, 2)
    with ThreadPoolExecutor(1) as pool:
        pairs = np.array([(2, 1)], np.int32)
        found = merge_matching_pairs(
            known, pairs, lambda _: 0.96, threshold=0.9, pool=pool, progress=lambda _, __: None
        )
    assert found.groups == (0, 0, 0, 1)
    assert [(pair.one, pair.other) for pair in found.matches] == [(0, 1), (2, 1)]
    assert [(pair.one, pair.other) for pair in found.non_matches] == [(0, 3)]


def sheet_with_groups(*groups: str) -> Sheet:
    rows = [
        SheetRow(
            number=number,
            noisy=f"noisy/{number}.png",
            noise_type=NoiseType.GAUSSIAN,
            reference=f"clean/{number}.png",
            label=Label.OK,
            group=group,
        )
        for number, group in enumerate(groups, 2)
    ]
    return Sheet(path=Path("Labels.xlsx"), root=Path(), sha256="", rows=tuple(rows))


def detection_not_expected() -> tuple[str, ...]:
    raise AssertionError("groups are detected although they are known")


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_row_is_identified_by_either_of_its_images(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame({"Path": ["noisy\\2.png", "./clean/3.png", "clean/4.png", "other.png"], "Group": [1, 2, 1, 9]})
    path = tmp_path / f"groups{suffix}"
    if suffix == ".csv":
        table.to_csv(path, index=False, sep=";")
    else:
        table.to_excel(path, index=False)

    assert read_groups_file(path, sheet_with_groups("", "", "")) == ("1", "2", "1")


def test_groups_that_look_like_formulas_are_written_as_text_and_read_back(tmp_path: Path) -> None:
    plain = sheet_with_groups("=1", "-2")
    rows = tuple(replace(row, noisy=f"={row.number}.png") for row in plain.rows)
    formulas = replace(plain, rows=rows)
    write_groups_table(formulas, ("=1", "-2"), tmp_path / "groups.csv")

    assert read_groups_file(tmp_path / "groups.csv", formulas) == ("=1", "-2")
    lines = (tmp_path / "groups.csv").read_text("utf-8").splitlines()
    assert "'=2.png,'=1" in lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,group\nclean/2.png,a\n", r"1 of 2 rows .* row 3 \(noisy/3.png\): not listed"),
        ("path,group\nclean/2.png,a\nnoisy/2.png,b\nclean/3.png,a\n", r"1 of 2 rows .* row 2 .*: a and b"),
        (
            "path,part\nclean/2.png,a\n",
            "no column 'group'; the sheet has 'path', 'part'; expected the columns path and group",
        ),
    ],
)
def test_errors_of_the_groups_file_are_reported(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text)

    with pytest.raises(SheetError, match="(?s)" + message):
        read_groups_file(path, sheet_with_groups("", ""))


def test_the_file_has_priority_over_the_column_and_the_column_over_detection(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("path,group\nclean/2.png,a\nclean/3.png,a\n")

    by_file = resolve_row_parts(sheet_with_groups("x", "y"), path, detection_not_expected)
    by_column = resolve_row_parts(sheet_with_groups("x", ""), None, detection_not_expected)
    detected = resolve_row_parts(sheet_with_groups("", ""), None, lambda: ("p", "q"))

    assert (by_file.of_rows, by_file.source, by_file.independent) == (("a", "a"), GroupSource.FILE, False)
    assert (by_column.of_rows, by_column.source) == (("x", "row 3"), GroupSource.COLUMN)
    assert (detected.of_rows, detected.source, detected.independent) == (("p", "q"), GroupSource.FOUND, True)


def test_a_sheet_can_have_group_and_subset_columns(tmp_path: Path) -> None:
    path = tmp_path / "Labels.csv"
    path.write_text(
        "Noisy Image,Noise Type,Denoise Image,group,Use\nok1.png,Salt,ok1r.png,7,train\nok2.png,Salt,ok2r.png,,exam\n"
    )

    first, second = read_sheet(path, columns=SheetColumns(subset="use")).rows

    assert (first.group, first.subset, first.problems) == ("7", Subset.TRAIN, ())
    assert (second.group, second.subset) == ("", None)
    assert second.problems == ("unknown subset 'exam'; expected one of train, validation, test",)
    assert read_sheet(path).rows[1].problems == ()
