import io
import os
import pickle
import random
import sys
import tracemalloc
import zipfile
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import PictureError, PictureFault, SheetError
from clearcast.core.files import find_image_files, is_image_file
from clearcast.inference.sources import (
    Shard,
    Source,
    SourceError,
    SourceItem,
    count_source,
    iterate_source,
    parse_shard,
)
from clearcast.inference.sources import archives as archives_module
from clearcast.inference.sources import videos as videos_module

IMAGE = np.random.default_rng(1).integers(0, 256, (16, 20), np.uint8)
PNG = imaging.encode_image(IMAGE, ".png")
NAMES = st.text(st.characters(blacklist_characters="/\x00", codec="utf-8"), min_size=1, max_size=8).filter(
    lambda name: name not in {".", ".."}
)


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)


def keys(source: Source, *, recursive: bool = True) -> list[str]:
    return [item.key for item in iterate_source(source, recursive=recursive)]


def content(item: SourceItem) -> bytes:
    data = item.read()
    assert isinstance(data, bytes)
    return data


def fault(item: SourceItem) -> PictureFault:
    with pytest.raises(PictureError) as caught:
        item.read()
    return caught.value.fault


def archive(path: Path, entries: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries:
            file.writestr(name, data)
    return path


# folders


def test_a_folder_lists_its_images_sorted_by_path(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a/z.JPG", "a/b/c.tiff", "a.webp", "c.bmp", "png.txt", "B.jpeg")

    assert [item.name for item in iterate_source(tmp_path)] == [path.as_posix() for path in find_image_files(tmp_path)]
    assert keys(str(tmp_path)) == ["B.jpeg", "a/b/c.tiff", "a/z.JPG", "a.webp", "b.png", "c.bmp"]
    assert keys(tmp_path, recursive=False) == ["B.jpeg", "a.webp", "b.png", "c.bmp"]
    assert {content(item) for item in iterate_source(tmp_path)} == {PNG}
    assert count_source(tmp_path) == 6
    assert count_source(tmp_path, recursive=False) == 4


def test_names_are_as_the_source_gives_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "parts/a.png")
    monkeypatch.chdir(tmp_path)

    assert [item.name for item in iterate_source("parts")] == ["parts/a.png"]
    assert [item.name for item in iterate_source("./parts/")] == ["parts/a.png"]
    assert [item.name for item in iterate_source(".")] == ["parts/a.png"]
    assert [item.name for item in iterate_source("parts/a.png")] == ["parts/a.png"]


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    make(tmp_path, ".a.png", ".cache/b.png", "c.png")

    assert keys(tmp_path) == ["c.png"]
    assert keys(tmp_path / ".a.png") == [".a.png"]


def test_folders_are_listed_lazily(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/1.png")
    found = iterate_source(tmp_path)
    assert next(found).key == "a/1.png"

    make(tmp_path, "b/0.png")

    assert [item.key for item in found] == ["b/0.png", "b/1.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_but_not_in_cycles(tmp_path: Path) -> None:
    make(tmp_path, "in/a/1.png", "elsewhere/2.png")
    (tmp_path / "in/a/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/self.png").symlink_to("self.png")

    found = {item.key: item for item in iterate_source(tmp_path / "in")}

    assert sorted(found) == ["a/1.png", "linked/2.png", "self.png"]
    assert fault(found["self.png"]) in {PictureFault.MISSING, PictureFault.UNREADABLE}


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_cannot_be_listed_is_reported_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    make(tmp_path, "a/1.png", "b/secret.png", "c/1.png")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied") if there else FileNotFoundError(2, "gone")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    first, bad, last = iterate_source(tmp_path)
    assert (first.key, bad.key, last.key) == ("a/1.png", "b", "c/1.png")
    with pytest.raises(PictureError, match=r"b: cannot list the folder \("):
        bad.read()


@pytest.mark.parametrize("source", ["missing", "missing.png", "", "missing/*.png", "a\x00b", None, 3.5])
def test_a_missing_source_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SourceError, match=r"expected an image|no such folder: missing"):
        iterate_source(source)


@pytest.mark.parametrize("source", [".", "*.png", "**/*.png", "none.zip", "none.csv"])
def test_a_source_without_images_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "none.zip", [("notes.txt", b"x")])
    (tmp_path / "none.csv").write_text("Noisy Image\n")

    with pytest.raises(SourceError, match=r"contains no images; expected files of type \.bmp"):
        list(iterate_source(source))
    assert count_source(source) == 0


def test_a_file_of_another_type_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    with pytest.raises(SourceError, match=r"unknown file type \.txt; expected an image \(\.bmp"):
        iterate_source(tmp_path / "notes.txt")


def test_a_single_image_is_a_source_even_if_it_is_damaged(tmp_path: Path) -> None:
    make(tmp_path, "a[1]*.png", "0")
    (tmp_path / "empty.PNG").touch()

    assert keys(tmp_path / "a[1]*.png") == ["a[1]*.png"]
    (item,) = iterate_source(tmp_path / "empty.PNG")
    assert fault(item) is PictureFault.EMPTY
    assert count_source(tmp_path / "empty.PNG") == 1


# patterns


@pytest.mark.parametrize(
    "pattern",
    ["*.png", "*", "a/*", "*/*.png", "**/*.png", "**/1.*", "a/**/*.jpg", "**/b/**/*", "?.png", "[ab].png", "[!a]*",
     "**/**/*.png", "a/b/c/*", "**"],
)  # fmt: skip
def test_patterns_match_as_in_pathlib(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, "a.png", "b.png", "ab.png", "a/1.png", "a/b/1.jpg", "a/b/c/2.png", "b/b/1.png", "b/notes.txt")
    expected = {path for path in tmp_path.glob(pattern) if path.is_file() and path.suffix != ".txt"}
    if pattern == "**":  # to pathlib: all folders
        expected = set(find_image_files(tmp_path))

    found = [item.name for item in iterate_source(str(tmp_path / pattern))]

    assert found == [path.as_posix() for path in sorted(expected)]
    assert found


def test_a_pattern_does_not_list_folders_that_cannot_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a/1.png", "b/deep/2.png", "other/3.png")
    listed: list[str] = []
    scandir = os.scandir

    def recording_scandir(path: Path) -> object:
        listed.append(path.name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", recording_scandir)

    assert keys(f"{tmp_path}/[ab]/*.png") == ["a/1.png"]
    assert listed == [tmp_path.name, "a", "b"]


# sheets


@pytest.mark.parametrize("suffix", [".xlsx", ".csv", ".parquet"])
def test_a_sheet_lists_its_noisy_images_once_in_order(tmp_path: Path, suffix: str) -> None:
    make(tmp_path, "in/b.png", "in/a.png")
    table = pd.DataFrame({"Noisy Image": ["in/b.png", "in/a.png", "in\\b.png", "./in/b.png"], "Line": [1, 2, 3, 4]})
    sheet = tmp_path / f"Labels{suffix}"
    if suffix == ".xlsx":
        table.to_excel(sheet)
    elif suffix == ".csv":
        table.to_csv(sheet)
    else:
        table.to_parquet(sheet)

    found = list(iterate_source(sheet))

    assert [item.key for item in found] == ["in/b.png", "in/a.png"]
    assert [item.name for item in found] == [f"{tmp_path.as_posix()}/in/b.png", f"{tmp_path.as_posix()}/in/a.png"]
    assert content(found[0]) == PNG
    assert count_source(sheet) == 2


def test_column_and_root_of_a_sheet_can_be_set(tmp_path: Path) -> None:
    make(tmp_path, "data/a.png")
    (tmp_path / "Labels.csv").write_text("file\na.png\n")

    (item,) = iterate_source(tmp_path / "Labels.csv", root=tmp_path / "data", column="File")

    assert content(item) == PNG
    with pytest.raises(SheetError, match=r"no column 'Noisy Image'; the sheet has 'file'; .*--noisy-column"):
        iterate_source(tmp_path / "Labels.csv")


@pytest.mark.parametrize("path", ["../secret.png", "/etc/secret.png", "a/../../secret.png", "C:\\secret.png", "a\x00b"])
def test_a_path_outside_the_root_is_a_row_and_never_opened(tmp_path: Path, path: str) -> None:
    make(tmp_path, "secret.png", "root/ok.png")
    pd.DataFrame({"Noisy Image": [path, "ok.png"]}).to_parquet(tmp_path / "root/Labels.parquet")

    outside, valid = iterate_source(tmp_path / "root/Labels.parquet")

    assert outside.name == path
    with pytest.raises(PictureError, match="outside the root"):
        outside.read()
    assert content(valid) == PNG


def test_invalid_sheet_rows_become_items(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    (tmp_path / "Labels.csv").write_text("Noisy Image,Line\na.png,1\n,2\n,\nb.png,1,oops\n")

    valid, without_path, with_surplus = iterate_source(tmp_path / "Labels.csv")

    assert content(valid) == PNG
    with pytest.raises(PictureError, match="#row 3: the row has no image path"):
        without_path.read()
    with pytest.raises(PictureError, match="#row 5: the line has 3 cells, but the header 2"):
        with_surplus.read()


# zips


def test_a_zip_lists_its_images_sorted_and_unpacks_nothing(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "parts.zip",
        [
            ("b.png", PNG),
            ("a/c.png", b"other"),
            ("a/.b.png", PNG),
            ("__MACOSX/a.png", PNG),
            ("a/t.txt", b""),
            ("d/", b""),
        ],
    )

    found = list(iterate_source(path))

    assert [item.name for item in found] == [f"{path.as_posix()}!a/c.png", f"{path.as_posix()}!b.png"]
    assert [item.key for item in found] == ["a/c.png", "b.png"]
    assert [content(item) for item in found] == [b"other", PNG]
    assert [content(item) for item in reversed(found)] == [PNG, b"other"]
    assert list(tmp_path.iterdir()) == [path]
    assert count_source(path) == 2


def test_a_zip_of_a_folder_packed_as_dot_lists_its_images(tmp_path: Path) -> None:
    names = ("./a.png", "./sub/./b.png", "./.hidden.png", "./__MACOSX/c.png", "./.git/d.png")
    path = archive(tmp_path / "parts.zip", [(name, PNG) for name in names])
    assert keys(str(path)) == ["./a.png", "./sub/./b.png"]
    assert [content(item) for item in iterate_source(str(path))] == [PNG, PNG]


def test_names_in_a_zip_are_never_used_as_paths(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    path = archive(tmp_path / "parts.zip", [("../secret.png", PNG), (f"{tmp_path}/secret.png", PNG)])

    assert [content(item) for item in iterate_source(path)] == [PNG, PNG]
    assert (tmp_path / "secret.png").read_bytes() == b"secret"


def test_unusable_entries_become_items(tmp_path: Path) -> None:
    path = archive(tmp_path / "parts.zip", [("a.png", b""), ("b.png", PNG), ("c.png", PNG)], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(PNG) + 40] ^= 255
    path.write_bytes(data)

    empty, damaged, valid = iterate_source(path)

    assert fault(empty) is PictureFault.EMPTY
    assert fault(damaged) is PictureFault.UNREADABLE
    assert content(valid) == PNG


def test_a_zip_bomb_is_rejected_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives_module, "_UNCHECKED_BYTES", 100_000)
    monkeypatch.setattr(archives_module, "MAX_IMAGE_BYTES", 1_000_000)
    noise = random.Random(1).randbytes(1_000_001)
    small, packed, large, usual = b"\0" * 100_000, b"\0" * 100_001, noise, noise[:200_000]
    path = archive(tmp_path / "bomb.zip", [("a.png", small), ("b.png", packed), ("c.png", large), ("d.png", usual)])

    first, second, third, fourth = iterate_source(path)

    assert content(first) == small
    assert fault(second) is PictureFault.TOO_LARGE
    assert fault(third) is PictureFault.TOO_LARGE
    assert content(fourth) == usual


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_with_a_false_size_is_not_unpacked(tmp_path: Path, compression: int) -> None:
    path = archive(tmp_path / "false.zip", [("a.png", b"\0" * 20_000_000)], compression)
    path.write_bytes(path.read_bytes().replace((20_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    (item,) = iterate_source(path)

    tracemalloc.start()
    found_fault = fault(item)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found_fault is (PictureFault.UNREADABLE if compression == zipfile.ZIP_DEFLATED else PictureFault.UNSUPPORTED)
    assert peak < 2_000_000


def test_an_encrypted_entry_is_reported(tmp_path: Path) -> None:
    path = archive(tmp_path / "parts.zip", [("a.png", PNG)])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)

    (item,) = iterate_source(path)

    with pytest.raises(PictureError, match="needs a password"):
        item.read()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_zip_raises_only_user_errors(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as file:
        file.writestr("a.png", PNG)
        file.writestr("b/ü.png", PNG)
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))] if data.draw(st.booleans()) else damaged)

    try:
        found = list(iterate_source(path))
    except SourceError:
        return
    for item in found:
        try:
            item.read()
        except PictureError:
            continue


# stdin and Python


def write_to_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: reader))


