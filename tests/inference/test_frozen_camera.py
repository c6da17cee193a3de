"""Detection of a frozen camera by repeated images."""

from dataclasses import replace
from pathlib import Path

import pytest

from clearcast.bundle.archive import open_package
from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.inference.frozen_camera import RepeatDetector
from clearcast.inference.inspector import Inspector
from clearcast.inference.sinks import InspectedIndex
from clearcast.inference.sinks.result_rows import complete_row, to_results_row
from clearcast.inference.sources import SourceItem
from clearcast.inference.sources.item import make_file_item
from tests.inference.handmade import uniform_image, write_bundle


def item(name: str, data: bytes | ImageArray) -> SourceItem:
    return SourceItem(name=name, key="", read=lambda: data)


def test_the_third_equal_image_in_a_row_is_an_error(tmp_path: Path) -> None:
    inspector = Inspector(open_package(write_bundle(tmp_path / "bundle")))
    first, other = imaging.encode_image(uniform_image(90), ".png"), imaging.encode_image(uniform_image(91), ".png")
    bmp = imaging.encode_image(uniform_image(90), ".bmp")  # the same image
    images = [first, other, first, bmp, first, first, other, first]
    repeats = RepeatDetector()
    inspections = [repeats.check(inspector.inspect(item(f"{place}.png", data))) for place, data in enumerate(images)]
    assert [bool(each.error) for each in inspections] == [False, False, False, False, True, True, False, False]
    assert inspections[5].error == "5.png: the same image for the 4th time in a row; is the camera frozen?"
    assert (inspections[4].verdict, inspections[4].noise_type, repeats.total) == (None, None, 3)
    copies = [replace(inspections[0], path=f"{name}.png") for name in "ghijklmnopqr"]  # named by a person
    assert [bool(repeats.check(each).error) for each in copies] == [False] * 8 + [True] * 4  # one was there before
    unreadable = replace(inspections[0], pixels=None, error="unreadable")
    assert [repeats.check(unreadable).error for _ in range(4)] == ["unreadable"] * 4


def test_the_row_of_a_frozen_camera_describes_its_file(tmp_path: Path) -> None:
    inspector, repeats, known = (
        Inspector(open_package(write_bundle(tmp_path / "bundle"))),
        RepeatDetector(),
        InspectedIndex(),
    )
    (tmp_path / "latest.png").write_bytes(imaging.encode_image(uniform_image(90), ".png"))
    latest = make_file_item(tmp_path / "latest.png", "latest.png")
    inspection = replace(inspector.inspect(latest), denoised="denoised/latest.png", heatmap="heatmaps/latest.png")
    frozen = [repeats.check(inspection) for _ in range(3)][-1]

    assert "is the camera frozen?" in frozen.error
    kept = ("path", "sha256", "size", "modified", "denoised", "heatmap", "threshold", "model", "pixels")
    assert [getattr(frozen, name) for name in kept] == [getattr(inspection, name) for name in kept]
    assert (frozen.verdict, frozen.p_defect, frozen.noise_type, frozen.ms, frozen.looks) == (None,) * 5
    known.add_row(complete_row(to_results_row(frozen)))
    assert known.covers(latest)
    (tmp_path / "latest.png").write_bytes(imaging.encode_image(uniform_image(91), ".png"))
    assert not known.covers(latest)


def test_equal_frames_of_a_video_are_counted_and_inspected(tmp_path: Path) -> None:
    inspector, repeats = Inspector(open_package(write_bundle(tmp_path / "bundle"))), RepeatDetector()
    frames = [inspector.inspect(item(f"belt.mp4#{place:06d}", uniform_image(90))) for place in range(12)]
    assert [repeats.check(frame) for frame in frames] == frames
    assert repeats.total == 11


@pytest.mark.parametrize(
    ("names", "frozen"),
    [
        (["latest.png"] * 3, True),
        (["cam_0099.png", "cam_0100.png", "cam_0101.png"], True),
        (["2026-11-28/07_59_58.jpg", "2026-11-28/08_00_00.jpg", "2026-11-29/00_00_02.jpg"], True),
        (["550e8400-e29b-41d4.png", "6ba7b810-9dad-11d1.png", "f81d4fae-7dec-11d0.png"], True),
        (["plain.png", "palette.png", "copy of plain.png"], False),
    ],
)
def test_names_that_differ_only_in_numbers_are_a_series(names: list[str], frozen: bool) -> None:
    repeats = RepeatDetector()
    assert [repeats.count(name, "the same") for name in names] == [None, None, 3 if frozen else None]
