"""Fuzz test of image decoding: no file may cause a hang, a crash, terminal output or an unexpected exception.

Small valid files of every format and variant are damaged at random, as in ``station_fuzz``, and decoded in colour and
in grey. Half of the damaged PNGs get correct checksums, so that decoders process more of them::

    .venv/bin/python benchmarks/decode_fuzz.py --minutes 10

Files that cause a failure are kept for analysis. Every file is determined by the seed and its number.
"""

import argparse
import io
import itertools
import json
import random
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from station_fuzz import damage

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import PictureError

BATCH = 500  # files per process
PATIENCE = 120.0  # seconds per file that count as a hang
SLOW = 5.0  # seconds per file that count as slow; the files are small
HUNGRY = 500  # MB per file that count as too much


@dataclass
class Found:
    """Results so far."""

    kept: Path
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, -1)
    hungriest: tuple[float, int] = (0.0, -1)
    noise: int = 0  # lines written to the terminal


def main() -> None:
    """Run the fuzz test and print the results."""
    asked = arguments()
    if asked.first is not None:
        decode_batch(asked.seed, asked.first)
        return
    found, end = Found(asked.kept), time.monotonic() + 60 * asked.minutes
    for first in itertools.count(0, BATCH):
        if time.monotonic() >= end:
            break
        run_batch(found, asked.seed, first, end)
    print(f"{found.outcomes.total()} files: {dict(found.outcomes.most_common())}")
    print(f"failures {dict(found.failures)}, lines on the terminal {found.noise}; files are kept in {found.kept}")
    for name, (value, number) in (("slowest, s", found.slowest), ("hungriest, MB", found.hungriest)):
        print(f"{name}: {value:.2f} (file {number})")
    raise SystemExit(bool(found.failures or found.noise))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--kept", type=Path, default=Path("fuzz-failures"), help="folder for files that cause a failure"
    )
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)  # the process that decodes
    return parser.parse_args()


def run_batch(found: Found, seed: int, first: int, end: float) -> None:
    """Decode a batch in another process, and record the result of each file."""
    command = [sys.executable, __file__, "--seed", str(seed), "--first", str(first)]
    begun, number = -1, first
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            patience = max(end - time.monotonic(), 0) + PATIENCE
            said, noise = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            said, noise = process.communicate()
            keep(found, "hang", seed, number)
    for line in said.splitlines():
        result = json.loads(line)
        number = result["number"]
        begun = number if "outcome" not in result else -1
        if begun < 0:
            note(found, seed, result)
    found.noise += len(noise.splitlines())
    if noise:
        found.kept.mkdir(parents=True, exist_ok=True)
        (found.kept / f"{first}-terminal.txt").write_text(noise, encoding="utf-8")
    if process.returncode and begun >= 0:
        keep(found, f"ended by {process.returncode}", seed, begun)


def note(found: Found, seed: int, result: dict[str, Any]) -> None:
    """Record the result of one file."""
    number, seconds, memory = result["number"], result["seconds"], result["memory"]
    found.outcomes[result["outcome"].partition(":")[0]] += 1
    found.slowest = max(found.slowest, (seconds, number))
    found.hungriest = max(found.hungriest, (memory, number))
    if result["outcome"].startswith("!"):
        keep(found, result["outcome"], seed, number)
    elif seconds > SLOW:
        keep(found, "slow", seed, number)
    elif memory > HUNGRY:
        keep(found, "hungry", seed, number)


def keep(found: Found, failure: str, seed: int, number: int) -> None:
    """Record a failure, and keep the file."""
    found.failures[failure] += 1
    found.kept.mkdir(parents=True, exist_ok=True)
    (found.kept / f"{seed}-{number}").write_bytes(file_of(seed, number, seeds()))


