"""The image store: originals, outputs, thumbnails, retention and failures of the disk."""

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
def image_store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "pictures")


def none_needed(_: Sequence[str]) -> set[str]:
    return set()


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def set_age(folder: Path, sha256: str, days: float) -> None:
    """Set the age of an image."""
    then = time.time() - days * DAY
    os.utime(folder / "pictures" / sha256[:2] / sha256 / "noisy", (then, then))


def test_the_original_is_read_by_its_hash(image_store: ImageStore, tmp_path: Path) -> None:
    data = imaging.encode_image(GREY, ".png")
    sha256 = image_store.put(data)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert image_store.noisy(sha256) == data
    assert image_store.put(data) == sha256, "the same image again"
    assert read_files(tmp_path) == {f"pictures/{sha256[:2]}/{sha256}/noisy": data}, "no partial files"


def test_an_image_and_its_directories_are_flushed(
    image_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(str(Path(f"/proc/self/fd/{number}").readlink())))
    sha256 = image_store.put(b"an image")

    shard = tmp_path / "pictures" / sha256[:2]
    assert "/incoming/" in flushed[0]
    assert flushed[1:] == [str(shard / sha256), str(shard), str(shard.parent)]


def test_an_unknown_hash_gives_none(image_store: ImageStore) -> None:
    unknown = "0" * 64
    assert (
        image_store.noisy(unknown) is image_store.denoised(unknown, MODEL) is image_store.heat(unknown, MODEL) is None
    )
    assert image_store.thumbnail(unknown) is image_store.viewable(unknown) is None


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "/" + "0" * 63]
)
def test_only_hashes_are_accepted(image_store: ImageStore, name: str) -> None:
    with pytest.raises(ValueError, match="expected a SHA-256"):
        image_store.noisy(name)


def test_bundle_names_never_become_paths(image_store: ImageStore, tmp_path: Path) -> None:
    sha256 = image_store.put(b"image")
    image_store.put_outputs(sha256, MODEL, denoised=GREY, evidence=np.zeros((3, 4), np.float32))
    below = [name.rpartition("/") for name in read_files(tmp_path)]
    assert {folder for folder, _, _ in below} == {f"pictures/{sha256[:2]}/{sha256}"}
    assert all(name == "noisy" or len(name) == 20 for _, _, name in below)


def test_denoised_images_are_accurate_jpegs_per_bundle(image_store: ImageStore) -> None:
    sha256 = image_store.put(b"image")
    image_store.put_outputs(sha256, "a 1", denoised=SMOOTH, evidence=None)
    data = image_store.denoised(sha256, "a 1")
    assert data is not None
    assert imaging.probe_image(data).format == "JPEG"
    assert np.abs(imaging.decode_image(data, Channels.GREY).astype(int) - SMOOTH).max() <= 3
    assert image_store.denoised(sha256, "a 2") is None
    assert image_store.heat(sha256, "a 1") is None, "the bundle gives no heat map"