def test_paths_come_from_stdin_one_per_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, " b c.png", "ü.png")
    monkeypatch.chdir(tmp_path)
    write_to_stdin(monkeypatch, " b c.png\n\r\nü.png\r\nmissing.png\n b c.png\n-".encode())

    found = list(iterate_source("-"))

    assert [item.name for item in found] == [" b c.png", "ü.png", "missing.png", "-"]
    assert content(found[0]) == content(found[1]) == PNG
    assert fault(found[2]) is PictureFault.MISSING
    assert count_source("-") is None


def test_empty_stdin_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    write_to_stdin(monkeypatch, b"\n \n")

    with pytest.raises(SourceError, match="-: contains no images"):
        list(iterate_source("-"))


def test_a_sequence_may_have_paths_and_arrays(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png")
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    listed: list[str | Path | ImageArray] = [a, IMAGE, str(b), str(a), np.zeros((4, 5, 3), np.uint8)]

    found = list(iterate_source(listed))

    assert [item.name for item in found] == [a.as_posix(), "#000001", b.as_posix(), "#000004"]
    assert found[1].read() is IMAGE
    assert count_source(listed) == 4
    assert keys(iter(listed)) == [item.key for item in found]
    assert keys(pd.Series([str(a), str(b)])) == [a.as_posix(), b.as_posix()]
    assert keys(found[:2]) == [a.as_posix(), "#000001"]
    assert count_source(iter(listed)) is None


def test_an_array_is_one_image() -> None:
    (item,) = iterate_source(IMAGE)

    assert item.read() is IMAGE
    assert count_source(IMAGE) == 1


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5)),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((2, 4, 5, 3), np.uint8),
        np.zeros((0, 5), np.uint8),
        np.zeros(5, np.uint8),
    ],
)
def test_invalid_arrays_are_rejected(array: ImageArray) -> None:
    with pytest.raises(SourceError, match=r"expected an array of uint8 and shape \(height, width, 3\)"):
        list(iterate_source(array))
    with pytest.raises(SourceError, match="image 1: expected an array of"):
        list(iterate_source([IMAGE, array]))


