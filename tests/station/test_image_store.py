import hashlib
import io
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.station.image_store import ImageStore, StoreUnavailable

DAY = 86_400
MODEL = "../castings/… 1234abcd"  # bundle names are arbitrary
GREY: ImageArray = np.random.default_rng(1).integers(0, 256, (60, 90), np.uint8)
SMOOTH: ImageArray = np.tile(np.arange(0, 240, 2).astype(np.uint8), (80, 1))


@pytest.fixture
def shelf(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "pictures")


def none_needed(_: Sequence[str]) -> set[str]:
    return set()


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def came(folder: Path, sha256: str, days: float) -> None:
    """Set the age of an image."""
    then = time.time() - days * DAY
    os.utime(folder / "pictures" / sha256[:2] / sha256 / "noisy", (then, then))


def test_the_original_is_read_by_its_hash(shelf: ImageStore, tmp_path: Path) -> None:
    data = imaging.encode_image(GREY, ".png")
    sha256 = shelf.put(data)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert shelf.noisy(sha256) == data
    assert shelf.put(data) == sha256, "the same image again"
    assert files(tmp_path) == {f"pictures/{sha256[:2]}/{sha256}/noisy": data}, "no partial files"


def test_an_image_and_its_directories_are_flushed(
    shelf: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(str(Path(f"/proc/self/fd/{number}").readlink())))
    sha256 = shelf.put(b"a picture")

    shard = tmp_path / "pictures" / sha256[:2]
    assert "/incoming/" in flushed[0]
    assert flushed[1:] == [str(shard / sha256), str(shard), str(shard.parent)]


def test_an_unknown_hash_gives_none(shelf: ImageStore) -> None:
    unknown = "0" * 64
    assert shelf.noisy(unknown) is shelf.denoised(unknown, MODEL) is shelf.heat(unknown, MODEL) is None
    assert shelf.thumbnail(unknown) is shelf.viewable(unknown) is None


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "/" + "0" * 63]
)
def test_only_hashes_are_accepted(shelf: ImageStore, name: str) -> None:
    with pytest.raises(ValueError, match="expected a SHA-256"):
        shelf.noisy(name)


def test_bundle_names_never_become_paths(shelf: ImageStore, tmp_path: Path) -> None:
    sha256 = shelf.put(b"picture")
    shelf.put_outputs(sha256, MODEL, restored=GREY, evidence=np.zeros((3, 4), np.float32))
    below = [name.rpartition("/") for name in files(tmp_path)]
    assert {folder for folder, _, _ in below} == {f"pictures/{sha256[:2]}/{sha256}"}
    assert all(name == "noisy" or len(name) == 20 for _, _, name in below)


def test_denoised_images_are_accurate_jpegs_per_bundle(shelf: ImageStore) -> None:
    sha256 = shelf.put(b"picture")
    shelf.put_outputs(sha256, "a 1", restored=SMOOTH, evidence=None)
    data = shelf.denoised(sha256, "a 1")
    assert data is not None
    assert imaging.probe_image(data).format == "JPEG"
    assert np.abs(imaging.decode_image(data, Channels.GREY).astype(int) - SMOOTH).max() <= 3
    assert shelf.denoised(sha256, "a 2") is None
    assert shelf.heat(sha256, "a 1") is None, "the bundle gives no heat map"


class OnDemand:
    """A fake on-demand denoiser that counts its calls."""

    def __init__(self) -> None:
        self.asked = 0

    def denoises_on_demand(self, model: str) -> bool:
        return model == MODEL

    def denoise(self, data: bytes) -> ImageArray | None:
        self.asked += 1
        return SMOOTH if data == b"picture" else None


def test_images_are_denoised_once_on_demand(shelf: ImageStore) -> None:
    sha256, damaged = shelf.put(b"picture"), shelf.put(b"damaged")
    shelf.put_outputs(sha256, MODEL, restored=None, evidence=np.zeros((3, 4), np.float32))
    assert shelf.denoised(sha256, MODEL) is shelf.heat(sha256, MODEL) is None
    shelf.denoiser = restorer = OnDemand()
    assert shelf.available(sha256, MODEL) == {"noisy", "restored", "heat"}
    assert shelf.denoised(sha256, "another 1") is None
    for _ in range(2):
        data = shelf.denoised(sha256, MODEL)
        assert data is not None
        assert np.abs(imaging.decode_image(data, Channels.GREY).astype(int) - SMOOTH).max() <= 3
    assert shelf.heat(sha256, MODEL) is not None
    assert restorer.asked == 1, "the second time it is stored"
    assert shelf.denoised(damaged, MODEL) is None
    assert shelf.denoised("0" * 64, MODEL) is None, "unknown hash"


