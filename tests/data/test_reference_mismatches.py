"""Detection of mismatched references, on drawn parts with known pairs."""

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


def draw_part(seed: int) -> ImageArray:
    """Draw a bright disk with random holes."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:SIDE, :SIDE]
    image = np.where(np.hypot(down - 48, across - 48) < 40, 170.0, 40.0)
    for angle, far, size in zip(rng.uniform(0, 6.28, 6), rng.uniform(8, 32, 6), rng.uniform(3, 7, 6), strict=True):
        image[np.hypot(down - 48 - far * np.sin(angle), across - 48 - far * np.cos(angle)) < size] = 80
    return image.astype(np.uint8)


def add_gaussian_noise(image: ImageArray, rng: np.random.Generator) -> ImageArray:
    return np.asarray(np.clip(image + rng.normal(0, 30, image.shape), 0, 255), np.uint8)


def impulses(image: ImageArray, rng: np.random.Generator) -> ImageArray:
    hit, white = rng.random(image.shape) < 0.3, rng.random(image.shape) < 0.5
    return np.where(hit, np.where(white, 255, 0), image).astype(np.uint8)


def waves(image: ImageArray, rng: np.random.Generator) -> ImageArray:
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    slow, fast = rng.uniform(1, 4, 2), rng.uniform(5, 12, 2)
    added = sum(80 * np.sin(6.28 * (a * down + b * across) + rng.uniform(0, 6)) for a, b in (slow, fast))
    return np.asarray(np.clip(image + added, 0, 255), np.uint8)


def find_mismatches(noisy: Sequence[ImageArray], references: Sequence[ImageArray]) -> list[ReferenceMismatch]:
    rows = [
        SheetRow(number=index, noisy=f"n{index}", noise_type=NoiseType.GAUSSIAN, reference=f"r{index}", label=Label.OK)
        for index in range(len(noisy))
    ]
    metadata = {
        f"n{index}": ImageMetadata(thumbnail=make_comparison_thumbnail(each)) for index, each in enumerate(noisy)
    }
    metadata |= {
        f"r{index}": ImageMetadata(thumbnail=make_comparison_thumbnail(each)) for index, each in enumerate(references)
    }
    return find_reference_mismatches(rows, metadata)


@pytest.fixture(params=[add_gaussian_noise, impulses, waves])
def noisy(request: pytest.FixtureRequest) -> list[ImageArray]:
    return [request.param(draw_part(index), np.random.default_rng(index)) for index in range(COUNT)]


PARTS = [draw_part(index) for index in range(COUNT)]


def test_correct_pairs_are_no_mismatches(noisy: list[ImageArray]) -> None:
    assert find_mismatches(noisy, PARTS) == []


def test_shifted_references_are_found_with_the_matching_ones(noisy: list[ImageArray]) -> None:
    mismatches = find_mismatches(noisy, PARTS[1:] + PARTS[:1])
    assert len(mismatches) >= COUNT - 1
    assert all(each.reference == f"r{(each.row.number - 1) % COUNT}" for each in mismatches)
    assert {each.orientation for each in mismatches} == {0}


@pytest.mark.parametrize(
    ("transform", "description"),
    [
        (lambda image: np.rot90(image, 3), "rotated by 90 degrees counterclockwise"),
        (lambda image: np.rot90(image, 2), "rotated by 180 degrees"),
        (lambda image: np.rot90(image, 1), "rotated by 90 degrees clockwise"),
        (np.fliplr, "mirrored left to right"),
        (np.flipud, "mirrored top to bottom"),
        (np.transpose, "rotated by 90 degrees counterclockwise and mirrored left to right"),
    ],
)
def test_rotated_and_mirrored_references_are_found(
    noisy: list[ImageArray], transform: object, description: str
) -> None:
    """References rotated clockwise match after a counterclockwise rotation."""
    assert callable(transform)
    if transform is np.transpose:
        description = "mirrored"
    mismatches = find_mismatches(noisy, [np.ascontiguousarray(transform(each)) for each in PARTS])
    assert len(mismatches) >= COUNT - 1
    assert all(each.reference == each.row.reference for each in mismatches)
    assert all(description in each.message for each in mismatches)


def test_rotationally_symmetric_parts_are_no_mismatches() -> None:
    down, across = np.mgrid[:SIDE, :SIDE] - 47.5
    rings = [(128 + 80 * np.cos(np.hypot(down, across) / (3 + index / 8))).astype(np.uint8) for index in range(8)]
    noisy_images = [add_gaussian_noise(each, np.random.default_rng(index)) for index, each in enumerate(rings)]
    assert find_mismatches(noisy_images, [np.rot90(each) for each in rings]) == []


def test_uniform_images_are_no_mismatches() -> None:
    uniform = [np.full((SIDE, SIDE), 90, np.uint8) for _ in range(COUNT)]
    noisy_images = [add_gaussian_noise(each, np.random.default_rng(index)) for index, each in enumerate(uniform)]
    assert find_mismatches(noisy_images, uniform) == []
    assert find_mismatches(noisy_images, PARTS) == []


def test_copies_of_one_reference_are_interchangeable() -> None:
    rng = np.random.default_rng(0)
    copies = [
        np.clip(draw_part(1).astype(int) + rng.integers(-1, 2, (SIDE, SIDE)), 0, 255).astype(np.uint8) for _ in range(9)
    ]
    assert find_mismatches([add_gaussian_noise(each, rng) for each in copies], copies[1:] + copies[:1]) == []


def test_large_sheets_are_searched_for_the_most_suspicious_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearcast.data.reference_mismatches._MAX_COMPARISONS", 8 * COUNT * 6)  # six rows
    noisy = [add_gaussian_noise(each, np.random.default_rng(index)) for index, each in enumerate(PARTS)]
    swapped = [PARTS[1], PARTS[0], *PARTS[2:]]
    assert [(each.row.number, each.reference) for each in find_mismatches(noisy, swapped)] == [(0, "r1"), (1, "r0")]


def sheet_of(folder: Path, order: Sequence[int]) -> Sheet:
    """Return rows whose noisy images show parts 0, 1, ... and whose references show the parts in the given order."""
    lines = ["Denoise Image,Noise Type,Noisy Image"]
    for index, other in enumerate(order):
        imaging.save_image(folder / f"clean/{index}_ok.png", PARTS[index])
        imaging.save_image(
            folder / f"noisy/{index}_ok.png", add_gaussian_noise(PARTS[index], np.random.default_rng(index))
        )
        lines.append(f"clean/{other}_ok.png,gaussian,noisy/{index}_ok.png")
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
