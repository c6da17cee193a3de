"""Structure checks before decoding, and decoding in a sandbox process."""

import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearcast.core import imaging
from clearcast.core.decoding import isolation
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import PictureError, PictureFault
from tests.core import image_bombs

BOMBS, SEVERAL_IMAGES, SINGLE_IMAGE, DAMAGED = (
    image_bombs.decompression_bombs(),
    image_bombs.files_of_several_images(),
    image_bombs.files_of_one_image(),
    image_bombs.damaged_files(),
)


def error_of(data: bytes) -> PictureError:
    with pytest.raises(PictureError, match=r"^part\.x: ") as caught:
        imaging.decode_image(data, Channels.RGB, "part.x")
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_before_they_are_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object, **__: object) -> None:
        pytest.fail("a decoder was called")

    for name in ("read_image_header", "decode_pixels", "decode_in_sandbox"):
        monkeypatch.setattr(imaging, name, decoded)

    error = error_of(BOMBS[kind])

    assert error.fault is PictureFault.TOO_LARGE, error
    with pytest.raises(PictureError):
        imaging.probe_image(BOMBS[kind])


@pytest.mark.parametrize("kind", SEVERAL_IMAGES)
def test_files_of_several_images_are_refused_with_their_number(kind: str) -> None:
    data, count = SEVERAL_IMAGES[kind]

    error = error_of(data)

    assert error.fault is PictureFault.UNSUPPORTED, error
    assert f"with {count}, of which only one would be inspected" in str(error)
    with pytest.raises(PictureError):
        imaging.probe_image(data)


@pytest.mark.parametrize("kind", SINGLE_IMAGE)
def test_previews_masks_and_strips_count_as_one_image(kind: str) -> None:
    with Image.open(io.BytesIO(SINGLE_IMAGE[kind])) as image:
        expected = np.asarray(image.convert("RGB"), np.int_)

    pixels = imaging.decode_image(SINGLE_IMAGE[kind], Channels.RGB)

    assert np.abs(pixels - expected).max() <= 2


@pytest.mark.parametrize("kind", DAMAGED)
def test_invalid_structures_are_refused(kind: str) -> None:
    assert error_of(DAMAGED[kind]).fault in {PictureFault.UNREADABLE, PictureFault.TRUNCATED}


@pytest.mark.parametrize("kind", [*BOMBS, *DAMAGED])
def test_parsing_the_structure_takes_little_time(kind: str) -> None:
    data = {**BOMBS, **DAMAGED}[kind]
    begun = time.process_time()
    error_of(data)

    assert time.process_time() - begun < 5  # hundreds of times the usual time, a tenth of a bomb's


