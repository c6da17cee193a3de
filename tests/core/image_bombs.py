"""Decompression bombs, files of several images, and files with a damaged structure.

Each is built by the rules of its format, and contains a small image if the format allows it.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

SIDE = 64
_GREY = np.full((SIDE, SIDE), 99, np.uint8)


def encode_with_pillow(image: Image.Image, form: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def jpeg(**options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    return encode_with_pillow(Image.fromarray(_GREY), "JPEG", **options)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks: bytes, behind: Sequence[bytes] = (), colour: int = 0, rows: bytes | None = None) -> bytes:
    """A PNG with further chunks before and behind its pixels."""
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, colour, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"c" * SIDE) * SIDE if rows is None else rows)
    parts = (chunk(b"IHDR", head), *chunks, chunk(b"IDAT", pixels), *behind, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def directory(tags: Sequence[tuple[int, int, int, int]], next_offset: int = 0, *, big: bool = False) -> bytes:
    """Return a directory of tags (number, type, count, value or offset), sorted."""
    count, entry, pointer = ("<Q", "<HHQQ", "<Q") if big else ("<H", "<HHII", "<I")
    listed = b"".join(struct.pack(entry, *tag) for tag in sorted(tags))
    return struct.pack(count, len(tags)) + listed + struct.pack(pointer, next_offset)


def grey_tags(offset: int, **other: int) -> list[tuple[int, int, int, int]]:
    """Return the tags of an uncompressed grey image of one strip at an offset."""
    side = other.get("side", SIDE)
    return [
        (256, 4, 1, side),
        (257, 4, 1, other.get("height", side)),
        (258, 3, 1, 8),
        (259, 3, 1, other.get("compression", 1)),
        (262, 3, 1, 1),
        (273, 4, other.get("strips", 1), offset),
        (277, 3, 1, 1),
        (278, 4, 1, other.get("rows", side)),
        (279, 4, other.get("strips", 1), other.get("sizes", SIDE * SIDE)),
    ]


def tiff(*directories: Sequence[tuple[int, int, int, int]], rest: bytes = b"", last: int = 0) -> bytes:
    """A TIFF whose directories follow each other behind the rest, which begins at byte 8; ``last`` ends the chain."""
    offset = 8 + len(rest)
    made = b""
    for number, tags in enumerate(directories):
        after = offset + len(made) + 2 + 12 * len(tags) + 4
        made += directory(tags, after if number + 1 < len(directories) else last)
    return b"II*\0" + struct.pack("<I", offset) + rest + made


def webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def frames(count: int, *, same: bool = False) -> list[Image.Image]:
    rng = np.random.default_rng(5)
    first = rng.integers(0, 256, (48, SIDE, 3), np.uint8)
    return [Image.fromarray(first if same else rng.integers(0, 256, (48, SIDE, 3), np.uint8)) for _ in range(count)]


def several(form: str, count: int) -> bytes:
    """A file of so many frames or pages, as Pillow writes it."""
    first, *others = frames(count)
    return encode_with_pillow(first, form, save_all=True, append_images=others)


def multi_picture(kinds: Sequence[int], *, small: bool = False, mark: bytes = b"", size: int = SIDE) -> bytes:
    """A JPEG with an index (CIPA DC-007) of further JPEGs of these kinds; ``mark`` stands in each one's own APP1."""
    first = encode_with_pillow(Image.new("RGB", (size, size), (9, 99, 199)), "JPEG")
    other = encode_with_pillow(Image.new("RGB", (size // 2, size // 2) if small else (size, size), (200, 9, 9)), "JPEG")
    if mark:
        other = other[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + mark) + other[2:]
    tags = [(0xB000, 7, 4, 0x30303130), (0xB001, 4, 1, len(kinds) + 1), (0xB002, 7, 16 * (len(kinds) + 1), 50)]
    length = 4 + 8 + len(directory(tags)) + 16 * (len(kinds) + 1)
    start = 2 + 4 + 4  # of the index's TIFF header in the file
    ends = len(first) + 4 + length - start
    places = [0, *(ends + number * len(other) for number in range(len(kinds)))]
    entries = b"".join(
        struct.pack("<IIIHH", kind, len(other), offset, 0, 0)
        for kind, offset in zip((0x030000, *kinds), places, strict=True)
    )
    index = segment(0xE2, b"MPF\0II*\0" + struct.pack("<I", 8) + directory(tags) + entries)
    return first[:2] + index + first[2:] + other * len(kinds)


def many_scans(count: int, *, restart: int = 0) -> bytes:
    """A progressive JPEG with so many empty scans; ``restart``: after so many blocks of each."""
    data = jpeg(progressive=True)
    begin = data.index(b"\xff\xda")
    head = data[begin : begin + 2 + int.from_bytes(data[begin + 2 : begin + 4])]
    interval = segment(0xDD, struct.pack(">H", restart)) if restart else b""
    return data[: data.rindex(b"\xff\xd9")] + interval + head * count + b"\xff\xd9"


def exif_bomb(*, tags: int = 3000, segments: int = 16) -> bytes:
    """A JPEG whose EXIF in several segments has tags that share one block; without JFIF, readers look into it."""
    size = 65_527 * segments
    offset = 8 + 2 + 12 * tags + 4
    listed = directory([(1000 + number, 7, size - offset, offset) for number in range(tags)])
    block = b"II*\0" + struct.pack("<I", 8) + listed
    block += bytes(size - len(block))
    plain = jpeg()
    rest = plain[4 + int.from_bytes(plain[4:6]) :]
    return (
        plain[:2] + b"".join(segment(0xE1, b"Exif\0\0" + block[n * 65_527 :][:65_527]) for n in range(segments)) + rest
    )


def decompression_bombs() -> dict[str, bytes]:
    """Return files whose decoding would take far more time or memory than their images justify."""
    offset = 8
    block = 1_000_000
    shared = [(40_000 + number, 7, block, offset) for number in range(2000)]
    tile = zlib.compress(bytes(3000 * 3000))
    text = zlib.compress(bytes(60_000_000), 9)
    exif_pointer = [(34665, 4, 1, 8)]
    offsets = struct.pack("<1000I", *([8] * 1000))
    return {
        "tiff: tags share a block": tiff([*grey_tags(offset), *shared], rest=bytes(block)),
        "tiff: tags of exif share a block": tiff(
            [*grey_tags(offset), (34665, 4, 1, 8)],
            rest=directory([(n, 7, 1_000_000, 8) for n in range(1, 400)]) + bytes(1_000_000),
        ),
        "tiff: many tags": tiff([*grey_tags(offset), *((50_000 + n, 3, 1, 0) for n in range(5000))], rest=bytes(4096)),
        "tiff: numbers": tiff([*grey_tags(offset), (40_000, 3, 9_000_000, offset)], rest=bytes(18_000_000)),
        "tiff: strips share bytes": tiff(
            [*grey_tags(8, strips=1000, rows=1, height=1000, compression=8, sizes=8 + 4000)],
            rest=offsets + struct.pack("<1000I", *([400_000] * 1000)) + bytes(400_000),
        ),
        "tiff: far too many strips": tiff(
            [*grey_tags(8, strips=100_000, sizes=8)], rest=struct.pack("<I", 8) * 100_000
        ),
        "tiff: one huge tile": tiff(
            [
                *(t for t in grey_tags(8, compression=8) if t[0] not in {273, 278, 279}),
                *((322, 4, 1, 3000), (323, 4, 1, 3000), (324, 4, 1, 8), (325, 4, 1, len(tile))),
            ],
            rest=tile,
        ),
        "tiff: 20,000 pages": tiff(*[grey_tags(8)] * 20_000, rest=bytes(4096)),
        "bigtiff: tags share a block": b"II+\0"
        + struct.pack("<HHQ", 8, 0, 16)
        + directory([*grey_tags(1000), *((40_000 + number, 7, block, 1000) for number in range(2000))], big=True)
        + bytes(block),
        "jpeg: many scans": many_scans(101),
        "jpeg: many scans with tiny restarts": many_scans(5000, restart=1),
        "jpeg: many segments": jpeg()[:2] + segment(0xFE, b"") * 20_000 + jpeg()[2:],
        "jpeg: exif": exif_bomb(),
        "jpeg: exif of exif": jpeg(exif=b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory(exif_pointer))[:2]
        + segment(
            0xE1,
            b"Exif\0\0II*\0"
            + struct.pack("<I", 8)
            + directory([(34665, 4, 1, 26)])
            + directory([(n, 7, 40_000, 26) for n in range(1, 300)])
            + bytes(45_000),
        )
        + jpeg()[2:],
        "jpeg: index of many pictures": multi_picture([0] * 300),
        "png: many chunks": png(chunk(b"prVt", b"") * 20_000),
        "png: many chunks behind": png(behind=[chunk(b"prVt", b"") * 20_000]),
        "png: many tiny chunks of pixels": png(behind=[chunk(b"IDAT", b"") * 50_000]),
        "png: pixels behind the last": png(rows=bytes(200_000_000)),
        "png: text": png(chunk(b"zTXt", b"a\0\0" + text)),
        "png: colour profile": png(chunk(b"iCCP", b"a\0\0" + text)),
        "png: international text": png(chunk(b"iTXt", b"a\0\1\0de\0b\0" + text)),
        "png: texts that add up": png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(500_000), 9)) * 50),
        "png: exif": png(
            chunk(
                b"eXIf",
                b"II*\0" + struct.pack("<I", 8) + directory([(n, 7, 50_000, 8) for n in range(999)]) + bytes(50_000),
            )
        ),
        "webp: many chunks": b"RIFF" + struct.pack("<I", 4 + 8 * 20_000) + b"WEBP" + webp_chunk(b"abcd", b"") * 20_000,
    }