def test_elements_of_other_types_are_rejected() -> None:
    listed: Any = b"bytes"

    with pytest.raises(SourceError, match="image 0: expected a path or an image as an array, got int"):
        list(iterate_source(listed))


def test_an_empty_sequence_is_an_error() -> None:
    with pytest.raises(SourceError, match="the given source: contains no images"):
        list(iterate_source([]))


# videos and cameras


def video(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for place in range(frames):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[..., 2] = 20 * place  # OpenCV writes blue, green, red
        writer.write(frame)
    writer.release()
    return path


def test_a_video_gives_its_frames_in_rgb(tmp_path: Path) -> None:
    path = video(tmp_path / "belt.avi", 10)

    found = list(iterate_source(path))

    assert [item.name for item in found] == [f"{path.as_posix()}#{place:06d}" for place in range(10)]
    for place, item in enumerate(found):
        frame = item.read()
        assert isinstance(frame, np.ndarray)
        assert frame.shape == (48, 64, 3)
        assert frame.dtype == np.uint8
        assert frame.mean((0, 1)) == pytest.approx([20 * place, 0, 0], abs=6)
    assert count_source(path) == 10


@pytest.mark.parametrize("suffix", [".mjpeg", ".MJPG"])
def test_motion_jpeg_is_a_video_not_an_image(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "films" / f"belt{suffix}"
    path.parent.mkdir()
    path.write_bytes(
        b"".join(imaging.encode_image(np.full((48, 64), 40 * place, np.uint8), ".jpg") for place in range(5))
    )
    means = [np.mean(np.asarray(item.read())) for item in iterate_source(path)]
    assert means == pytest.approx([0, 40, 80, 120, 160], abs=1)
    assert count_source(path) in {5, None}
    assert not is_image_file(path.name, lambda: path.read_bytes()[:16])


def test_a_truncated_video_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = video(tmp_path / "belt.avi", 10)
    monkeypatch.setattr(videos_module, "_declared_frames", lambda _: 100)

    *frames, last = iterate_source(path)

    assert len(frames) == 10
    with pytest.raises(PictureError, match="#000010: the video should have 100 frames, but only 10 can be read"):
        last.read()


def test_a_file_that_is_not_a_video_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "belt.mp4").write_bytes(b"hello")

    with pytest.raises(SourceError, match="cannot open as a video"):
        iterate_source(tmp_path / "belt.mp4")


class Camera:
    """A camera that is disconnected after three frames."""

    def __init__(self, source: int) -> None:
        assert source == 7
        self.isOpened = lambda: True
        self.frames = [np.full((2, 3, 3), value, np.uint8) for value in range(3)]

    def read(self) -> tuple[bool, ImageArray | None]:
        return (True, self.frames.pop(0)) if self.frames else (False, None)

    def release(self) -> None:
        pass


@pytest.mark.parametrize("source", ["7", 7])
def test_a_camera_delivers_frames_until_it_is_disconnected(monkeypatch: pytest.MonkeyPatch, source: str | int) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)

    with pytest.raises(SourceError, match="camera 7: no longer delivers frames"):
        list(iterate_source(source))

    assert count_source(source) is None