def test_available_images_are_listed(shelf: ImageStore, tmp_path: Path) -> None:
    evidence = np.zeros((3, 4), np.float32)
    hashes = [shelf.put(data) for data in (b"a", b"b", b"c", b"d")]
    for sha256, spoken in zip(hashes[1:], (None, evidence, evidence), strict=True):
        shelf.put_outputs(sha256, MODEL, restored=GREY, evidence=spoken)
    came(tmp_path, hashes[3], days=3)
    shelf.apply_retention(keep_days=1, keep_bytes=None, needed=none_needed)
    expected = [{"noisy"}, {"noisy", "restored"}, {"noisy", "restored", "heat"}, set()]
    assert [shelf.available(sha256, MODEL) for sha256 in hashes] == expected
    assert shelf.available(hashes[2], "another 1") == {"noisy"}


def test_a_heat_map_shows_the_position(shelf: ImageStore) -> None:
    sha256 = shelf.put(b"picture")
    evidence = np.full((8, 12), -6, np.float32)
    evidence[0, 0] = 9
    shelf.put_outputs(sha256, MODEL, restored=SMOOTH, evidence=evidence)
    data = shelf.heat(sha256, MODEL)
    assert data is not None
    assert imaging.probe_image(data).format == "PNG"
    drawn = imaging.decode_image(data, Channels.RGB).astype(int)
    assert drawn.shape == (*SMOOTH.shape, 3)
    assert drawn[0, 0, 0] - drawn[0, 0, 2] > 100, "red at the defect"
    assert np.ptp(drawn[-1, -1]) <= 3, "grey elsewhere"


@pytest.mark.parametrize("shape", [(12, 65_600), (65_600, 12)])
def test_images_too_long_for_jpeg_are_shrunk(shelf: ImageStore, shape: tuple[int, int]) -> None:
    long = np.full(shape, 99, np.uint8)
    sha256 = shelf.put(imaging.encode_image(long, ".png"))
    shelf.put_outputs(sha256, MODEL, restored=long, evidence=np.zeros((2, 3), np.float32))
    for data in (shelf.denoised(sha256, MODEL), shelf.heat(sha256, MODEL), shelf.thumbnail(sha256)):
        assert data is not None
        assert max(imaging.decode_image(data, Channels.GREY).shape) <= 65_500


@pytest.mark.parametrize("name", ["noisy", "restored"])
def test_empty_files_after_a_power_failure_are_none_until_rewritten(
    shelf: ImageStore, tmp_path: Path, name: str
) -> None:
    data = imaging.encode_image(GREY, ".png")
    evidence = np.zeros((3, 4), np.float32)
    sha256 = shelf.put(data)
    shelf.put_outputs(sha256, MODEL, restored=GREY, evidence=evidence)
    for path in (tmp_path / "pictures" / sha256[:2] / sha256).iterdir():
        if (path.name == "noisy") == (name == "noisy"):
            path.write_bytes(b"")
    assert (shelf.noisy(sha256) is None) == (name == "noisy")
    assert (shelf.heat(sha256, MODEL) is None) == (name == "restored")
    shelf.put(data)
    shelf.put_outputs(sha256, MODEL, restored=GREY, evidence=evidence)
    assert shelf.noisy(sha256) == data
    assert shelf.heat(sha256, MODEL) is not None


def test_a_damaged_heat_map_is_none(shelf: ImageStore, tmp_path: Path) -> None:
    sha256 = shelf.put(b"picture")
    shelf.put_outputs(sha256, MODEL, restored=GREY, evidence=np.zeros((3, 4), np.float32))
    (evidence,) = tmp_path.rglob("*.npy")
    for damaged in (evidence.read_bytes()[:-3], b"\x80\x04N.", b"nonsense"):  # cut off, a pickle, neither
        evidence.write_bytes(damaged)
        assert shelf.heat(sha256, MODEL) is None