def files_of_several_images() -> dict[str, tuple[bytes, str]]:
    """Files of several pictures, and how many the message must say."""
    page = grey_tags(8)
    still = several("PNG", 3)
    return {
        "tiff of two pages": (several("TIFF", 2), "2 pages"),
        "tiff of five pages": (several("TIFF", 5), "5 pages"),
        "tiff of pages and a preview": (tiff(page, [(254, 4, 1, 1), *page], page, rest=bytes(4096)), "2 pages"),
        "tiff of marked pages": (tiff([(254, 4, 1, 2), *page], [(254, 4, 1, 2), *page], rest=bytes(4096)), "2 pages"),
        "animated png": (still, "3 frames"),
        "animated webp": (several("WEBP", 4), "4 frames"),
        "mpo of pillow": (several("MPO", 3), "3 images"),
        "stereo jpeg": (multi_picture([0x020002]), "2 images"),
        "panorama": (multi_picture([0x020001] * 3), "4 images"),
        "jpeg of two primaries": (multi_picture([0x030000]), "2 images"),
        "motion jpeg": (jpeg() * 5, "5 images"),
        "joined jpegs with filling between": ((jpeg() + bytes(16)) * 3, "3 images"),
    }


def files_of_one_image() -> dict[str, bytes]:
    """Return files with one image and other data."""
    page = grey_tags(8)
    return {
        "tiff with smaller copies": tiff(page, [(254, 4, 1, 1), *page], [(254, 4, 1, 1), *page], rest=bytes(4096)),
        "tiff with a mask": tiff(page, [(254, 4, 1, 4), *page], rest=bytes(4096)),
        "tiff with a smaller copy of old": tiff(page, [(255, 3, 1, 2), *page], rest=bytes(4096)),
        "png of one frame": several("PNG", 1),
        "jpeg with a smaller copy behind": jpeg() + encode_with_pillow(Image.new("L", (4, 4)), "JPEG"),
        "jpeg with other data and a jpeg behind": jpeg() + b"film" + jpeg(),
        "webp of one frame": several("WEBP", 1),
        "jpeg with a preview": multi_picture([0x010001], small=True),
        "jpeg with a full preview": multi_picture([0x010002]),
        "jpeg with a small map": multi_picture([0], small=True),
        "jpeg with a gain map": multi_picture([0], mark=b'hdrgm:Version="1.0"'),
        "jpeg with a gain map by its kind": multi_picture([0x050000]),
        "jpeg with a colour profile of many segments": jpeg()[:2]
        + b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 200]) + bytes(60_000)) for n in range(1, 201))
        + jpeg()[2:],
        "jpeg of 60 scans": many_scans(60),
        "png of 5,000 chunks of 8 kB": _large_png(),
    }