@pytest.mark.parametrize("stage", ["read_image_header", "decode_pixels", "decode_in_sandbox"])
@pytest.mark.parametrize(
    "raised",
    [AssertionError(), struct.error("short"), RecursionError(), MemoryError(), zlib.error("bad"), OverflowError(),
     IndexError("x"), KeyError(5), TypeError(), EOFError(), ZeroDivisionError(), UserWarning("w")],
)  # fmt: skip
def test_any_exception_of_a_decoder_is_a_picture_error(
    stage: str, raised: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(imaging, stage, fail)
    data = (
        image_bombs.encode_with_pillow(Image.new("RGB", (8, 8)), "WEBP", lossless=True)
        if stage == "decode_in_sandbox"
        else image_bombs.jpeg()
    )

    assert error_of(data).fault is PictureFault.UNREADABLE


def lossless(width: int, height: int) -> tuple[bytes, np.ndarray]:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return image_bombs.encode_with_pillow(Image.fromarray(pixels), "WEBP", lossless=True), pixels


def test_a_png_that_may_unpack_to_any_size_is_decoded_in_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a decoder finds data after the last pixel; here it is ten times the size of the image."""
    side = 2000
    packed = zlib.compress(bytes((side + 1) * side * 10) + np.random.default_rng(1).bytes(3_000_000))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = image_bombs.chunk(b"IHDR", head) + image_bombs.chunk(b"IDAT", packed) + image_bombs.chunk(b"IEND", b"")
    monkeypatch.setattr(imaging, "decode_pixels", None)

    image = imaging.decode_image(b"\x89PNG\r\n\x1a\n" + chunks, Channels.GREY)

    np.testing.assert_array_equal(image, np.zeros((side, side), np.uint8))


def test_several_threads_decode_in_sandboxes_at_once() -> None:
    files = [lossless(40 + n, 30) for n in range(6)]
    wrong: list[int] = []

    def decode(number: int) -> None:
        data, pixels = files[number]
        for _ in range(5):
            if not np.array_equal(imaging.decode_image(data, Channels.RGB), pixels):
                wrong.append(number)

    threads = [threading.Thread(target=decode, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


def test_a_worker_killed_while_idle_is_replaced() -> None:
    data, pixels = lossless(40, 30)
    imaging.decode_image(data, Channels.RGB)
    for worker in isolation._WORKERS._idle:
        os.kill(worker._process.pid, signal.SIGKILL)

    np.testing.assert_array_equal(imaging.decode_image(data, Channels.RGB), pixels)


def test_an_image_that_kills_every_worker_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data, pixels = lossless(40, 30)
    imaging.decode_image(data, Channels.RGB)
    reused = []

    def killed(self: isolation._Worker, *_: object, **__: object) -> None:
        reused.append(self.reused)
        raise EOFError

    with monkeypatch.context() as patch:
        patch.setattr(isolation._Worker, "decode", killed)
        assert error_of(data).fault is PictureFault.TOO_LARGE
        assert reused == [True, False]  # a new worker once, not repeatedly

    np.testing.assert_array_equal(imaging.decode_image(data, Channels.RGB), pixels)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited only on Linux")
def test_an_image_that_exceeds_the_memory_limit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data, pixels = lossless(1200, 900)
    isolation._WORKERS.end()  # a worker that decoded a larger image may have free memory
    monkeypatch.setattr(isolation, "_BYTES", 0)
    monkeypatch.setattr(isolation, "_BYTES_PER_PIXEL", 1)
    monkeypatch.setattr(isolation, "_BYTES_PER_BYTE", 0)
    assert error_of(data).fault in {PictureFault.TOO_LARGE, PictureFault.UNREADABLE}
    monkeypatch.undo()

    np.testing.assert_array_equal(imaging.decode_image(data, Channels.RGB), pixels)


def test_an_image_that_exceeds_the_time_limit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data, pixels = lossless(1500, 1200)
    monkeypatch.setattr(isolation, "_TIMEOUT_FACTOR", 0.0)
    error = error_of(data)
    monkeypatch.undo()

    assert error.fault is PictureFault.TOO_LARGE
    assert "1500 x 1200" in str(error)
    np.testing.assert_array_equal(imaging.decode_image(data, Channels.RGB), pixels)


def test_workers_end_with_the_process_that_started_them() -> None:
    code = (
        "import io; from PIL import Image\n"
        "from clearcast.core import imaging; from clearcast.core.decoding import image_info, isolation\n"
        "file = io.BytesIO(); Image.new('RGB', (9, 9)).save(file, 'WEBP', lossless=True)\n"
        "imaging.decode_image(file.getvalue(), image_info.Channels.RGB)\n"
        "print(isolation._WORKERS._idle[0]._process.pid, flush=True); import os; {end}"
    )
    for end in ("pass", "os._exit(1)"):
        done = subprocess.run([sys.executable, "-c", code.format(end=end)], capture_output=True, text=True, check=False)
        assert not done.stderr
        pid, until = int(done.stdout), time.monotonic() + 10
        while Path(f"/proc/{pid}/cmdline").exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert not Path(f"/proc/{pid}/cmdline").exists()


@cache
def _noise() -> bytes:
    pixels = np.random.default_rng(2).integers(0, 256, (60, 80, 3), np.uint8)
    return pixels.tobytes()


def corrupted_files() -> dict[str, bytes]:
    """Return files with damaged pixels and a valid structure."""
    image = Image.frombytes("RGB", (80, 60), _noise())
    files = {
        "png": image_bombs.encode_with_pillow(image, "PNG"),
        "tiff": image_bombs.encode_with_pillow(image, "TIFF", compression="tiff_lzw"),
        "deflate tiff": image_bombs.encode_with_pillow(image, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg tiff": image_bombs.encode_with_pillow(image, "TIFF", compression="jpeg"),
        "webp": image_bombs.encode_with_pillow(image, "WEBP"),
        "lossless webp": image_bombs.encode_with_pillow(image, "WEBP", lossless=True),
        "bmp": image_bombs.encode_with_pillow(image, "BMP"),
    }
    return {kind: data[:200] + bytes(b ^ 0x35 for b in data[200:700]) + data[700:] for kind, data in files.items()}


def test_damaged_files_write_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    jpeg = image_bombs.encode_with_pillow(Image.frombytes("RGB", (80, 60), _noise()), "JPEG")
    cut = [jpeg[:length] for length in range(0, len(jpeg), 97)]
    for data in (*BOMBS.values(), *DAMAGED.values(), *corrupted_files().values(), *cut):
        try:
            imaging.decode_image(data, Channels.RGB)
        except PictureError:
            continue

    assert capfd.readouterr() == ("", "")


def test_importing_changes_nothing_in_opencv() -> None:
    code = (
        "import cv2; level = cv2.utils.logging.getLogLevel; before = level()\n"
        "import clearcast.core.imaging; print(before == level())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"
