"""Degradation of a folder: noisy images from noise-free ones, with their sheet, noise parameters and groups.

File names in the output are those of the command ``clearcast corrupt``.
"""

import csv
import errno
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from clearcast.core import imaging
from clearcast.core.console import ProgressCallback
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import OutputError, PictureError, PictureFault, RecipeError, SheetError
from clearcast.core.files import IMAGE_SUFFIXES, OtherFileCounts, escape_name, find_image_files, replace_file
from clearcast.core.spreadsheets import protect_cell
from clearcast.noise import (
    DEFAULT_NOISE_RANGES,
    NOISES,
    NoiseParameters,
    NoiseRange,
    NoiseType,
    corrupt_image,
    noise_type_of,
    require_jpeg_quality,
    sample_noise,
)

NOISY_FOLDER = "With-Noise"
REFERENCE_FOLDER = "Without-Noise"

_SHEET_COLUMNS = ("Denoise Image", "Noise Type", "Noisy Image")
_SHEET_NOISE_NAMES = {kind: word for word, kind in sorted((kind.specification.sheet_word, kind) for kind in NOISES)}
NOISE_LEVEL_COLUMNS = (
    *("noisy", "noise_type", "psnr_db"),
    *dict.fromkeys(column for kind in NOISES for column in kind.specification.table_columns()),
    "level_json",
)
# Control characters, surrogates (a name that is not Unicode), and the backslash, a separator for readers.
_UNSUPPORTED_CHARACTERS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff\\]")


@dataclass(frozen=True, kw_only=True)
class DegradationResult:
    """Result of ``degrade_folder``.

    Attributes:
        labels: path of the sheet ``Labels.xlsx``.
        written: number of images by noise type.
        failures: path below the folder and error message of each image that cannot be used.
        others: counts of the files of other kinds in the folder.
    """

    labels: Path
    written: Mapping[NoiseType, int]
    failures: tuple[tuple[str, str], ...]
    others: OtherFileCounts = field(default_factory=OtherFileCounts, compare=False)