def _large_png() -> bytes:
    """The usual chunks of a large file: 8 kB each."""
    noise = np.random.default_rng(3).integers(0, 256, (4000, 4001), np.uint8)
    noise[:, 0] = 0  # no filter
    packed = zlib.compress(noise.tobytes(), 1)
    head = struct.pack(">IIBBBBB", 4000, 4000, 8, 0, 0, 0, 0)
    pixels = b"".join(chunk(b"IDAT", packed[offset : offset + 8192]) for offset in range(0, len(packed), 8192))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


def damaged_files() -> dict[str, bytes]:
    """Files of a structure that makes no sense."""
    page = grey_tags(8)
    palette = png(colour=3)
    return {
        "palette without colours": palette,
        "palette behind the pixels": png(colour=3, behind=[chunk(b"PLTE", bytes(768))]),
        "tiff whose pages go round": tiff(page, page, rest=bytes(4096), last=8 + 4096),
        "tiff whose only page follows itself": tiff(page, rest=bytes(4096), last=8 + 4096),
        "tiff whose next page is nowhere": tiff(page, rest=bytes(4096), last=2**31),
        "tiff of a preview first": tiff([(254, 4, 1, 1), *page], page, rest=bytes(4096)),
        "tiff of a tag twice": tiff([*page, (256, 4, 1, 32)], rest=bytes(4096)),
        "tiff without strips": tiff([tag for tag in page if tag[0] not in {273, 279}], rest=bytes(4096)),
        "tiff without sizes": tiff([tag for tag in grey_tags(8, compression=5) if tag[0] != 279], rest=bytes(4096)),
        "tiff of tiles without size": tiff([*page, (322, 4, 1, 16), (323, 4, 1, 0)], rest=bytes(4096)),
        "jpeg of a segment without length": jpeg()[:2] + b"\xff\xe0\0\0" + jpeg()[2:],
        "jpeg without a frame": jpeg()[:20] + b"\xff\xd9",
        "webp without an image": b"RIFF\x0c\0\0\0WEBP" + webp_chunk(b"EXIF", b"") + bytes(10),
        "bmp of an unknown header": b"BM" + bytes(12) + struct.pack("<I", 77) + bytes(80),
        "bmp of runs that fill nothing": b"BM"
        + struct.pack("<IHHI", 5000, 0, 0, 1078)
        + struct.pack("<IiiHHIIiiII", 40, 5000, 5000, 1, 8, 1, 10_000, 0, 0, 256, 0)
        + bytes(1024)
        + bytes(10_000),
    }
