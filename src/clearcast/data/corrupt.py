"""Make noisy data from clean pictures: a folder of pictures in, the layout of the report's data out.

``OUT/Without-Noise/`` gets the clean pictures, byte for byte, ``OUT/With-Noise/`` their noisy counterparts, and
``OUT/Labels.xlsx`` one row a pair. Beside it stand ``levels.csv`` (how strong the noise of each picture is),
``errors.csv`` (the pictures that could not be used, where there are any) and, where a ``parts.csv`` names the parts,
``groups.csv`` (which noisy pictures show one part). ``Labels.xlsx`` is written last and in one step: where it is
missing, the run did not finish.
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

# Control characters, halves of characters (a name that is not Unicode), and what readers take for a folder's end.
_NOT_IN_A_SHEET = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff\\]")


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """What ``corrupt_folder`` did.

    ``written`` counts the pictures by noise type; ``failures`` are the pictures that could not be used: each one's path
    below the folder, and the reason. ``others`` are the files of other kinds that the folder holds.
    """

    labels: Path
    written: Mapping[NoiseType, int]
    failures: tuple[tuple[str, str], ...]
    others: OtherFiles = field(default_factory=OtherFiles, compare=False)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One picture's way from ``source`` (relative to the folder) to two files (relative to OUT)."""

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
    """Give every picture below ``folder`` noise of one of the types in ``ranges``, at a level drawn from its range.

    A picture's level and noise follow from ``seed``, its path below ``folder`` and its noise type alone. The types are
    dealt in turn to the pictures in an order that the seed and the paths settle, so that their counts differ by at most
    one (before failures); adding a picture may therefore change the type of others, but nothing else about them.

    A picture keeps its channels, sub-folder and stem. Noisy files are JPEG of ``jpeg_quality`` 1..100, with colour at
    half the resolution, or PNG where it is None. Where two pictures would get one noisy file, both keep their whole
    name before the new suffix. A folder with a ``parts.csv`` (columns ``path`` and ``part``) gives the pictures that it
    lists, and no others. ``progress`` is called with the pictures done and all of them.

    Raises:
        PictureError: the folder is missing, holds no picture, or none that can be used.
        RecipeError: the seed is negative, the quality is outside 1..100, or ``ranges`` names no noise type, one that
            cannot be made, or the range of another type.
        SheetError: ``parts.csv`` cannot be read.
        OutputError: ``out`` is not an empty or new folder, lies inside ``folder``, or cannot be written.
    """
    _require_choices(seed, ranges, jpeg_quality)
    others = OtherFiles()
    sources, parts, missing = _find_sources(folder, others)
    failures: list[tuple[str, str]] = [(path, "parts.csv lists it, but there is no such picture") for path in missing]
    pairs: list[Pair] = []
    types = [kind for kind in SHEET_VALUES if kind in ranges]
    jobs = _plan(sources, seed, types, ".png" if jpeg_quality is None else ".jpeg")
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
        raise OutputError(f"{out}: cannot be written ({error}); free or choose another place") from None
    return Corruption(labels=labels, written=written, failures=tuple(failures), others=others)


def _require_choices(seed: int, ranges: Mapping[NoiseType, LevelRange], jpeg_quality: int | None) -> None:
    if seed < 0:
        raise RecipeError(f"seed is {seed}; needed is a whole number of 0 or more")
    if not ranges or not set(ranges) <= set(SHEET_VALUES):
        came = ", ".join(ranges) or "nothing"
        raise RecipeError(f"noise types are {came}; needed are one or more of {', '.join(SHEET_VALUES)}")
    for kind, levels in ranges.items():
        needed = type(DEFAULT_RANGES[kind])
        if not isinstance(levels, needed):
            raise RecipeError(f"the range of {kind} is a {type(levels).__name__}; needed is a {needed.__name__}")
    if jpeg_quality is not None:
        noise.require_jpeg_quality(jpeg_quality)


def _require_output(folder: Path, out: Path) -> None:
    if out.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{out}: lies inside {folder}, whose pictures are read; choose a folder outside of it")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; needed is a new or an empty folder")
    if out.is_dir() and any(out.iterdir()):
        raise OutputError(f"{out}: is not empty, and nothing is overwritten; choose a new folder or empty this one")


