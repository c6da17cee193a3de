"""Hostile files: of no type, of two types, truncated, with false headers, decompression bombs."""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.core import image_bombs

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script></svg>'
LAUGHS = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg">&b;</svg>'
HTML = b"<!doctype html><script>fetch('/v1/inspections')</script>"
_RNG = np.random.default_rng(7)


def random_pixels(*shape: int) -> NDArray[np.uint8]:
    return _RNG.integers(0, 256, shape, np.uint8)


def encode_image(pixels: Image.Image | NDArray[Any], form: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, form, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, bits: int = 8, colour: int = 0, rows: bytes = b"", more: bytes = b"") -> bytes:
    """A PNG with an arbitrary header; ``rows`` are compressed."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + more
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def bmp(width: int, height: int, *, bits: int = 24, packing: int = 0, rest: bytes = b"") -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packing, len(rest), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rest), 0, 0, 54) + head + rest


def tiff(tags: Sequence[tuple[int, int, int, int]], *, following: int = 0, rest: bytes = b"") -> bytes:
    """A TIFF of one folder of tags (number, type, count, value)."""
    folder = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8) + folder + struct.pack("<I", following) + rest


def zipped(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def encode_frames(form: str) -> bytes:
    frames = [Image.fromarray(random_pixels(48, 64)) for _ in range(4)]
    return encode_image(frames[0], form, save_all=True, append_images=frames[1:])


def hostile_files() -> dict[str, bytes]:
    """Return all hostile files by their defect."""
    grey, colour = random_pixels(96, 128), random_pixels(96, 128, 3)
    jpeg, plain_png, webp, tif = (encode_image(grey, form) for form in ("JPEG", "PNG", "WEBP", "TIFF"))
    bitmap, large = encode_image(grey, "BMP"), encode_image(random_pixels(900, 1200), "JPEG")
    flipped = bytearray(large)
    for place in range(700, len(flipped), 97):
        flipped[place] ^= 0x5A
    wide = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    return {
        # of no image format
        "empty": b"",
        "one byte": b"\xff",
        "zeros": bytes(4096),
        "random": random_pixels(5000).tobytes(),
        "text": b"just a note\n" * 20,
        "html": HTML,
        "svg with a script": SVG,
        "svg of a billion laughs": LAUGHS,
        "pdf": b"%PDF-1.7\n1 0 obj <</OpenAction <</S /JavaScript>>>> endobj",
        "zip": zipped("a.txt", bytes(100_000)),
        "program": b"\x7fELF\x02\x01\x01" + bytes(200),
        "pickle": b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\n",
        # images of unsupported formats
        "gif": encode_image(grey, "GIF"),
        "moving gif": encode_frames("GIF"),
        "ico": encode_image(random_pixels(32, 32, 3), "ICO"),
        "ppm": encode_image(colour, "PPM"),
        "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(100),
        "psd": b"8BPS\0\x01" + bytes(100),
        "dicom": bytes(128) + b"DICM" + bytes(100),
        # of two formats
        "jpeg and html": jpeg + HTML,
        "jpeg and zip": jpeg + zipped("evil.js", HTML),
        "jpeg with html in a comment": jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(HTML) + 2) + HTML + jpeg[2:],
        "html and jpeg": HTML + jpeg,
        "bmp that is html": b"BM/*" + HTML + bytes(60),
        "png and pdf": plain_png + b"%PDF-1.7",
        "gif that is jpeg": b"GIF89a" + jpeg,
        "webp that is not": b"RIFF\x10\0\0\0WEBPVP8 " + random_pixels(200).tobytes(),
        # truncated and damaged
        "half a jpeg": jpeg[: len(jpeg) // 2],
        "head of a jpeg": jpeg[:20],
        "three bytes of a jpeg": jpeg[:3],
        "jpeg filled up with zeros": large[: len(large) // 2] + bytes(len(large) // 2),
        "jpeg of flipped bits": bytes(flipped),
        "jpeg without tables": jpeg[:2] + jpeg[jpeg.index(b"\xff\xc0") :],
        "jpeg with broken exif": encode_image(grey, "JPEG", exif=b"Exif\0\0II*\0" + random_pixels(300).tobytes()),
        "half a png": plain_png[: len(plain_png) // 2],
        "png with a wrong checksum": plain_png[:40] + b"\0" + plain_png[41:],
        "png without pixels": png(64, 64),
        "png of too few rows": png(64, 64, rows=bytes(65 * 10)),
        "png of too many rows": png(64, 64, rows=bytes(65 * 1000)),
        "png of unknown bits": png(64, 64, bits=7, rows=bytes(65 * 64)),
        "png of unknown colour": png(64, 64, colour=5, rows=bytes(65 * 64)),
        "half a bmp": bitmap[: len(bitmap) // 2],
        "bmp of packed nonsense": bmp(64, 64, bits=8, packing=1, rest=random_pixels(500).tobytes()),
        "half a tiff": tif[: len(tif) // 2],
        "tiff that goes round": tiff(wide, following=8),
        "tiff without strips": tiff(wide),
        "tiff with strips elsewhere": tiff([*wide, (273, 4, 1, 2**31), (279, 4, 1, 4096)]),
        "tiff of too many tags": tiff([(n, 4, 2**30, 2**31) for n in range(300, 900)]),
        "half a webp": webp[: len(webp) // 2],
        # decompression bombs and false headers
        "png that claims all": png(2**31 - 1, 2**31 - 1, rows=b"\0"),
        "png bomb": png(30_000, 30_000, bits=1, rows=bytes(3751 * 300)),
        "png of nothing": png(0, 0),
        "png with a bomb of text": png(
            64, 64, rows=bytes(65 * 64), more=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(60_000_000), 9))
        ),
        "png with a bomb of colours": png(
            64, 64, rows=bytes(65 * 64), more=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(60_000_000), 9))
        ),
        "jpeg that claims all": jpeg.replace(b"\xff\xc0\0\x0b\x08\0\x60\0\x80", b"\xff\xc0\0\x0b\x08\xff\xff\xff\xff"),
        "bmp that claims all": bmp(2**31 - 1, 2**31 - 1),
        "bmp of negative size": bmp(-64, -64, rest=bytes(64 * 64 * 3)),
        "tiff that claims all": tiff([(256, 4, 1, 2**31), (257, 4, 1, 2**31), *wide[2:]]),
        "webp that claims all": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6,
        # ambiguous or unusual images
        "png of 16 bits": encode_image(_RNG.integers(0, 65535, (48, 64)).astype(np.uint16), "PNG"),
        "tiff of 16 bits": encode_image(_RNG.integers(0, 65535, (48, 64)).astype(np.uint16), "TIFF"),
        "tiff of floats": encode_image(_RNG.random((48, 64)).astype(np.float32), "TIFF"),
        "rgba": encode_image(random_pixels(48, 64, 4), "PNG"),
        "grey and transparent": encode_image(Image.fromarray(grey).convert("LA"), "PNG"),
        "transparent palette": encode_image(Image.fromarray(grey).convert("P"), "PNG", transparency=0),
        "webp and transparent": encode_image(random_pixels(48, 64, 4), "WEBP", lossless=True),
        "cmyk jpeg": encode_image(Image.fromarray(colour).convert("CMYK"), "JPEG"),
        "cmyk tiff": encode_image(Image.fromarray(colour).convert("CMYK"), "TIFF"),
        "one bit": encode_image(Image.fromarray(grey).convert("1"), "PNG"),
        "moving png": encode_frames("PNG"),
        "moving webp": encode_frames("WEBP"),
        "tiff of several pages": encode_frames("TIFF"),
        "mpo": encode_frames("MPO"),
        "progressive": encode_image(colour, "JPEG", progressive=True),
        "turned by exif": encode_image(
            grey, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
        ),
        "one pixel": encode_image(random_pixels(1, 1), "PNG"),
        "a line": encode_image(random_pixels(1, 20_000), "PNG"),
        "a column": encode_image(random_pixels(20_000, 1), "PNG"),
        "a thin strip": encode_image(random_pixels(9, 6000), "PNG"),
        "too many bytes": jpeg + bytes(70_000_000),
        **image_bombs.decompression_bombs(),
        **image_bombs.damaged_files(),
        **{kind: data for kind, (data, _) in image_bombs.files_of_several_images().items()},
    }
