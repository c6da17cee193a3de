"""Degradation of a folder of noise-free images: add noise, and write a data set in the layout of the report's data.

``OUT/Without-Noise/`` gets exact copies of the images (the references), ``OUT/With-Noise/`` the noisy images, and
``OUT/Labels.xlsx`` one row per pair. ``levels.csv`` lists the noise parameters of each image, ``errors.csv`` the images
that cannot be used, if any, and ``groups.csv`` the part of each noisy image, if a ``parts.csv`` names the parts.
``Labels.xlsx`` is written last and atomically: if it is missing, the run did not finish.
"""

import errno
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from clearcast import imaging, noise
from clearcast.data.corrupt_tables import SHEET_VALUES, Pair, read_parts, write_csv, write_tables
from clearcast.domain import NoiseType
from clearcast.errors import OutputError, PictureError, PictureFault, RecipeError
from clearcast.file_kinds import OtherFiles
from clearcast.imaging import Channels, Picture
from clearcast.noise import DEFAULT_RANGES, LevelRange
from clearcast.progress import Progress

NOISY_FOLDER = "With-Noise"
REFERENCE_FOLDER = "Without-Noise"

# Control characters, surrogates (a name that is not Unicode), and the backslash, which readers take for a separator.
_NOT_IN_A_SHEET = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff\\]")


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """Result of ``corrupt_folder``.

    Attributes:
        labels: path of the sheet ``Labels.xlsx``.
        written: number of images by noise type.
        failures: path below the folder and error message of each image that cannot be used.
        others: counts of the files of other kinds in the folder.
    """

    labels: Path
    written: Mapping[NoiseType, int]
    failures: tuple[tuple[str, str], ...]
    others: OtherFiles = field(default_factory=OtherFiles, compare=False)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Degradation job: the path of one image below the folder, and the paths of its two output files below OUT."""

    source: str
    reference: str
    noisy: str
    noise_type: NoiseType


def corrupt_folder(
    folder: Path,
    out: Path,
    *,
    seed: int,
    ranges: Mapping[NoiseType, LevelRange] = DEFAULT_RANGES,
    jpeg_quality: int | None = 80,
    progress: Progress | None = None,
) -> Corruption:
    """Add noise to every image below ``folder``: one of the types in ``ranges``, with parameters drawn from its range.

    The noise of an image depends only on ``seed``, its path below ``folder`` and its noise type. Noise types are
    assigned in turn to the images in a seeded order, so that their counts differ by at most one (before failures).
    Adding an image can therefore change the noise type of others.

    An image keeps its channels, sub-folder and stem. If two noisy images would get the same name, both keep their full
    name before the new suffix. If the folder has a ``parts.csv`` (columns ``path`` and ``part``), only the images that
    it lists are used.

    Args:
        folder: the folder of noise-free images.
        out: a new or empty folder.
        seed: at least 0.
        ranges: the range of the noise parameters, by noise type.
        jpeg_quality: 1..100, with colour at half the resolution; None writes PNG.
        progress: called with (done, total).

    Raises:
        PictureError: the folder is missing, or holds no usable image.
        RecipeError: the seed is negative, the quality is outside 1..100, or ``ranges`` is empty, has an unsupported
            noise type, or a range of another type.
        SheetError: ``parts.csv`` cannot be read.
        OutputError: ``out`` is not a new or empty folder, lies inside ``folder``, or cannot be written.
    """
    _require_choices(seed, ranges, jpeg_quality)
    others = OtherFiles()
    sources, parts, missing = _find_sources(folder, others)
    failures: list[tuple[str, str]] = [(path, "listed in parts.csv, but there is no such image") for path in missing]
    pairs: list[Pair] = []
    types = [kind for kind in SHEET_VALUES if kind in ranges]
    jobs = _plan_jobs(sources, seed, types, ".png" if jpeg_quality is None else ".jpeg")
    try:
        _require_output(folder, out)
        for done, job in enumerate(jobs, start=1):
            try:
                pairs.append(_corrupt_file(folder, out, job, ranges[job.noise_type], seed, jpeg_quality))
            except PictureError as error:
                failures.append((job.source, str(error)))
            if progress is not None:
                progress(done, len(jobs))
        labels, written = _finish(out, pairs, failures, parts)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error}); free disk space or choose another folder") from None
    return Corruption(labels=labels, written=written, failures=tuple(failures), others=others)


def _require_choices(seed: int, ranges: Mapping[NoiseType, LevelRange], jpeg_quality: int | None) -> None:
    if seed < 0:
        raise RecipeError(f"expected a seed of 0 or more, got {seed}")
    if not ranges or not set(ranges) <= set(SHEET_VALUES):
        raise RecipeError(f"expected noise types from {', '.join(SHEET_VALUES)}, got {', '.join(ranges) or 'nothing'}")
    for kind, levels in ranges.items():
        expected = type(DEFAULT_RANGES[kind])
        if not isinstance(levels, expected):
            raise RecipeError(f"range of {kind}: expected a {expected.__name__}, got a {type(levels).__name__}")
    if jpeg_quality is not None:
        noise.require_jpeg_quality(jpeg_quality)


def _require_output(folder: Path, out: Path) -> None:
    if out.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{out}: lies inside the input folder {folder}; choose a folder outside of it")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: expected a new or empty folder, got a file")
    if out.is_dir() and any(out.iterdir()):
        raise OutputError(f"{out}: is not empty; choose a new folder or empty this one")


def _find_sources(folder: Path, others: OtherFiles) -> tuple[list[str], dict[str, str], list[str]]:
    """Return the images to use, the part of each, and the images that ``parts.csv`` lists but that do not exist."""
    if not folder.is_dir():
        raise PictureError(PictureFault.MISSING, f"{folder}: no such folder; expected a folder of images")
    sources = [path.relative_to(folder).as_posix() for path in imaging.find(folder, others)]
    missing: list[str] = []
    listed = read_parts(folder / "parts.csv")
    if listed:
        sources, missing = [path for path in sources if path in listed], sorted(listed.keys() - set(sources))
    else:  # the folder may be ``pictures``, beside a parts.csv
        prefix = f"{folder.resolve().name}/"
        beside = read_parts(folder.resolve().parent / "parts.csv")
        listed = {path.removeprefix(prefix): part for path, part in beside.items() if path.startswith(prefix)}
    if not sources:
        suffixes = ", ".join(sorted(imaging.SUFFIXES))
        left_out = f". {others.sentence}" if others.counts else ""
        raise PictureError(PictureFault.MISSING, f"{folder}: no images found; expected files in {suffixes}{left_out}")
    return sources, listed, missing


def _plan_jobs(sources: Sequence[str], seed: int, types: Sequence[NoiseType], suffix: str) -> list[_Job]:
    paths = [PurePosixPath(source) for source in sources]
    names = Counter(key for path in paths for key in {_name_key(path, path.name), _name_key(path, path.stem)})
    shuffled = sorted(sources, key=lambda source: _derive_seed(seed, source, "type"))
    type_of = {source: types[turn % len(types)] for turn, source in enumerate(shuffled)}

    def noisy_name(path: PurePosixPath) -> str:
        # A stem is used if no other image has it as its stem or full name; full names are distinct.
        return (path.name if names[_name_key(path, path.stem)] > 1 else path.stem) + suffix

    return [
        _Job(
            source=source,
            reference=f"{REFERENCE_FOLDER}/{source}",
            noisy=f"{NOISY_FOLDER}/{path.with_name(noisy_name(path)).as_posix()}",
            noise_type=type_of[source],
        )
        for source, path in zip(sources, paths, strict=True)
    ]


def _name_key(path: PurePosixPath, name: str) -> tuple[PurePosixPath, str]:
    return path.parent, name.casefold()  # on some file systems A.png and a.png are the same file


def _derive_seed(seed: int, *words: str) -> int:
    text = "\n".join((str(seed), *words)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest())


def _corrupt_file(folder: Path, out: Path, job: _Job, levels: LevelRange, seed: int, jpeg_quality: int | None) -> Pair:
    """Write one pair. Its PSNR is measured on the noisy image decoded from the encoded file."""
    _require_plain_name(job.source)
    data = imaging.read_bytes(folder / job.source)
    channels = Channels.GREY if imaging.probe(data, job.source).is_grey else Channels.RGB
    reference = imaging.decode(data, channels, job.source)
    rng = np.random.default_rng(_derive_seed(seed, job.source, job.noise_type))
    level = noise.sample_level(levels, rng, reference.shape)
    noisy = noise.corrupt(reference, level, rng)
    encoded = _encode(noisy, job, jpeg_quality or 100)
    _write_pair({out / job.reference: data, out / job.noisy: encoded}, job)
    psnr = _psnr(reference, imaging.decode(encoded, channels, job.noisy))
    return Pair(source=job.source, reference=job.reference, noisy=job.noisy, level=level, psnr=psnr)


def _encode(noisy: Picture, job: _Job, jpeg_quality: int) -> bytes:
    try:
        return imaging.encode(noisy, PurePosixPath(job.noisy).suffix, jpeg_quality=jpeg_quality)
    except PictureError as error:
        raise PictureError(error.fault, f"{job.source}: {error}") from None


def _write_pair(contents: Mapping[Path, bytes], job: _Job) -> None:
    """Write both files, or neither if a name is too long for the file system."""
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # a full disk concerns all images
            raise
        for path in contents:
            with suppress(OSError):  # looking up a name that is too long fails too
                path.unlink(missing_ok=True)
        message = f"{job.source}: the name of the output file {job.noisy} is too long for the file system; shorten it"
        raise PictureError(PictureFault.UNSUPPORTED, message) from None


def _require_plain_name(source: str) -> None:
    if _NOT_IN_A_SHEET.search(source):
        raise PictureError(
            PictureFault.UNSUPPORTED, f"{source!a}: the name has characters that a sheet cannot store; rename the file"
        )


def _psnr(reference: Picture, noisy: Picture) -> float:
    """Compute the PSNR in decibels, ``10 log10(255^2 / MSE)``; infinite for equal images."""
    error = float(np.mean(np.square(reference.astype(np.float32) - noisy), dtype=np.float64))
    return 10 * float(np.log10(255**2 / error)) if error else float("inf")


def _finish(
    out: Path, pairs: Sequence[Pair], failures: Sequence[tuple[str, str]], parts: Mapping[str, str]
) -> tuple[Path, dict[NoiseType, int]]:
    """Write the tables, ``Labels.xlsx`` last; return its path, and the number of images by noise type."""
    out.mkdir(parents=True, exist_ok=True)
    if failures:
        write_csv(out / "errors.csv", ("path", "error"), failures)
    if not pairs:
        raise PictureError(
            PictureFault.UNREADABLE, f"none of {len(failures)} images can be used; see {out / 'errors.csv'}"
        )
    labels = write_tables(out, pairs, parts)
    return labels, dict(Counter(noise.level_type(pair.level) for pair in pairs))
