"""Retention beside stray files, and file permissions of the image store."""

import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from clearcast.core import imaging
from clearcast.station.image_store import ImageStore
from tests.station.test_image_store import GREY, MODEL, none_needed, read_files, set_age

OLD = b"an old image"
NEW = b"a new image"


def put_stray_file(shard: Path, image_folder: Path, _: Path) -> None:
    for folder in (shard.parent, shard, image_folder, shard.parent / "incoming"):
        for name in (".DS_Store", "Thumbs.db", "README.txt", "a0", "ff" * 32):
            (folder / name).write_bytes(b"somebody's")


def put_stray_folder(shard: Path, image_folder: Path, _: Path) -> None:
    for folder in (shard.parent, shard, image_folder, shard.parent / "incoming"):
        (folder / "@eaDir" / "SYNO@.fileindexdb").mkdir(parents=True)
        (folder / "@eaDir" / "noisy").write_bytes(b"somebody's")
    (shard / ("00" * 32)).mkdir()  # an image's folder in the wrong shard
    (shard.parent / "lost+found").mkdir()
    (shard / (shard.name + "11" * 31) / "noisy").mkdir(parents=True)  # a folder in place of a file
    (shard / (shard.name + "11" * 31) / "noisy" / "note").write_bytes(b"somebody's")


def put_links(shard: Path, image_folder: Path, outside: Path) -> None:
    name = shard.name + "22" * 31
    (outside / name).mkdir(parents=True)
    for file in (outside / "noisy", outside / name / "noisy", outside / "tmp_file"):
        file.write_bytes(b"somebody's")
        os.utime(file, (0, 0))
    (shard / name).symlink_to(outside / name)
    (shard.parent / "00").symlink_to(outside)
    (image_folder / "0123456789abcdef.jpg").symlink_to(outside / "noisy")
    (image_folder / "thumbnail.jpg").symlink_to("nowhere")
    (shard.parent / "incoming" / "tmp_link").symlink_to(outside / "tmp_file")


@pytest.mark.parametrize("put", [put_stray_file, put_stray_folder, put_links])
def test_retention_skips_stray_files(
    put: Callable[[Path, Path, Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image_store = ImageStore(tmp_path / "pictures")
    old, new = image_store.put(OLD), image_store.put(NEW)
    image_store.check_writable()
    shard = tmp_path / "pictures" / old[:2]
    put(shard, shard / old, tmp_path / "outside")
    set_age(tmp_path, old, days=30)
    before = {name: data for name, data in read_files(tmp_path).items() if not name.endswith(f"{old}/noisy")}

    with caplog.at_level(logging.WARNING):
        assert image_store.apply_retention(keep_days=7, keep_bytes=None, needed=none_needed) == 1
        assert image_store.apply_retention(keep_days=7, keep_bytes=len(NEW), needed=none_needed) == 0

    assert (image_store.noisy(old), image_store.noisy(new)) == (None, NEW)
    assert read_files(tmp_path) == before, "stray files are left unchanged"
    (message,) = caplog.messages
    assert "not the station's own" in message


def test_new_stray_files_are_reported_once_and_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image_store = ImageStore(tmp_path / "pictures")

    def apply_retention() -> None:
        image_store.apply_retention(keep_days=1, keep_bytes=None, needed=none_needed)

    apply_retention()
    assert not caplog.messages
    (tmp_path / "pictures" / ".DS_Store").touch()
    apply_retention()
    for number in range(1000):
        (tmp_path / "pictures" / f"IMG_{number}.jpg").touch()
    apply_retention()
    apply_retention()

    first, second = caplog.messages
    assert "1 x .DS_Store" in first
    assert ".DS_Store" not in second
    assert "981 x other names" in second
    assert len(second) < 10_000


def test_unreadable_files_are_skipped_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Simulate OS errors, since root may read and remove anything."""
    image_store = ImageStore(tmp_path / "pictures")
    locked, unreadable, free = sorted((image_store.put(b"%d" % number) for number in range(3)), reverse=True)
    for days, sha256 in enumerate((locked, unreadable, free)):
        set_age(tmp_path, sha256, days=30 - days)
    unlink, scandir = Path.unlink, os.scandir

    def refuse_unlink(path: Path, missing_ok: bool = False) -> None:
        if locked in path.parts:
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    def refuse_scandir(path: str | Path | os.DirEntry[str]) -> object:
        if Path(path).name == unreadable:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as context:
        context.setattr(Path, "unlink", refuse_unlink)
        context.setattr(os, "scandir", refuse_scandir)
        assert image_store.apply_retention(keep_days=7, keep_bytes=None, needed=none_needed) == 1

    assert image_store.noisy(free) is None
    assert image_store.noisy(locked)
    assert image_store.noisy(unreadable)
    assert "Permission denied" in caplog.text
    assert image_store.apply_retention(keep_days=7, keep_bytes=None, needed=none_needed) == 2


def test_stray_files_do_not_count_towards_the_size(tmp_path: Path) -> None:
    image_store = ImageStore(tmp_path / "pictures")
    sha256 = image_store.put(b"1" * 1000)
    for folder in (tmp_path / "pictures", tmp_path / "pictures" / sha256[:2] / sha256):
        (folder / "video.mp4").write_bytes(bytes(100_000))

    assert image_store.apply_retention(keep_days=None, keep_bytes=1000, needed=none_needed) == 0
    assert image_store.noisy(sha256)


def test_images_with_feedback_are_kept_beside_stray_files(tmp_path: Path) -> None:
    image_store = ImageStore(tmp_path / "pictures")
    sha256 = image_store.put(OLD)
    set_age(tmp_path, sha256, days=30)
    (tmp_path / "pictures" / sha256[:2] / sha256 / ".DS_Store").touch()

    def needed(hashes: Sequence[str]) -> set[str]:
        return set(hashes)

    assert image_store.apply_retention(keep_days=7, keep_bytes=0, needed=needed) == 0
    assert image_store.noisy(sha256) == OLD


def test_a_stray_in_place_of_a_file_is_no_image(tmp_path: Path) -> None:
    image_store = ImageStore(tmp_path / "pictures")
    sha256 = "ab" * 32
    (tmp_path / "pictures" / "ab" / sha256 / "noisy").mkdir(parents=True)
    (tmp_path / "pictures" / "cd").write_bytes(b"a file")

    assert image_store.noisy(sha256) is image_store.noisy("cd" * 32) is None
    assert image_store.available(sha256, MODEL) == image_store.available("cd" * 32, MODEL) == frozenset()


def modes(folder: Path) -> set[tuple[bool, int]]:
    """Return type and permissions of a folder and everything in it."""
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_images_are_readable_by_their_owner_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image_store = ImageStore(tmp_path / "pictures")
    sha256 = image_store.put(imaging.encode_image(GREY, ".png"))
    image_store.thumbnail(sha256)
    assert modes(tmp_path / "pictures") == {(True, 0o700), (False, 0o600)}
    assert not caplog.messages

    (tmp_path / "pictures").chmod(0o755)
    ImageStore(tmp_path / "pictures")
    assert stat.S_IMODE((tmp_path / "pictures").stat().st_mode) == 0o700
    assert "was readable by every user of this machine" in caplog.text

    (tmp_path / "pictures").chmod(0o750)
    ImageStore(tmp_path / "pictures")
    assert stat.S_IMODE((tmp_path / "pictures").stat().st_mode) == 0o750, "group access was granted on purpose"
