"""Decoding against Pillow, refusal of damaged and unsupported images, resizing and encoding."""

import io
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import PictureError, PictureFault
from clearcast.core.files import find_image_files

HEIGHT, WIDTH = 24, 40
EXIF_ORIENTATION = 0x0112


def scene() -> ImageArray:
    """Return a smooth colour image without any symmetry, which JPEG preserves well."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([20 + 5 * x, 10 + 9 * y, 200 - 2 * x - 3 * y], axis=2).astype(np.uint8)


def as_pillow(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(scene()).convert(mode)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decode_with_pillow(data: bytes, channels: Channels) -> NDArray[np.int_]:
    """Decode with an independent decoder, with the EXIF orientation applied."""
    with Image.open(io.BytesIO(data)) as image:
        mode = "RGB" if channels is Channels.RGB else "L"
        return np.asarray(ImageOps.exif_transpose(image).convert(mode), np.int_)


def difference(data: bytes, channels: Channels) -> int:
    ours, theirs = imaging.decode_image(data, channels), decode_with_pillow(data, channels)
    assert ours.dtype == np.uint8
    assert ours.shape == theirs.shape
    return int(np.abs(ours - theirs).max())


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header declares any size."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")


def fault_of(data: bytes) -> PictureFault:
    """Return the fault of a decoding error; the message must name the file."""
    with pytest.raises(PictureError, match=r"^some/name\.png: ") as caught:
        imaging.decode_image(data, Channels.RGB, "some/name.png")
    return caught.value.fault


WHOLE = {
    "baseline JPEG": encoded(as_pillow(), "JPEG", quality=90),
    "progressive JPEG": encoded(as_pillow(), "JPEG", quality=90, progressive=True),
    "PNG": encoded(as_pillow(), "PNG"),
    "BMP": encoded(as_pillow(), "BMP"),
    "TIFF": encoded(as_pillow(), "TIFF"),
    "LZW TIFF": encoded(as_pillow(), "TIFF", compression="tiff_lzw"),
    "WebP": encoded(as_pillow(), "WEBP"),
}


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_lossless_images_decode_exactly(form: str, mode: str) -> None:
    data = encoded(as_pillow(mode), form)

    assert difference(data, Channels.RGB) == 0
    assert difference(data, Channels.GREY) <= (0 if mode == "L" else 1)  # weights are rounded differently


@pytest.mark.parametrize("options", [{"quality": 95}, {"quality": 60}, {"quality": 85, "progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("channels", list(Channels))
def test_jpeg_decodes_closely(options: dict[str, int], mode: str, channels: Channels) -> None:
    assert difference(encoded(as_pillow(mode), "JPEG", **options), channels) <= 2


def test_webp_decodes_closely() -> None:
    assert difference(WHOLE["WebP"], Channels.RGB) <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_camera_orientation_is_applied(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    data = encoded(as_pillow(), form, exif=exif)

    for channels in Channels:
        assert difference(data, channels) <= 2


def test_a_header_is_read_without_decoding() -> None:
    header = imaging.probe_image(WHOLE["PNG"][:60])

    assert (header.format, header.mode, header.bits, header.width, header.height) == ("PNG", "RGB", 8, WIDTH, HEIGHT)
    assert not header.transparent


@pytest.mark.parametrize("kind", list(WHOLE))
def test_a_cut_file_is_never_accepted(kind: str) -> None:
    data = WHOLE[kind]
    lengths = {*range(0, len(data), 7), *range(len(data) - 16, len(data))}

    faults = {length: fault_of(data[:length]) for length in lengths}

    assert set(faults.values()) <= {PictureFault.TRUNCATED, PictureFault.UNREADABLE}
    if "JPEG" in kind or kind == "PNG":
        assert {faults[length] for length in range(len(data) - 8, len(data))} == {PictureFault.TRUNCATED}


@settings(deadline=None, max_examples=60)
@given(length=st.integers(4, len(WHOLE["baseline JPEG"]) - 1), padding=st.integers(0, 200))
def test_a_cut_jpeg_filled_up_with_zeros_is_never_accepted(length: int, padding: int) -> None:
    fault_of(WHOLE["baseline JPEG"][:length] + bytes(padding))


def test_a_jpeg_cut_after_its_thumbnail_is_never_accepted() -> None:
    jpeg = WHOLE["baseline JPEG"]
    segment = b"Exif\0\0" + encoded(as_pillow().resize((8, 8)), "JPEG")
    header = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    assert header.endswith(b"\xff\xd9")
    imaging.decode_image(header + jpeg[2:], Channels.RGB)

    for length in range(len(header), len(header) + len(jpeg) - 2, 5):
        fault_of((header + jpeg[2:])[:length])


@pytest.mark.parametrize("kind", ["baseline JPEG", "progressive JPEG", "PNG"])
@pytest.mark.parametrize("padding", [1, 63, 64, 65, 4096])
def test_zeros_after_the_end_are_accepted(kind: str, padding: int) -> None:
    padded = imaging.decode_image(WHOLE[kind] + bytes(padding), Channels.RGB)

    np.testing.assert_array_equal(padded, imaging.decode_image(WHOLE[kind], Channels.RGB))


def test_a_video_after_a_jpegs_end_is_accepted() -> None:
    video = np.random.default_rng(0).bytes(200_000)  # contains all markers of a JPEG by chance

    assert imaging.decode_image(WHOLE["baseline JPEG"] + video, Channels.RGB).shape == (HEIGHT, WIDTH, 3)


def test_a_damaged_png_is_never_accepted() -> None:
    png = WHOLE["PNG"]
    start, end = png.index(b"IDAT"), png.index(b"IEND")
    for position in range(start, end - 8, 11):
        fault_of(png[:position] + bytes([png[position] ^ 0x55]) + png[position + 1 :])


DEEP = scene().astype(np.uint16) * 257
FLOATS = Image.fromarray(scene()[:, :, 0].astype(np.float32))
CLEAR_COLOUR = as_pillow().quantize(16)


def image_with_alpha(mode: str, alpha: int) -> Image.Image:
    """Return the scene with an alpha channel of 255, except for one pixel."""
    channel = Image.new("L", (WIDTH, HEIGHT), 255)
    channel.putpixel((7, 5), alpha)
    image = as_pillow(mode)
    image.putalpha(channel)
    return image


def bmp_with_alpha(alpha: int) -> bytes:
    """Return a BMP of 32 bits whose header (version 4) has a mask for alpha."""
    pixels = np.asarray(image_with_alpha("RGB", alpha))[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, WIDTH, HEIGHT, 1, 32, 3, len(pixels), 2835, 2835, 0, 0) + masks + bytes(52)
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels


GREY_LEVEL = int(np.asarray(as_pillow("L"))[3, 3])
UNSUPPORTED = {
    "16-bit grey PNG": encoded(Image.fromarray(DEEP[:, :, 0]), "PNG"),
    "16-bit colour PNG": cv2.imencode(".png", DEEP)[1].tobytes(),
    "16-bit grey TIFF": encoded(Image.fromarray(DEEP[:, :, 0]), "TIFF"),
    "16-bit colour TIFF": cv2.imencode(".tif", DEEP)[1].tobytes(),
    "float TIFF": encoded(FLOATS, "TIFF"),
    "32-bit TIFF": encoded(Image.fromarray(DEEP[:, :, 0].astype(np.int32)), "TIFF"),
    "RGBA PNG": encoded(image_with_alpha("RGB", 254), "PNG"),
    "LA PNG": encoded(image_with_alpha("L", 254), "PNG"),
    "RGBA TIFF": encoded(image_with_alpha("RGB", 254), "TIFF"),
    "LA TIFF": encoded(image_with_alpha("L", 254), "TIFF"),
    "lossless WebP of one clear pixel": encoded(image_with_alpha("RGB", 0), "WEBP", lossless=True),
    "32-bit BMP with a mask of alpha": bmp_with_alpha(254),
    "grey PNG with one transparent level": encoded(as_pillow("L"), "PNG", transparency=GREY_LEVEL),
    "palette PNG with transparency": encoded(CLEAR_COLOUR, "PNG", transparency=3),
    "palette PNG with half transparency": encoded(CLEAR_COLOUR, "PNG", transparency=bytes(range(16))),
    "PNG with one transparent colour": encoded(as_pillow(), "PNG", transparency=tuple(scene()[3, 3].tolist())),
    "WebP with transparency": encoded(Image.new("RGBA", (8, 8), (9, 9, 9, 99)), "WEBP"),
    "CMYK JPEG": encoded(as_pillow("CMYK"), "JPEG"),
    "CMYK TIFF": encoded(as_pillow("CMYK"), "TIFF"),
    "1-bit PNG": encoded(as_pillow("1"), "PNG"),
    "1-bit TIFF": encoded(as_pillow("1"), "TIFF", compression="group4"),
}


@pytest.mark.parametrize("kind", list(UNSUPPORTED))
def test_modes_without_a_known_scale_are_refused(kind: str) -> None:
    assert fault_of(UNSUPPORTED[kind]) is PictureFault.UNSUPPORTED


FEW_COLOURS = as_pillow().quantize(15)
OPAQUE = {  # with an alpha channel, and the same file without one
    "RGBA PNG": (encoded(image_with_alpha("RGB", 255), "PNG"), WHOLE["PNG"]),
    "LA PNG": (encoded(image_with_alpha("L", 255), "PNG"), encoded(as_pillow("L"), "PNG")),
    "palette PNG of opaque colours": (
        encoded(CLEAR_COLOUR, "PNG", transparency=bytes([255] * 16)),
        encoded(CLEAR_COLOUR, "PNG"),
    ),
    "palette PNG with an unused clear colour": (
        encoded(FEW_COLOURS, "PNG", transparency=bytes([255] * 15 + [0])),
        encoded(FEW_COLOURS, "PNG"),
    ),
    "PNG with one unused clear colour": (encoded(as_pillow(), "PNG", transparency=(1, 2, 3)), WHOLE["PNG"]),
    "grey PNG with one unused clear level": (
        encoded(as_pillow("L"), "PNG", transparency=255),
        encoded(as_pillow("L"), "PNG"),
    ),
    "RGBA TIFF": (encoded(image_with_alpha("RGB", 255), "TIFF"), WHOLE["TIFF"]),
    "LA TIFF": (encoded(image_with_alpha("L", 255), "TIFF"), encoded(as_pillow("L"), "TIFF")),
    "RGBA WebP": (
        encoded(image_with_alpha("RGB", 255), "WEBP", lossless=True, exact=True),
        encoded(as_pillow(), "WEBP", lossless=True),
    ),
    "32-bit BMP": (encoded(image_with_alpha("RGB", 255), "BMP"), WHOLE["BMP"]),
    "32-bit BMP with a mask of alpha": (bmp_with_alpha(255), WHOLE["BMP"]),
}


@pytest.mark.parametrize("kind", list(OPAQUE))
@pytest.mark.parametrize("channels", list(Channels))
def test_an_alpha_of_255_everywhere_changes_no_pixel(kind: str, channels: Channels) -> None:
    data, plain = OPAQUE[kind]
    rounding = 1 if "mask" in kind and channels is Channels.GREY else 0  # OpenCV rounds the weights differently

    np.testing.assert_allclose(
        imaging.decode_image(data, channels), imaging.decode_image(plain, channels), atol=rounding, rtol=0
    )


def test_transparent_pixels_are_refused() -> None:
    with pytest.raises(PictureError, match="some of its pixels are transparent"):
        imaging.decode_image(UNSUPPORTED["RGBA PNG"], Channels.RGB)


@pytest.mark.parametrize("channels", list(Channels))
def test_white_can_be_zero_in_a_tiff(channels: Channels) -> None:
    grey = np.asarray(as_pillow("L"))
    data = encoded(Image.fromarray(grey), "TIFF", tiffinfo={262: 0})
    assert 255 - grey[0, 0] in data[8:400], "Pillow stored white as 255"

    decoded = imaging.decode_image(data, channels)

    np.testing.assert_array_equal(decoded, grey[:, :, None].repeat(3, axis=2) if channels is Channels.RGB else grey)


@pytest.mark.parametrize("data", [encoded(as_pillow(), "GIF"), b"a text", b"BM" + b"W" * 99, b"\x00" * 99, b"{}"])
def test_unknown_formats_are_unreadable(data: bytes) -> None:
    assert fault_of(data) is PictureFault.UNREADABLE


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (12_000, 10_000), (100_000_001, 1)])
def test_too_many_pixels_are_refused_by_the_header(width: int, height: int) -> None:
    assert fault_of(png_claiming(width, height)) is PictureFault.TOO_LARGE


def test_a_header_without_its_pixels_is_refused() -> None:
    assert fault_of(png_claiming(100, 100)) is PictureFault.UNREADABLE


def test_errors_of_the_decoder_are_picture_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise cv2.error("a check failed\nat some line")

    monkeypatch.setattr(cv2, "imdecode", fail)

    assert fault_of(WHOLE["PNG"]) is PictureFault.UNREADABLE


def test_many_threads_can_decode_at_once() -> None:
    results: list[ImageArray] = []
    threads = [
        threading.Thread(target=lambda: results.append(imaging.decode_image(WHOLE["TIFF"], Channels.RGB)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 8
    assert all(np.array_equal(result, scene()) for result in results)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("missing.png", PictureFault.MISSING),
        ("empty.png", PictureFault.EMPTY),
        ("folder.png", PictureFault.UNREADABLE),
        ("text.png/inside.png", PictureFault.UNREADABLE),
        ("nul\0.png", PictureFault.UNREADABLE),
        ("n" * 300 + ".png", PictureFault.UNREADABLE),
        ("text.png", PictureFault.UNREADABLE),
    ],
)
def test_loading_errors_name_the_file_and_the_reason(tmp_path: Path, name: str, fault: PictureFault) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("a text")

    with pytest.raises(PictureError) as caught:
        imaging.load_image(tmp_path / name, Channels.RGB)

    assert caught.value.fault is fault
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(WHOLE["PNG"])
    monkeypatch.setattr(imaging, "MAX_IMAGE_BYTES", len(WHOLE["PNG"]) - 1)

    with pytest.raises(PictureError, match=r"large\.png.* the limit is") as caught:
        imaging.read_image_bytes(path)
    assert caught.value.fault is PictureFault.TOO_LARGE


image_shapes = st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([(), (3,)]), st.integers(0, 2**32 - 1))


@settings(deadline=None, max_examples=40)
@given(shape=image_shapes, suffix=st.sampled_from([".png", ".PNG", ".bmp", ".tif"]))
def test_lossless_formats_round_trip(shape: tuple[int, int, tuple[int, ...], int], suffix: str) -> None:
    height, width, depth, seed = shape
    image = np.random.default_rng(seed).integers(0, 256, (height, width, *depth), np.uint8)

    data = imaging.encode_image(image, suffix)

    channels = Channels.RGB if depth else Channels.GREY
    np.testing.assert_array_equal(imaging.decode_image(data, channels), image)
    np.testing.assert_array_equal(decode_with_pillow(data, channels), image)


def test_jpeg_quality_is_that_of_the_encoder() -> None:
    sizes = [len(imaging.encode_image(scene(), ".jpeg", jpeg_quality=quality)) for quality in (20, 60, 95)]

    assert sizes == sorted(set(sizes))
    assert difference(imaging.encode_image(scene(), ".jpg"), Channels.RGB) <= 2


def test_saving_creates_missing_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "scene.png"

    imaging.save_image(path, scene())

    np.testing.assert_array_equal(imaging.load_image(path, Channels.RGB), scene())


def test_images_are_found_by_suffix_and_sorted(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/c.jpeg", "a.txt", "a.jpg", "Labels.xlsx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()

    assert find_image_files(tmp_path) == [tmp_path / "a/c.jpeg", tmp_path / "a.jpg", tmp_path / "b.PNG"]


sides = st.integers(1, 40)


@settings(deadline=None, max_examples=60)
@given(size=st.tuples(sides, sides), target=st.tuples(sides, sides), value=st.integers(0, 255), grey=st.booleans())
def test_resizing_keeps_constants_shape_and_dtype(
    size: tuple[int, int], target: tuple[int, int], value: int, *, grey: bool
) -> None:
    depth = () if grey else (3,)

    resized = imaging.resize_image(np.full((*size, *depth), value, np.uint8), *target)

    assert resized.dtype == np.uint8
    assert resized.shape == (*target, *depth)
    assert np.all(resized == value)


@settings(deadline=None, max_examples=40)
@given(size=st.tuples(st.integers(8, 40), st.integers(8, 40)), seed=st.integers(0, 1000))
def test_shrinking_keeps_the_mean(size: tuple[int, int], seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)

    shrunk = imaging.resize_image(image, size[0] // 2, size[1] // 3)

    np.testing.assert_allclose(shrunk.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=0.6)


def test_shrinking_by_whole_numbers_averages_blocks() -> None:
    image = np.random.default_rng(1).integers(0, 256, (12, 20), np.uint8)

    blocks = image.reshape(6, 2, 5, 4).mean(axis=(1, 3))  # (6, 5)

    np.testing.assert_allclose(imaging.resize_image(image, 6, 5), blocks, atol=0.51)


def test_an_image_of_the_target_size_is_returned_unchanged() -> None:
    assert imaging.resize_image(image := scene(), HEIGHT, WIDTH) is image


@pytest.mark.parametrize(("suffix", "longest"), [(".jpg", 65_500), (".JPEG", 65_500), (".webp", 16_383)])
def test_images_too_large_for_a_format_are_refused_and_can_be_shrunk(suffix: str, longest: int) -> None:
    wide = np.full((20, longest + 1), 99, np.uint8)

    with pytest.raises(PictureError, match=f"{longest + 1} x 20 pixels.* at most {longest:,}") as caught:
        imaging.encode_image(wide, suffix)
    assert caught.value.fault is PictureFault.TOO_LARGE
    for image in (wide, wide.T, np.dstack([wide] * 3)):
        shrunk = imaging.shrink_to_fit(image, suffix)
        assert max(shrunk.shape[:2]) == longest
        assert imaging.decode_image(imaging.encode_image(shrunk, suffix), Channels.GREY).shape == shrunk.shape[:2]
    assert imaging.shrink_to_fit(wide[:, 1:], suffix).shape == (20, longest)
