"""Mismatched references are found, on drawn parts with known pairs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import SheetError
from clearcast.data.images import ImageMetadata, make_comparison_thumbnail
from clearcast.data.reference_mismatches import ReferenceMismatch, find_reference_mismatches
from clearcast.data.sheet import Sheet, SheetRow, read_sheet
from clearcast.data.validation import check_sheet, filter_usable_rows
from clearcast.noise.registry import NoiseType
from clearcast.types import Label

COUNT, SIDE = 24, 96


def part(seed: int) -> ImageArray:
    """Draw a bright disk with random holes."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:SIDE, :SIDE]
    picture = np.where(np.hypot(down - 48, across - 48) < 40, 170.0, 40.0)
    for angle, far, size in zip(rng.uniform(0, 6.28, 6), rng.uniform(8, 32, 6), rng.uniform(3, 7, 6), strict=True):
        picture[np.hypot(down - 48 - far * np.sin(angle), across - 48 - far * np.cos(angle)) < size] = 80
    return picture.astype(np.uint8)


def grain(picture: ImageArray, rng: np.random.Generator) -> ImageArray:
    return np.asarray(np.clip(picture + rng.normal(0, 30, picture.shape), 0, 255), np.uint8)


def impulses(picture: ImageArray, rng: np.random.Generator) -> ImageArray:
    struck, white = rng.random(picture.shape) < 0.3, rng.random(picture.shape) < 0.5
    return np.where(struck, np.where(white, 255, 0), picture).astype(np.uint8)


def waves(picture: ImageArray, rng: np.random.Generator) -> ImageArray:
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    slow, fast = rng.uniform(1, 4, 2), rng.uniform(5, 12, 2)
    added = sum(80 * np.sin(6.28 * (a * down + b * across) + rng.uniform(0, 6)) for a, b in (slow, fast))
    return np.asarray(np.clip(picture + added, 0, 255), np.uint8)


def found(noisy: Sequence[ImageArray], references: Sequence[ImageArray]) -> list[ReferenceMismatch]:
    rows = [
        SheetRow(number=place, noisy=f"n{place}", noise_type=NoiseType.GAUSSIAN, reference=f"r{place}", label=Label.OK)
        for place in range(len(noisy))
    ]
    metadata = {
        f"n{place}": ImageMetadata(thumbnail=make_comparison_thumbnail(each)) for place, each in enumerate(noisy)
    }
    metadata |= {
        f"r{place}": ImageMetadata(thumbnail=make_comparison_thumbnail(each)) for place, each in enumerate(references)
    }
    return find_reference_mismatches(rows, metadata)


@pytest.fixture(params=[grain, impulses, waves])
def noisy(request: pytest.FixtureRequest) -> list[ImageArray]:
    return [request.param(part(place), np.random.default_rng(place)) for place in range(COUNT)]


PARTS = [part(place) for place in range(COUNT)]


def test_true_pairs_raise_no_alarm(noisy: list[ImageArray]) -> None:
    assert found(noisy, PARTS) == []


def test_shifted_references_are_found_and_the_right_ones_named(noisy: list[ImageArray]) -> None:
    mismatches = found(noisy, PARTS[1:] + PARTS[:1])
    assert len(mismatches) >= COUNT - 1
    assert all(each.reference == f"r{(each.row.number - 1) % COUNT}" for each in mismatches)
    assert {each.orientation for each in mismatches} == {0}


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (lambda it: np.rot90(it, 3), "rotated by 90 degrees counterclockwise"),
        (lambda it: np.rot90(it, 2), "rotated by 180 degrees"),
        (lambda it: np.rot90(it, 1), "rotated by 90 degrees clockwise"),
        (np.fliplr, "mirrored left to right"),
        (np.flipud, "mirrored top to bottom"),
        (np.transpose, "rotated by 90 degrees counterclockwise and mirrored left to right"),
    ],
)
def test_turned_references_are_found(noisy: list[ImageArray], turn: object, words: str) -> None:
    """References rotated clockwise match after a counterclockwise rotation."""
    assert callable(turn)
    if turn is np.transpose:
        words = "mirrored"
    mismatches = found(noisy, [np.ascontiguousarray(turn(each)) for each in PARTS])
    assert len(mismatches) >= COUNT - 1
    assert all(each.reference == each.row.reference for each in mismatches)
    assert all(words in each.message for each in mismatches)