class OnDemand:
    """A fake on-demand denoiser that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def denoises_on_demand(self, model: str) -> bool:
        return model == MODEL

    def denoise(self, data: bytes) -> ImageArray | None:
        self.calls += 1
        return SMOOTH if data == b"image" else None


def test_images_are_denoised_once_on_demand(image_store: ImageStore) -> None:
    sha256, damaged = image_store.put(b"image"), image_store.put(b"damaged")
    image_store.put_outputs(sha256, MODEL, denoised=None, evidence=np.zeros((3, 4), np.float32))
    assert image_store.denoised(sha256, MODEL) is image_store.heat(sha256, MODEL) is None
    image_store.denoiser = denoiser = OnDemand()
    assert image_store.available(sha256, MODEL) == {"noisy", "restored", "heat"}
    assert image_store.denoised(sha256, "another 1") is None
    for _ in range(2):
        data = image_store.denoised(sha256, MODEL)
        assert data is not None
        assert np.abs(imaging.decode_image(data, Channels.GREY).astype(int) - SMOOTH).max() <= 3
    assert image_store.heat(sha256, MODEL) is not None
    assert denoiser.calls == 1, "the second time, the stored one is returned"
    assert image_store.denoised(damaged, MODEL) is None
    assert image_store.denoised("0" * 64, MODEL) is None, "unknown hash"


def test_available_images_are_listed(image_store: ImageStore, tmp_path: Path) -> None:
    evidence = np.zeros((3, 4), np.float32)
    hashes = [image_store.put(data) for data in (b"a", b"b", b"c", b"d")]
    for sha256, evidence_or_none in zip(hashes[1:], (None, evidence, evidence), strict=True):
        image_store.put_outputs(sha256, MODEL, denoised=GREY, evidence=evidence_or_none)
    set_age(tmp_path, hashes[3], days=3)
    image_store.apply_retention(keep_days=1, keep_bytes=None, needed=none_needed)
    expected = [{"noisy"}, {"noisy", "restored"}, {"noisy", "restored", "heat"}, set()]
    assert [image_store.available(sha256, MODEL) for sha256 in hashes] == expected
    assert image_store.available(hashes[2], "another 1") == {"noisy"}


def test_a_heat_map_shows_the_position(image_store: ImageStore) -> None:
    sha256 = image_store.put(b"image")
    evidence = np.full((8, 12), -6, np.float32)
    evidence[0, 0] = 9
    image_store.put_outputs(sha256, MODEL, denoised=SMOOTH, evidence=evidence)
    data = image_store.heat(sha256, MODEL)
    assert data is not None
    assert imaging.probe_image(data).format == "PNG"
    drawn = imaging.decode_image(data, Channels.RGB).astype(int)
    assert drawn.shape == (*SMOOTH.shape, 3)
    assert drawn[0, 0, 0] - drawn[0, 0, 2] > 100, "red at the defect"
    assert np.ptp(drawn[-1, -1]) <= 3, "grey elsewhere"


@pytest.mark.parametrize("shape", [(12, 65_600), (65_600, 12)])
def test_images_too_long_for_jpeg_are_shrunk(image_store: ImageStore, shape: tuple[int, int]) -> None:
    long = np.full(shape, 99, np.uint8)
    sha256 = image_store.put(imaging.encode_image(long, ".png"))
    image_store.put_outputs(sha256, MODEL, denoised=long, evidence=np.zeros((2, 3), np.float32))
    for data in (image_store.denoised(sha256, MODEL), image_store.heat(sha256, MODEL), image_store.thumbnail(sha256)):
        assert data is not None
        assert max(imaging.decode_image(data, Channels.GREY).shape) <= 65_500


@pytest.mark.parametrize("name", ["noisy", "restored"])
def test_empty_files_after_a_power_failure_are_none_until_rewritten(
    image_store: ImageStore, tmp_path: Path, name: str
) -> None:
    data = imaging.encode_image(GREY, ".png")
    evidence = np.zeros((3, 4), np.float32)
    sha256 = image_store.put(data)
    image_store.put_outputs(sha256, MODEL, denoised=GREY, evidence=evidence)
    for path in (tmp_path / "pictures" / sha256[:2] / sha256).iterdir():
        if (path.name == "noisy") == (name == "noisy"):
            path.write_bytes(b"")
    assert (image_store.noisy(sha256) is None) == (name == "noisy")
    assert (image_store.heat(sha256, MODEL) is None) == (name == "restored")
    image_store.put(data)
    image_store.put_outputs(sha256, MODEL, denoised=GREY, evidence=evidence)
    assert image_store.noisy(sha256) == data
    assert image_store.heat(sha256, MODEL) is not None


def test_a_damaged_heat_map_is_none(image_store: ImageStore, tmp_path: Path) -> None:
    sha256 = image_store.put(b"image")
    image_store.put_outputs(sha256, MODEL, denoised=GREY, evidence=np.zeros((3, 4), np.float32))
    (evidence,) = tmp_path.rglob("*.npy")
    for damaged in (evidence.read_bytes()[:-3], b"\x80\x04N.", b"nonsense"):  # cut off, a pickle, neither
        evidence.write_bytes(damaged)
        assert image_store.heat(sha256, MODEL) is None


def test_a_thumbnail_is_small_stored_and_keeps_the_aspect(image_store: ImageStore, tmp_path: Path) -> None:
    sha256 = image_store.put(imaging.encode_image(np.full((300, 600), 90, np.uint8), ".png"))
    data = image_store.thumbnail(sha256)
    assert data is not None
    assert imaging.decode_image(data, Channels.GREY).shape == (80, 160)
    (stored,) = tmp_path.rglob("thumbnail.jpg")
    assert image_store.thumbnail(sha256) == stored.read_bytes() == data


@pytest.mark.parametrize("shape", [(40, 50), (1, 5000), (160, 160)])
def test_thumbnails_never_grow_or_vanish(image_store: ImageStore, shape: tuple[int, int]) -> None:
    data = image_store.thumbnail(image_store.put(imaging.encode_image(np.zeros(shape, np.uint8), ".png")))
    assert data is not None
    height, width = imaging.decode_image(data, Channels.GREY).shape
    assert 1 <= height <= shape[0]
    assert 1 <= width <= min(160, shape[1])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_browser_formats_are_returned_unchanged(image_store: ImageStore, suffix: str) -> None:
    data = imaging.encode_image(GREY, suffix)
    assert image_store.viewable(image_store.put(data)) == data


@pytest.mark.parametrize("suffix", [".bmp", ".tif"])
def test_other_formats_are_returned_as_png(image_store: ImageStore, suffix: str) -> None:
    data = image_store.viewable(image_store.put(imaging.encode_image(GREY, suffix)))
    assert data is not None
    assert imaging.probe_image(data).format == "PNG"
    assert np.array_equal(imaging.decode_image(data, Channels.GREY), GREY)


@pytest.mark.parametrize(
    "data", [b"", b"no image", b"<svg onload='alert(1)'/>", imaging.encode_image(GREY, ".tif")[:900]]
)
def test_undecodable_files_are_stored_but_not_rendered(image_store: ImageStore, data: bytes) -> None:
    sha256 = image_store.put(data)
    assert image_store.viewable(sha256) is None
    assert image_store.thumbnail(sha256) is None
    assert image_store.noisy(sha256) == (data or None)


def test_old_images_are_deleted_with_their_outputs(image_store: ImageStore, tmp_path: Path) -> None:
    old, new = (image_store.put(imaging.encode_image(GREY + step, ".png")) for step in (0, 1))
    for sha256 in (old, new):
        image_store.put_outputs(sha256, MODEL, denoised=GREY, evidence=np.zeros((3, 4), np.float32))
        assert image_store.thumbnail(sha256)
    set_age(tmp_path, old, days=8)
    set_age(tmp_path, new, days=6)
    assert image_store.apply_retention(keep_days=None, keep_bytes=None, needed=none_needed) == 0
    assert image_store.apply_retention(keep_days=7, keep_bytes=None, needed=none_needed) == 1
    assert image_store.noisy(old) is image_store.denoised(old, MODEL) is image_store.thumbnail(old) is None
    assert {name.split("/")[2] for name in read_files(tmp_path)} == {new}
    assert not list(tmp_path.rglob(old)), "its folder too"


def test_receiving_an_image_again_restarts_its_age(image_store: ImageStore, tmp_path: Path) -> None:
    sha256 = image_store.put(b"image")
    set_age(tmp_path, sha256, days=30)
    image_store.put(b"image")
    assert image_store.apply_retention(keep_days=7, keep_bytes=None, needed=none_needed) == 0


def test_the_oldest_are_deleted_until_the_rest_fits(image_store: ImageStore, tmp_path: Path) -> None:
    hashes = [image_store.put(bytes([number]) * 1000) for number in range(5)]
    for age, sha256 in enumerate(hashes):
        set_age(tmp_path, sha256, days=age)  # the last is the oldest
    assert image_store.apply_retention(keep_days=None, keep_bytes=5000, needed=none_needed) == 0
    assert image_store.apply_retention(keep_days=None, keep_bytes=2999, needed=none_needed) == 3
    assert [image_store.noisy(sha256) is not None for sha256 in hashes] == [True, True, False, False, False]


def test_images_with_feedback_are_kept(image_store: ImageStore, tmp_path: Path) -> None:
    hashes = [image_store.put(bytes([number]) * 1000) for number in range(4)]
    for age, sha256 in enumerate(hashes):
        set_age(tmp_path, sha256, days=10 + age)
    oldest = hashes[-1]
    assert (
        image_store.apply_retention(keep_days=None, keep_bytes=2000, needed=lambda hashes: {oldest} & set(hashes)) == 2
    )
    assert image_store.noisy(oldest)
    assert image_store.noisy(hashes[0])
    assert image_store.apply_retention(keep_days=1, keep_bytes=0, needed=lambda hashes: {oldest} & set(hashes)) == 1
    assert image_store.noisy(oldest)


def test_an_image_received_during_retention_is_kept(image_store: ImageStore, tmp_path: Path) -> None:
    sha256 = image_store.put(b"image")
    set_age(tmp_path, sha256, days=30)

    def receive_again(_: Sequence[str]) -> set[str]:
        image_store.put(b"image")
        return set()

    assert image_store.apply_retention(keep_days=7, keep_bytes=None, needed=receive_again) == 0
    assert image_store.noisy(sha256) == b"image"


def test_stale_temporary_files_are_removed(image_store: ImageStore, tmp_path: Path) -> None:
    image_store.check_writable()
    left, young = (tmp_path / "pictures" / "incoming" / name for name in ("tmp_left", "tmp_young"))
    for path in (left, young):
        path.write_bytes(b"half")
    os.utime(left, (time.time() - DAY,) * 2)
    image_store.apply_retention(keep_days=None, keep_bytes=None, needed=none_needed)
    assert not left.exists()
    assert young.exists()


def test_threads_store_and_delete_concurrently(image_store: ImageStore) -> None:
    over = threading.Event()

    def delete_all() -> None:
        while not over.is_set():
            image_store.apply_retention(keep_days=None, keep_bytes=0, needed=none_needed)

    thread = threading.Thread(target=delete_all)
    thread.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            hashes = list(pool.map(lambda number: image_store.put(b"%d" % (number % 7)), range(300)))
    finally:
        over.set()
        thread.join()
    assert len(set(hashes)) == 7
    assert image_store.noisy(image_store.put(b"0")) == b"0"


def test_a_missing_folder_is_reported_and_not_recreated(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    image_store = ImageStore(folder)
    sha256 = image_store.put(b"image")
    folder.rename(tmp_path / "away")
    for use in (
        lambda: image_store.put(b"other"),
        lambda: image_store.noisy(sha256),
        image_store.check_writable,
        lambda: image_store.put(b"image"),
    ):
        with pytest.raises(
            StoreUnavailable, match=r"^images cannot be stored or read \(No such file or directory\); free disk space"
        ):
            use()
    with pytest.raises(StoreUnavailable):
        image_store.apply_retention(keep_days=1, keep_bytes=None, needed=none_needed)
    assert not folder.exists()
    (tmp_path / "away").rename(folder)
    image_store.check_writable()
    assert image_store.noisy(sha256) == b"image"


def test_a_full_disk_is_reported_and_leaves_no_partial_files(
    image_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        for use in (image_store.check_writable, lambda: image_store.put(b"image")):
            with pytest.raises(StoreUnavailable, match=r"No space left on device"):
                use()
        assert read_files(tmp_path) == {}
    image_store.check_writable()
    assert image_store.noisy(image_store.put(b"image")) == b"image"


def test_a_thumbnail_that_cannot_be_stored_is_returned(
    image_store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = image_store.put(imaging.encode_image(GREY, ".png"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert image_store.thumbnail(sha256)
    with pytest.raises(StoreUnavailable, match="Read-only file system"):
        image_store.put(b"other")


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="Not a directory"):
        ImageStore(tmp_path / "file" / "pictures")


def test_a_camera_orientation_is_applied_to_thumbnails(image_store: ImageStore) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    file = io.BytesIO()
    Image.fromarray(np.zeros((20, 40), np.uint8)).save(file, "JPEG", exif=exif)
    data = image_store.thumbnail(image_store.put(file.getvalue()))
    assert data is not None
    assert imaging.decode_image(data, Channels.GREY).shape == (40, 20)


def test_few_images_are_rendered_at_a_time(image_store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [image_store.put(bytes([number])) for number in range(8)]
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
        assert list(pool.map(image_store.viewable, hashes)) == 8 * [b"drawn"]
    assert 1 <= most <= 2