def test_a_thumbnail_is_small_stored_and_keeps_the_aspect(shelf: ImageStore, tmp_path: Path) -> None:
    sha256 = shelf.put(imaging.encode_image(np.full((300, 600), 90, np.uint8), ".png"))
    data = shelf.thumbnail(sha256)
    assert data is not None
    assert imaging.decode_image(data, Channels.GREY).shape == (80, 160)
    (kept,) = tmp_path.rglob("thumbnail.jpg")
    assert shelf.thumbnail(sha256) == kept.read_bytes() == data


@pytest.mark.parametrize("shape", [(40, 50), (1, 5000), (160, 160)])
def test_thumbnails_never_grow_or_vanish(shelf: ImageStore, shape: tuple[int, int]) -> None:
    data = shelf.thumbnail(shelf.put(imaging.encode_image(np.zeros(shape, np.uint8), ".png")))
    assert data is not None
    height, width = imaging.decode_image(data, Channels.GREY).shape
    assert 1 <= height <= shape[0]
    assert 1 <= width <= min(160, shape[1])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_browser_formats_are_returned_unchanged(shelf: ImageStore, suffix: str) -> None:
    data = imaging.encode_image(GREY, suffix)
    assert shelf.viewable(shelf.put(data)) == data


@pytest.mark.parametrize("suffix", [".bmp", ".tif"])
def test_other_formats_are_returned_as_png(shelf: ImageStore, suffix: str) -> None:
    data = shelf.viewable(shelf.put(imaging.encode_image(GREY, suffix)))
    assert data is not None
    assert imaging.probe_image(data).format == "PNG"
    assert np.array_equal(imaging.decode_image(data, Channels.GREY), GREY)


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"<svg onload='alert(1)'/>", imaging.encode_image(GREY, ".tif")[:900]]
)
def test_undecodable_files_are_stored_but_not_rendered(shelf: ImageStore, data: bytes) -> None:
    sha256 = shelf.put(data)
    assert shelf.viewable(sha256) is None
    assert shelf.thumbnail(sha256) is None
    assert shelf.noisy(sha256) == (data or None)


def test_old_images_are_deleted_with_their_outputs(shelf: ImageStore, tmp_path: Path) -> None:
    old, new = (shelf.put(imaging.encode_image(GREY + step, ".png")) for step in (0, 1))
    for sha256 in (old, new):
        shelf.put_outputs(sha256, MODEL, restored=GREY, evidence=np.zeros((3, 4), np.float32))
        assert shelf.thumbnail(sha256)
    came(tmp_path, old, days=8)
    came(tmp_path, new, days=6)
    assert shelf.apply_retention(keep_days=None, keep_bytes=None, needed=none_needed) == 0
    assert shelf.apply_retention(keep_days=7, keep_bytes=None, needed=none_needed) == 1
    assert shelf.noisy(old) is shelf.denoised(old, MODEL) is shelf.thumbnail(old) is None
    assert {name.split("/")[2] for name in files(tmp_path)} == {new}
    assert not list(tmp_path.rglob(old)), "its folder too"


def test_receiving_an_image_again_restarts_its_age(shelf: ImageStore, tmp_path: Path) -> None:
    sha256 = shelf.put(b"picture")
    came(tmp_path, sha256, days=30)
    shelf.put(b"picture")
    assert shelf.apply_retention(keep_days=7, keep_bytes=None, needed=none_needed) == 0


def test_the_oldest_are_deleted_until_the_rest_fits(shelf: ImageStore, tmp_path: Path) -> None:
    hashes = [shelf.put(bytes([number]) * 1000) for number in range(5)]
    for age, sha256 in enumerate(hashes):
        came(tmp_path, sha256, days=age)  # the last is the oldest
    assert shelf.apply_retention(keep_days=None, keep_bytes=5000, needed=none_needed) == 0
    assert shelf.apply_retention(keep_days=None, keep_bytes=2999, needed=none_needed) == 3
    assert [shelf.noisy(sha256) is not None for sha256 in hashes] == [True, True, False, False, False]


def test_images_with_feedback_are_kept(shelf: ImageStore, tmp_path: Path) -> None:
    hashes = [shelf.put(bytes([number]) * 1000) for number in range(4)]
    for age, sha256 in enumerate(hashes):
        came(tmp_path, sha256, days=10 + age)
    oldest = hashes[-1]
    assert shelf.apply_retention(keep_days=None, keep_bytes=2000, needed=lambda some: {oldest} & set(some)) == 2
    assert shelf.noisy(oldest)
    assert shelf.noisy(hashes[0])
    assert shelf.apply_retention(keep_days=1, keep_bytes=0, needed=lambda some: {oldest} & set(some)) == 1
    assert shelf.noisy(oldest)