def test_parts_that_look_the_same_when_turned_raise_no_alarm() -> None:
    down, across = np.mgrid[:SIDE, :SIDE] - 47.5
    rings = [(128 + 80 * np.cos(np.hypot(down, across) / (3 + place / 8))).astype(np.uint8) for place in range(8)]
    spoilt = [grain(each, np.random.default_rng(place)) for place, each in enumerate(rings)]
    assert found(spoilt, [np.rot90(each) for each in rings]) == []


def test_uniform_images_are_no_mismatches() -> None:
    plain = [np.full((SIDE, SIDE), 90, np.uint8) for _ in range(COUNT)]
    spoilt = [grain(each, np.random.default_rng(place)) for place, each in enumerate(plain)]
    assert found(spoilt, plain) == []
    assert found(spoilt, PARTS) == []


def test_copies_of_one_reference_are_as_good_as_each_other() -> None:
    rng = np.random.default_rng(0)
    copies = [
        np.clip(part(1).astype(int) + rng.integers(-1, 2, (SIDE, SIDE)), 0, 255).astype(np.uint8) for _ in range(9)
    ]
    assert found([grain(each, rng) for each in copies], copies[1:] + copies[:1]) == []


def test_large_sheets_are_searched_for_the_most_suspicious_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearcast.data.reference_mismatches._MAX_COMPARISONS", 8 * COUNT * 6)  # six rows
    noisy = [grain(each, np.random.default_rng(place)) for place, each in enumerate(PARTS)]
    swapped = [PARTS[1], PARTS[0], *PARTS[2:]]
    assert [(each.row.number, each.reference) for each in found(noisy, swapped)] == [(0, "r1"), (1, "r0")]


def sheet_of(folder: Path, order: Sequence[int]) -> Sheet:
    """Return rows whose noisy images show parts 0, 1, ... and whose references show the parts in the given order."""
    lines = ["Denoise Image,Noise Type,Noisy Image"]
    for place, other in enumerate(order):
        imaging.save_image(folder / f"clean/{place}_ok.png", PARTS[place])
        imaging.save_image(folder / f"noisy/{place}_ok.png", grain(PARTS[place], np.random.default_rng(place)))
        lines.append(f"clean/{other}_ok.png,gaussian,noisy/{place}_ok.png")
    (folder / "sheet.csv").write_text("\n".join(lines))
    return read_sheet(folder / "sheet.csv")


def test_check_names_the_rows_and_the_matching_references(tmp_path: Path) -> None:
    check = check_sheet(sheet_of(tmp_path, [1, 0, *range(2, COUNT)]))
    wrong = [finding for finding in check.findings if finding.kind == "wrong reference"]
    assert [finding.row for finding in wrong] == [2, 3]
    assert "does not match its reference clean/1_ok.png; clean/0_ok.png matches" in wrong[0].message
    assert not check.fit


def test_few_wrong_rows_are_left_out_and_many_refused(tmp_path: Path) -> None:
    quiet = Console(quiet=True)
    few = sheet_of(tmp_path / "few", [1, 0, *range(2, COUNT)])
    with pytest.raises(SheetError, match=r"2 of 24 rows cannot be used(?s:.*)clean/0_ok\.png matches"):
        filter_usable_rows(few, skip_bad=False, console=quiet)
    rows = filter_usable_rows(few, skip_bad=True, console=quiet)
    assert (len(rows.sheet.rows), rows.wrong_references) == (COUNT - 2, 2)
    many = sheet_of(tmp_path / "many", [*range(1, COUNT), 0])
    with pytest.raises(SheetError, match="of 24 rows name a reference that does not match the noisy image"):
        filter_usable_rows(many, skip_bad=True, console=quiet)