@dataclass(frozen=True, kw_only=True)
class _DegradedPair:
    """A noisy image and its reference.

    Attributes:
        source: path of the input image below the input folder.
        reference, noisy: paths of the written images below OUT.
        parameters: parameters of the noise.
        psnr: PSNR of the noisy image in decibels; infinite for equal images.
    """

    source: str
    reference: str
    noisy: str
    parameters: NoiseParameters
    psnr: float


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Degradation job: the path of one image below the folder, and the paths of its two output files below OUT."""

    source: str
    reference: str
    noisy: str
    noise_type: NoiseType


def degrade_folder(
    folder: Path,
    out: Path,
    *,
    seed: int,
    ranges: Mapping[NoiseType, NoiseRange] = DEFAULT_NOISE_RANGES,
    jpeg_quality: int | None = 80,
    progress: ProgressCallback | None = None,
) -> DegradationResult:
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
    _require_valid_options(seed, ranges, jpeg_quality)
    others = OtherFileCounts()
    sources, parts, missing = _find_sources(folder, others)
    failures: list[tuple[str, str]] = [(path, "listed in parts.csv, but there is no such image") for path in missing]
    pairs: list[_DegradedPair] = []
    noise_types = [kind for kind in _SHEET_NOISE_NAMES if kind in ranges]
    jobs = _make_jobs(sources, seed, noise_types, ".png" if jpeg_quality is None else ".jpeg")
    try:
        _require_output(folder, out)
        for done, job in enumerate(jobs, start=1):
            try:
                pairs.append(_degrade_file(folder, out, job, ranges[job.noise_type], seed, jpeg_quality))
            except PictureError as error:
                failures.append((job.source, str(error)))
            if progress is not None:
                progress(done, len(jobs))
        labels, written = _write_tables(out, pairs, failures, parts)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error}); free disk space or choose another folder") from None
    return DegradationResult(labels=labels, written=written, failures=tuple(failures), others=others)


def _require_valid_options(seed: int, ranges: Mapping[NoiseType, NoiseRange], jpeg_quality: int | None) -> None:
    if seed < 0:
        raise RecipeError(f"expected a seed of 0 or more, got {seed}")
    if not ranges or not set(ranges) <= set(_SHEET_NOISE_NAMES):
        raise RecipeError(
            f"expected noise types from {', '.join(_SHEET_NOISE_NAMES)}, got {', '.join(ranges) or 'nothing'}"
        )
    for kind, noise_range in ranges.items():
        expected = type(DEFAULT_NOISE_RANGES[kind])
        if not isinstance(noise_range, expected):
            raise RecipeError(f"range of {kind}: expected a {expected.__name__}, got a {type(noise_range).__name__}")
    if jpeg_quality is not None:
        require_jpeg_quality(jpeg_quality)


def _require_output(folder: Path, out: Path) -> None:
    if out.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{out}: lies inside the input folder {folder}; choose a folder outside of it")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: expected a new or empty folder, got a file")
    if out.is_dir() and any(out.iterdir()):
        raise OutputError(f"{out}: is not empty; choose a new folder or empty this one")


def _find_sources(folder: Path, others: OtherFileCounts) -> tuple[list[str], dict[str, str], list[str]]:
    """Return the images to use, the part of each, and the images that ``parts.csv`` lists but that do not exist."""
    if not folder.is_dir():
        raise PictureError(PictureFault.MISSING, f"{folder}: no such folder; expected a folder of images")
    sources = [path.relative_to(folder).as_posix() for path in find_image_files(folder, others)]
    missing: list[str] = []
    listed = _read_parts_table(folder / "parts.csv")
    if listed:
        sources, missing = [path for path in sources if path in listed], sorted(listed.keys() - set(sources))
    else:  # the folder may be ``pictures``, beside a parts.csv
        prefix = f"{folder.resolve().name}/"
        beside = _read_parts_table(folder.resolve().parent / "parts.csv")
        listed = {path.removeprefix(prefix): part for path, part in beside.items() if path.startswith(prefix)}
    if not sources:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        left_out = f". {others.sentence}" if others.counts else ""
        raise PictureError(PictureFault.MISSING, f"{folder}: no images found; expected files in {suffixes}{left_out}")
    return sources, listed, missing


def _read_parts_table(table: Path) -> dict[str, str]:
    """Read the part of each path from a ``parts.csv``; empty if there is no such table, or it has other columns.

    Raises:
        SheetError: the table cannot be read.
    """
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if not {"path", "part"} <= set(rows.fieldnames or ()):
                return {}
            return {row["path"]: row["part"] for row in rows if row["path"] and row["part"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SheetError(
            f"{table}: cannot be read ({error}); expected CSV in UTF-8 with the columns path, part"
        ) from None


def _make_jobs(sources: Sequence[str], seed: int, noise_types: Sequence[NoiseType], suffix: str) -> list[_Job]:
    paths = [PurePosixPath(source) for source in sources]
    names = Counter(key for path in paths for key in {_name_key(path, path.name), _name_key(path, path.stem)})
    shuffled = sorted(sources, key=lambda source: _derive_seed(seed, source, "type"))
    noise_type_of_source = {source: noise_types[index % len(noise_types)] for index, source in enumerate(shuffled)}

    def noisy_name(path: PurePosixPath) -> str:
        # A stem is used if no other image has it as its stem or full name; full names are distinct.
        return (path.name if names[_name_key(path, path.stem)] > 1 else path.stem) + suffix

    return [
        _Job(
            source=source,
            reference=f"{REFERENCE_FOLDER}/{source}",
            noisy=f"{NOISY_FOLDER}/{path.with_name(noisy_name(path)).as_posix()}",
            noise_type=noise_type_of_source[source],
        )
        for source, path in zip(sources, paths, strict=True)
    ]


def _name_key(path: PurePosixPath, name: str) -> tuple[PurePosixPath, str]:
    return path.parent, name.casefold()  # on some file systems A.png and a.png are the same file


def _derive_seed(seed: int, *words: str) -> int:
    text = "\n".join((str(seed), *words)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest())


def _degrade_file(
    folder: Path, out: Path, job: _Job, noise_range: NoiseRange, seed: int, jpeg_quality: int | None
) -> _DegradedPair:
    """Write one pair. Its PSNR is measured on the noisy image decoded from the encoded file."""
    _require_supported_name(job.source)
    data = imaging.read_image_bytes(folder / job.source)
    channels = Channels.GREY if imaging.probe_image(data, job.source).is_grey else Channels.RGB
    reference = imaging.decode_image(data, channels, job.source)
    rng = np.random.default_rng(_derive_seed(seed, job.source, job.noise_type))
    parameters = sample_noise(noise_range, rng, reference.shape)
    noisy = corrupt_image(reference, parameters, rng)
    encoded = _encode(noisy, job, jpeg_quality or 100)
    _write_pair({out / job.reference: data, out / job.noisy: encoded}, job)
    psnr = _psnr(reference, imaging.decode_image(encoded, channels, job.noisy))
    return _DegradedPair(source=job.source, reference=job.reference, noisy=job.noisy, parameters=parameters, psnr=psnr)


def _encode(noisy: ImageArray, job: _Job, jpeg_quality: int) -> bytes:
    try:
        return imaging.encode_image(noisy, PurePosixPath(job.noisy).suffix, jpeg_quality=jpeg_quality)
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


def _require_supported_name(source: str) -> None:
    if _UNSUPPORTED_CHARACTERS.search(source):
        raise PictureError(
            PictureFault.UNSUPPORTED, f"{source!a}: the name has characters that a sheet cannot store; rename the file"
        )


def _psnr(reference: ImageArray, noisy: ImageArray) -> float:
    """Compute the PSNR in decibels, ``10 log10(255^2 / MSE)``; infinite for equal images."""
    error = float(np.mean(np.square(reference.astype(np.float32) - noisy), dtype=np.float64))
    return 10 * float(np.log10(255**2 / error)) if error else float("inf")


def _write_tables(
    out: Path, pairs: Sequence[_DegradedPair], failures: Sequence[tuple[str, str]], parts: Mapping[str, str]
) -> tuple[Path, dict[NoiseType, int]]:
    """Write the tables, ``Labels.xlsx`` last; return its path, and the number of images by noise type."""
    out.mkdir(parents=True, exist_ok=True)
    if failures:
        _write_escaped_csv(out / "errors.csv", ("path", "error"), failures)
    if not pairs:
        raise PictureError(
            PictureFault.UNREADABLE, f"none of {len(failures)} images can be used; see {out / 'errors.csv'}"
        )
    labels = _write_degraded_tables(out, pairs, parts)
    return labels, dict(Counter(noise_type_of(pair.parameters) for pair in pairs))


def _write_degraded_tables(out: Path, pairs: Sequence[_DegradedPair], parts: Mapping[str, str]) -> Path:
    """Write ``levels.csv``, ``groups.csv`` if ``parts`` (source to part) is not empty, and ``Labels.xlsx`` last.

    Returns:
        The path of ``Labels.xlsx``.

    Raises:
        OSError: a table cannot be written.
    """
    _write_escaped_csv(out / "levels.csv", NOISE_LEVEL_COLUMNS, map(_parameters_row, pairs))
    groups = [(pair.noisy, parts[pair.source]) for pair in pairs if pair.source in parts]
    if groups:
        _write_escaped_csv(out / "groups.csv", ("path", "group"), groups)
    labels = out / "Labels.xlsx"
    _write_labels(labels, pairs)
    return labels


def _write_escaped_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV table; file names that are not valid Unicode are escaped, see ``escape_name``.

    Raises:
        OSError: the table cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    return protect_cell(escape_name(value)) if isinstance(value, str) else value


def _parameters_row(pair: _DegradedPair) -> list[object]:
    """Return one row of ``NOISE_LEVEL_COLUMNS``; of several waves, the columns describe the strongest."""
    noise_type = noise_type_of(pair.parameters)
    row: dict[str, object] = {"noisy": pair.noisy, "noise_type": noise_type.value, "psnr_db": f"{pair.psnr:.3f}"}
    row |= noise_type.specification.table_cells(pair.parameters)
    row |= {"level_json": json.dumps(asdict(pair.parameters))}
    return [row.get(column, "") for column in NOISE_LEVEL_COLUMNS]


def _write_labels(path: Path, pairs: Iterable[_DegradedPair]) -> None:
    """Write the sheet. Every path begins with the name of its folder, so none can be evaluated as a formula."""
    rows = [(pair.reference, _SHEET_NOISE_NAMES[noise_type_of(pair.parameters)], pair.noisy) for pair in pairs]
    table = pd.DataFrame(rows, columns=list(_SHEET_COLUMNS))
    with replace_file(path) as temporary:
        table.to_excel(temporary, sheet_name="Labels", index=False, engine="openpyxl")
