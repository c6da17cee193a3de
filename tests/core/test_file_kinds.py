"""All sources and commands classify images, ignored files and other files by the same rule."""

import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer

from clearcast.cli.data import check, corrupt
from clearcast.core import imaging
from clearcast.core.files import OtherFileCounts, find_image_files
from clearcast.inference.sources import iterate_source

GREY = np.full((32, 32), 90, np.uint8)
JPEG, PNG, TIFF = (imaging.encode_image(GREY, suffix) for suffix in (".jpg", ".png", ".tiff"))
IMAGES = {
    "a.jpg": JPEG,
    "b.JPEG": JPEG,
    "c.jfif": JPEG,
    "d.jpe": JPEG,
    "e.jif": JPEG,
    "f.dib": imaging.encode_image(GREY, ".bmp"),
    "g": JPEG,
    "h": PNG,
    "i": TIFF,
    "j.heic": JPEG,
    "k.jpg.bak": JPEG,
    "l.txt": JPEG,
    "sub/m.pgm": JPEG,
    "sub.png/n.webp": imaging.encode_image(GREY, ".webp"),
    "o.png": b"no image",
}
OTHERS = {
    "1.heic": b"\0\0\0\x18ftypheic",
    "2.pgm": b"P5 1 1 255 x",
    "3": b"text",
    "4.nef": TIFF,
    "5.txt": b"",
    "sub/6.TXT": b"text",
    "7.jpg.part": JPEG,
    "8.jp2": b"\0\0\0\x0cjP  ",
}
IGNORED = {
    ".a.jpg": JPEG,
    "._b.jpg": JPEG,
    ".hidden/c.jpg": JPEG,
    "@eaDir/d.jpg": JPEG,
    "sub/@eaDir/e.jpg/SYNOPHOTO_THUMB_XL.jpg": JPEG,
    "#recycle/f.jpg": JPEG,
    "$RECYCLE.BIN/g.jpg": JPEG,
    "System Volume Information/h.jpg": JPEG,
    "sub/__MACOSX/i.jpg": JPEG,
    "Thumbs.db": b"x",
    "THUMBS.DB": JPEG,
    "desktop.ini": b"x",
    ".DS_Store": b"x",
}
SENTENCE = "8 files of other kinds were left out: .heic 1, .jp2 1, .nef 1, .part 1, .pgm 1, .txt 2, no suffix 1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in (IMAGES | OTHERS | IGNORED).items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "in"


@pytest.mark.parametrize("kind", ["folder", "pattern", "zip", "store"])
def test_all_sources_follow_the_rule(folder: Path, tmp_path: Path, kind: str) -> None:
    sources: dict[str, str | Path] = {
        "folder": folder,
        "pattern": f"{folder}/**",
        "zip": tmp_path / "all.zip",
        "store": f"file://{folder}",
    }
    if kind == "store":
        pytest.importorskip("fsspec")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        for name, data in (IMAGES | OTHERS | IGNORED).items():
            file.writestr(name, data)
    others = OtherFileCounts()

    assert sorted(item.key for item in iterate_source(sources[kind], others=others)) == sorted(IMAGES)
    assert others.sentence == SENTENCE


def test_folder_search_follows_the_rule(folder: Path) -> None:
    others = OtherFileCounts()
    assert [path.relative_to(folder).as_posix() for path in find_image_files(folder, others)] == sorted(
        IMAGES, key=lambda name: Path(name).parts
    )
    assert others.sentence == SENTENCE


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes")
def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.jpg").write_bytes(JPEG)
    others = OtherFileCounts()
    assert [item.key for item in iterate_source(tmp_path, others=others)] == ["a.jpg"]
    assert others.counts == {"no suffix": 1}
    assert [path.name for path in find_image_files(tmp_path)] == ["a.jpg"]


@pytest.mark.parametrize("name", ["g", "c.jfif", "j.heic", "l.txt"])
def test_any_single_image_can_be_a_source(folder: Path, name: str) -> None:
    (item,) = iterate_source(folder / name)
    assert item.read() == JPEG


def test_corrupt_reports_what_it_leaves_out(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "o.png").unlink()
    corrupt(folder, tmp_path / "out", jpeg_quality=80, levels=None, png=False, seed=1)
    assert SENTENCE in capsys.readouterr().out


def test_check_reports_unlisted_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("noisy/ok_0.jpg", "noisy/defect_1.jpg", "noisy/ok_2.jfif", "clean/ok_0.jpg", "clean/defect_1.jpg"):
        imaging.save_image(tmp_path / Path(name).with_suffix(".jpg"), GREY)
        (tmp_path / Path(name).with_suffix(".jpg")).rename(tmp_path / name)
    (tmp_path / "noisy/ok_3.heic").write_bytes(b"x")
    (tmp_path / "noisy/Thumbs.db").write_bytes(b"x")
    (tmp_path / "clean/notes.txt").write_bytes(b"x")
    names = ["ok_0.jpg", "defect_1.jpg"]
    table = {
        "Denoise Image": [f"clean/{name}" for name in names],
        "Noise Type": ["Gaussian", "Salt"],
        "Noisy Image": [f"noisy/{name}" for name in names],
    }
    pd.DataFrame(table).to_csv(tmp_path / "Labels.csv", index=False)
    with pytest.raises(typer.Exit):  # all images are identical
        check(tmp_path / "Labels.csv")
    printed = capsys.readouterr().out
    assert f"1 image is in {tmp_path / 'noisy'}, but not in the sheet" in printed
    assert "In the folders of the sheet's images, 2 files of other kinds were left out: .heic 1, .txt 1" in printed


def test_many_kinds_are_summarised() -> None:
    others = OtherFileCounts()
    for number in range(15):
        others.add(f"a.x{number:02}")
    others.add("b. a sentence, not a suffix")
    assert others.sentence.startswith("16 files of other kinds were left out: .x00 1, ")
    assert others.sentence.endswith(" and 6 more kinds")