def test_frames_of_a_camera_are_named_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    frames = iterate_source("7")

    found = [next(frames) for _ in range(3)]

    assert len({item.name for item in found}) == 3
    assert found[0].name < found[1].name < found[2].name
    pd.Timestamp(found[0].name.removeprefix("camera 7#"))
    assert [int(np.max(item.read())) for item in found] == [0, 1, 2]


def test_a_camera_cannot_be_sharded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)

    with pytest.raises(SourceError, match="a camera cannot be divided"):
        iterate_source("7", shard=Shard(1, 2))


# shards


@pytest.mark.parametrize(
    ("text", "shard"), [("1/1", Shard(1, 1)), ("3/16", Shard(3, 16)), (" 16 / 16 ", Shard(16, 16))]
)
def test_a_shard_is_parsed(text: str, shard: Shard) -> None:
    assert parse_shard(text) == shard


@pytest.mark.parametrize("text", ["", "3", "0/16", "17/16", "-1/4", "1/0", "1.5/2", "a/b", "1/2/3", "٣/٤"])
def test_an_invalid_shard_is_rejected(text: str) -> None:
    with pytest.raises(SourceError, match="expected NUMBER/TOTAL"):
        parse_shard(text)


@settings(deadline=None)
@given(st.sets(NAMES, min_size=1, max_size=20), st.integers(1, 7))
def test_each_image_is_in_exactly_one_shard(names: set[str], total: int) -> None:
    whole = [f"{name}.png" for name in names]

    shares = [
        [item.key for item in iterate_source(whole, shard=Shard(number, total))] for number in range(1, total + 1)
    ]

    assert sorted(chain.from_iterable(shares)) == sorted(keys(whole))
    assert [count_source(whole, shard=Shard(number, total)) for number in range(1, total + 1)] == [
        len(each) for each in shares
    ]