def _find_sources(folder: Path, others: OtherFiles) -> tuple[list[str], dict[str, str], list[str]]:
    """The pictures to use, the parts that they show, and the pictures that ``parts.csv`` lists in vain."""
    if not folder.is_dir():
        raise PictureError(PictureFault.MISSING, f"{folder}: no such folder; needed is a folder with pictures")
    sources = [path.relative_to(folder).as_posix() for path in imaging.find(folder, others)]
    missing: list[str] = []
    listed = read_parts(folder / "parts.csv")
    if listed:
        sources, missing = [path for path in sources if path in listed], sorted(listed.keys() - set(sources))
    else:  # the folder may be the ``pictures`` folder beside a parts.csv
        prefix = f"{folder.resolve().name}/"
        beside = read_parts(folder.resolve().parent / "parts.csv")
        listed = {path.removeprefix(prefix): part for path, part in beside.items() if path.startswith(prefix)}
    if not sources:
        suffixes = ", ".join(sorted(imaging.SUFFIXES))
        left = f". {others.sentence}" if others.counts else ""
        raise PictureError(PictureFault.MISSING, f"{folder}: holds no pictures; needed are files in {suffixes}{left}")
    return sources, listed, missing


def _plan(sources: Sequence[str], seed: int, types: Sequence[NoiseType], suffix: str) -> list[_Job]:
    paths = [PurePosixPath(source) for source in sources]
    names = Counter(key for path in paths for key in {_key(path, path.name), _key(path, path.stem)})
    dealt = sorted(sources, key=lambda source: _entropy(seed, source, "type"))
    type_of = {source: types[turn % len(types)] for turn, source in enumerate(dealt)}

    def noisy_name(path: PurePosixPath) -> str:
        # A stem that no other picture has as its stem or whole name can stand alone; whole names differ anyway.
        return (path.name if names[_key(path, path.stem)] > 1 else path.stem) + suffix

    return [
        _Job(
            source=source,
            reference=f"{REFERENCE_FOLDER}/{source}",
            noisy=f"{NOISY_FOLDER}/{path.with_name(noisy_name(path)).as_posix()}",
            noise_type=type_of[source],
        )
        for source, path in zip(sources, paths, strict=True)
    ]


def _key(path: PurePosixPath, name: str) -> tuple[PurePosixPath, str]:
    return path.parent, name.casefold()  # some file systems hold A.png and a.png to be one


def _entropy(seed: int, *words: str) -> int:
    text = "\n".join((str(seed), *words)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest())


def _corrupt_file(folder: Path, out: Path, job: _Job, levels: LevelRange, seed: int, jpeg_quality: int | None) -> Pair:
    """Write one pair; its PSNR is that of the noisy picture as it comes back from its file."""
    _require_plain_name(job.source)
    data = imaging.read_bytes(folder / job.source)
    channels = Channels.GREY if imaging.probe(data, job.source).is_grey else Channels.RGB
    reference = imaging.decode(data, channels, job.source)
    rng = np.random.default_rng(_entropy(seed, job.source, job.noise_type))
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
    """Write both files or, where the file system does not hold such long names, neither."""
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # a full disk and its like concern all pictures
            raise
        for path in contents:
            with suppress(OSError):  # the one whose name is too long cannot even be looked for
                path.unlink(missing_ok=True)
        message = f"{job.source}: the name is too long for the file system to hold {job.noisy}; shorten it"
        raise PictureError(PictureFault.UNSUPPORTED, message) from None


def _require_plain_name(source: str) -> None:
    if _NOT_IN_A_SHEET.search(source):
        raise PictureError(
            PictureFault.UNSUPPORTED, f"{source!a}: the name has characters that a sheet cannot hold; rename the file"
        )


def _psnr(reference: Picture, noisy: Picture) -> float:
    """Peak signal-to-noise ratio in decibels, ``10 log10(255^2 / mean squared error)``; infinite for equal pictures."""
    error = float(np.mean(np.square(reference.astype(np.float32) - noisy), dtype=np.float64))
    return 10 * float(np.log10(255**2 / error)) if error else float("inf")


def _finish(
    out: Path, pairs: Sequence[Pair], failures: Sequence[tuple[str, str]], parts: Mapping[str, str]
) -> tuple[Path, dict[NoiseType, int]]:
    """Write the tables, ``Labels.xlsx`` as the last; give its path, and the pictures by noise type."""
    out.mkdir(parents=True, exist_ok=True)
    if failures:
        write_csv(out / "errors.csv", ("path", "error"), failures)
    if not pairs:
        raise PictureError(
            PictureFault.UNREADABLE, f"none of {len(failures)} pictures could be used; {out / 'errors.csv'} says why"
        )
    labels = write_tables(out, pairs, parts)
    return labels, dict(Counter(noise.level_type(pair.level) for pair in pairs))