def test_an_image_received_during_retention_is_kept(shelf: ImageStore, tmp_path: Path) -> None:
    sha256 = shelf.put(b"picture")
    came(tmp_path, sha256, days=30)

    def meanwhile(_: Sequence[str]) -> set[str]:
        shelf.put(b"picture")
        return set()

    assert shelf.apply_retention(keep_days=7, keep_bytes=None, needed=meanwhile) == 0
    assert shelf.noisy(sha256) == b"picture"


def test_stale_temporary_files_are_removed(shelf: ImageStore, tmp_path: Path) -> None:
    shelf.check_writable()
    left, young = (tmp_path / "pictures" / "incoming" / name for name in ("tmp_left", "tmp_young"))
    for path in (left, young):
        path.write_bytes(b"half")
    os.utime(left, (time.time() - DAY,) * 2)
    shelf.apply_retention(keep_days=None, keep_bytes=None, needed=none_needed)
    assert not left.exists()
    assert young.exists()


def test_threads_store_and_delete_concurrently(shelf: ImageStore) -> None:
    over = threading.Event()

    def sweeping() -> None:
        while not over.is_set():
            shelf.apply_retention(keep_days=None, keep_bytes=0, needed=none_needed)

    sweeper = threading.Thread(target=sweeping)
    sweeper.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            hashes = list(pool.map(lambda number: shelf.put(b"%d" % (number % 7)), range(300)))
    finally:
        over.set()
        sweeper.join()
    assert len(set(hashes)) == 7
    assert shelf.noisy(shelf.put(b"0")) == b"0"


def test_a_missing_folder_is_reported_and_not_recreated(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    shelf = ImageStore(folder)
    sha256 = shelf.put(b"picture")
    folder.rename(tmp_path / "away")
    for use in (
        lambda: shelf.put(b"other"),
        lambda: shelf.noisy(sha256),
        shelf.check_writable,
        lambda: shelf.put(b"picture"),
    ):
        with pytest.raises(
            StoreUnavailable, match=r"^images cannot be stored or read \(No such file or directory\); free disk space"
        ):
            use()
    with pytest.raises(StoreUnavailable):
        shelf.apply_retention(keep_days=1, keep_bytes=None, needed=none_needed)
    assert not folder.exists()
    (tmp_path / "away").rename(folder)
    shelf.check_writable()
    assert shelf.noisy(sha256) == b"picture"


def test_a_full_disk_is_reported_and_leaves_no_partial_files(
    shelf: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        for use in (shelf.check_writable, lambda: shelf.put(b"picture")):
            with pytest.raises(StoreUnavailable, match=r"No space left on device"):
                use()
        assert files(tmp_path) == {}
    shelf.check_writable()
    assert shelf.noisy(shelf.put(b"picture")) == b"picture"


def test_a_thumbnail_that_cannot_be_stored_is_returned(shelf: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = shelf.put(imaging.encode_image(GREY, ".png"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert shelf.thumbnail(sha256)
    with pytest.raises(StoreUnavailable, match="Read-only file system"):
        shelf.put(b"other")


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="Not a directory"):
        ImageStore(tmp_path / "file" / "pictures")


def test_a_camera_orientation_is_applied_to_thumbnails(shelf: ImageStore) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    file = io.BytesIO()
    Image.fromarray(np.zeros((20, 40), np.uint8)).save(file, "JPEG", exif=exif)
    data = shelf.thumbnail(shelf.put(file.getvalue()))
    assert data is not None
    assert imaging.decode_image(data, Channels.GREY).shape == (40, 20)


def test_few_images_are_rendered_at_a_time(shelf: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [shelf.put(bytes([number])) for number in range(8)]
    lock, drawing, most = threading.Lock(), 0, 0

    def draw(_: bytes) -> bytes:
        nonlocal drawing, most
        with lock:
            drawing += 1
            most = max(most, drawing)
        time.sleep(0.01)  # let other threads start
        with lock:
            drawing -= 1
        return b"drawn"

    monkeypatch.setattr("clearcast.station.image_store.to_browser_format", draw)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shelf.viewable, hashes)) == 8 * [b"drawn"]
    assert 1 <= most <= 2