def test_a_shard_depends_neither_on_the_mount_nor_on_other_images(tmp_path: Path) -> None:
    names = [f"line {number % 3}/{number}.png" for number in range(60)]
    make(tmp_path / "here", *names)
    make(tmp_path / "mnt/there", *names, *(f"line 1/new {number}.png" for number in range(20)))
    archive(tmp_path / "all.zip", [(name, PNG) for name in names])

    for number in range(1, 5):
        shard = Shard(number, 4)
        here, there, packed = (
            [item.key for item in iterate_source(tmp_path / source, shard=shard)]
            for source in ("here", "mnt/there", "all.zip")
        )
        assert here == [key for key in there if "new" not in key] == packed
        assert here


def test_shards_are_even_and_stable() -> None:
    names = [f"part_{number}.png" for number in range(4_000)]

    sizes = [count_source(names, shard=Shard(number, 4)) or 0 for number in range(1, 5)]

    assert sum(sizes) == 4_000
    assert max(abs(size - 1000) for size in sizes) < 110  # four standard deviations
    first = [number for number in range(24) if Shard(1, 4).holds(SourceItem(name="", key=names[number], read=bytes))]
    assert first == [2, 3, 7, 10, 13, 18, 20]  # machines with different versions must agree


def test_composed_and_decomposed_names_are_in_one_shard() -> None:
    for number in range(40):
        composed, decomposed = (
            SourceItem(name="", key=f"{text}{number}", read=bytes) for text in ("\u00fc", "u\u0308")
        )
        assert Shard(1, 2).holds(composed) == Shard(1, 2).holds(decomposed)


def test_a_shard_may_be_empty(tmp_path: Path) -> None:
    make(tmp_path, "a.png")

    assert sum(len(list(iterate_source(tmp_path, shard=Shard(number, 5)))) for number in range(1, 6)) == 1


def test_items_of_files_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    (item,) = iterate_source(tmp_path)

    assert content(pickle.loads(pickle.dumps(item))) == PNG