def decode_batch(seed: int, first: int) -> None:
    """Decode a batch, and print a line before each file and one with its result."""
    files = seeds()
    for number in range(first, first + BATCH):
        data = file_of(seed, number, files)
        print(json.dumps({"number": number}), flush=True)
        forget_peak()
        before, begun = peak_memory(), time.monotonic()
        outcome = outcome_of(data)
        result = {"number": number, "outcome": outcome, "seconds": time.monotonic() - begun}
        print(json.dumps({**result, "memory": peak_memory() - before}), flush=True)


def outcome_of(data: bytes) -> str:
    """Return the fault, "picture" if the file is decoded, or a failure, which begins with "!"."""
    try:
        for channels in Channels:
            picture = imaging.decode_image(data, channels)
            if picture.dtype != np.uint8 or picture.ndim != (3 if channels is Channels.RGB else 2):
                return f"!an image of {picture.dtype} and shape {picture.shape}"
    except PictureError as error:
        return str(error.fault)
    except BaseException as error:
        return f"!{type(error).__name__}: {error}"
    return "picture"


def seeds() -> list[bytes]:
    """Return valid files of every format, with metadata."""
    drawn = np.add.outer(np.arange(80) ** 2 // 40, np.arange(96))
    colour = Image.fromarray(np.dstack([drawn, 200 - drawn, drawn * 3 % 256]).astype(np.uint8))
    grey, palette, alpha = colour.convert("L"), colour.quantize(64), colour.convert("RGBA")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    meta: dict[str, Any] = {"exif": exif, "icc_profile": bytes(range(256)) * 8}
    files = [saved(picture, "JPEG", **meta, **more) for picture in (colour, grey)
             for more in ({}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2})]  # fmt: skip
    files += [saved(picture, "PNG", **meta) for picture in (colour, grey, palette, alpha, alpha.convert("LA"))]
    files += [saved(picture, "TIFF", compression=how) for picture in (colour, grey)
              for how in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")]  # fmt: skip
    files += [saved(picture, "TIFF") for picture in (palette, alpha)]
    files += [saved(picture, "WEBP", **meta, lossless=exact) for picture in (colour, alpha) for exact in (True, False)]
    files += [saved(picture, "BMP") for picture in (colour, grey, palette, alpha)]
    files += [saved(colour, form, save_all=True, append_images=[colour]) for form in ("MPO", "TIFF")]
    files += [saved(colour, form, save_all=True, append_images=[alpha]) for form in ("PNG", "WEBP")]
    return [*files, runs_of(grey)]


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    """Return the file that Pillow writes."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def runs_of(grey: Image.Image) -> bytes:
    """Return a run-length encoded BMP, which Pillow does not write: each pixel is a run of one."""
    rows = [b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in np.asarray(grey)[::-1].tolist()]
    packed = b"".join(rows) + b"\0\1"
    colours = b"".join(bytes([value, value, value, 0]) for value in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, *grey.size, 1, 8, 1, len(packed), 2835, 2835, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(packed), 0, 0, 1078) + head + colours + packed


def file_of(seed: int, number: int, files: list[bytes]) -> bytes:
    """Return the damaged file with this number."""
    rng = random.Random(f"{seed} {number}")
    data = damage(rng, rng.choice(files), files)
    return with_checksums(data) if data.startswith(b"\x89PNG") and rng.random() < 0.5 else data


def with_checksums(data: bytes) -> bytes:
    """Correct the checksums of a PNG's chunks, as far as chunks are recognised."""
    made, place = bytearray(data), 8
    while place + 12 <= len(made):
        end = place + 8 + int.from_bytes(made[place : place + 4])
        if end + 4 > len(made):
            break
        made[end : end + 4] = zlib.crc32(made[place + 4 : end]).to_bytes(4)
        place = end + 4
    return bytes(made)


def forget_peak() -> None:
    """Reset the memory peak, if the system supports it."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> float:
    """Return the peak memory of this process in MB; 0 if the system does not report it."""
    if not Path("/proc/self/status").exists():
        return 0.0
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
