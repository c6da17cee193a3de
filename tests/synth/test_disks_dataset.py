"""Written data set: names, sheet, masks, and rejected arguments."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import ClearcastError, OutputError
from clearcast.synth.disks import DiskSummary, write_disks


def write_small_disks(
    out: Path,
    *,
    parts: int = 6,
    views: tuple[int, int] = (1, 1),
    defect_share: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
) -> DiskSummary:
    return write_disks(out, parts=parts, seed=7, size=96, views=views, defect_share=defect_share, progress=progress)


def read_rows(out: Path) -> list[dict[str, str]]:
    with (out / "parts.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("disks") / "out"
    write_small_disks(out, parts=8, views=(2, 4))
    return out


def test_sheet_lists_every_image_and_mask_once(folder: Path) -> None:
    rows = read_rows(folder)
    listed = {row["path"] for row in rows} | {row["mask"] for row in rows if row["mask"]}
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"parts.csv"}
    assert listed == on_disk
    assert len({row["path"] for row in rows}) == len(rows)


def test_each_part_has_the_requested_number_of_images(folder: Path) -> None:
    counts = Counter(row["part"] for row in read_rows(folder))
    assert len(counts) == 8
    assert set(counts.values()) <= {2, 3, 4}


def test_label_word_name_mask_and_defects_agree(folder: Path) -> None:
    for row in read_rows(folder):
        words = Path(row["path"]).stem.split("_")
        assert words[1] == {"ok": "ok", "defect": "def"}[row["label"]]
        assert "_".join([words[0], words[2]]) == row["part"]
        assert bool(row["mask"]) == bool(row["defects"]) == (row["label"] == "defect")
        if row["mask"]:
            assert Path(row["mask"]).stem == Path(row["path"]).stem
            mask = imaging.load_image(folder / row["mask"], Channels.GREY)
            assert mask.any()
            assert set(np.unique(mask)) <= {0, 255}


def test_images_have_three_equal_channels(folder: Path) -> None:
    row = read_rows(folder)[0]
    assert imaging.probe_image(imaging.read_image_bytes(folder / row["path"])).mode == "RGB"
    image = imaging.load_image(folder / row["path"], Channels.RGB)
    assert image.shape == (96, 96, 3)
    np.testing.assert_array_equal(image[..., 0], image[..., 1])
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_summary_counts(tmp_path: Path) -> None:
    summary = write_small_disks(tmp_path / "out", parts=4, views=(3, 3), defect_share=0.25)
    assert summary == DiskSummary(tmp_path / "out" / "parts.csv", 4, 1, 12)
    assert Counter(row["label"] for row in read_rows(tmp_path / "out")) == {"ok": 9, "defect": 3}


@pytest.mark.parametrize(("share", "labels"), [(0.0, {"ok"}), (1.0, {"defect"})])
def test_all_or_none_can_be_defects(tmp_path: Path, share: float, labels: set[str]) -> None:
    write_small_disks(tmp_path / "out", parts=2, defect_share=share)
    assert {row["label"] for row in read_rows(tmp_path / "out")} == labels


def test_a_part_depends_neither_on_the_number_of_parts_nor_on_the_run(folder: Path, tmp_path: Path) -> None:
    write_small_disks(tmp_path / "out", parts=3, views=(2, 4))
    files = [path for path in (tmp_path / "out").rglob("*.*") if path.name != "parts.csv"]
    assert len(files) >= 6
    for path in files:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path / "out")).read_bytes()
    assert read_rows(folder)[: len(read_rows(tmp_path / "out"))] == read_rows(tmp_path / "out")


def test_another_seed_gives_other_images(folder: Path, tmp_path: Path) -> None:
    write_disks(tmp_path / "out", parts=1, seed=8, size=96, views=(1, 1))
    name = "pictures/disk_ok_0000_1.jpeg"
    assert (tmp_path / "out" / name).read_bytes() != (folder / name).read_bytes()


def test_progress_counts_parts(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_small_disks(tmp_path / "out", parts=3, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_an_interrupted_run_has_no_sheet(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt(total)

    with pytest.raises(KeyboardInterrupt):
        write_small_disks(tmp_path / "out", parts=3, progress=stop)
    assert not (tmp_path / "out" / "parts.csv").exists()
    with pytest.raises(OutputError, match="got one with files"):
        write_small_disks(tmp_path / "out")


def test_rejects_a_folder_with_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep")
    with pytest.raises(OutputError, match="expected a new or empty folder, got one with files"):
        write_small_disks(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_rejects_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("keep")
    with pytest.raises(OutputError, match="got a file"):
        write_small_disks(tmp_path / "out")


def test_reports_why_writing_failed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_small_disks(tmp_path / "file" / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": 0}, "parts: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected a number of at least 0, got -1"),
        ({"size": 63}, "size: expected 64 to 4096 pixels a side, got 63"),
        ({"size": 4097}, "size: .* got 4097"),
        ({"views": (0, 2)}, r"views: .* got \(0, 2\)"),
        ({"views": (3, 2)}, r"views: .* got \(3, 2\)"),
        ({"defect_share": 1.01}, "defect_share: expected a share from 0 to 1, .* got 1.01"),
        ({"defect_share": float("nan")}, "defect_share: .* got nan"),
    ],
)
def test_rejects_values_out_of_range(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ClearcastError, match=message):
        write_disks(tmp_path / "out", **({"parts": 1, "seed": 0, "size": 64} | arguments))
    assert not (tmp_path / "out").exists()
