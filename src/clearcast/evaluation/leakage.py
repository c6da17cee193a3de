"""Leakage check: held-out rows of a sheet, which no bundle was trained on; only these measure a bundle fairly."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from rich.console import Console

from clearcast.bundle.archive import BundlePackage
from clearcast.core import imaging
from clearcast.core.console import show_progress
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import OutputError, SheetError
from clearcast.core.spreadsheets import restore_cell
from clearcast.data.groups import detect_row_groups
from clearcast.data.groups.row_groups import resolve_row_parts
from clearcast.data.sheet import SheetRow
from clearcast.data.validation import UsableRows
from clearcast.inference.verification import GOLDEN_FILE, read_golden_samples
from clearcast.types import Subset

_SPLIT_FILE = "split.csv"


@dataclass(frozen=True, kw_only=True)
class HeldOutRows:
    """Held-out rows.

    Attributes:
        rows: no bundle was trained on them, or used them to choose anything.
        parts: the part that each row shows.
        used: how many rows of the sheet each bundle used for training or for choosing.
    """

    rows: tuple[SheetRow, ...]
    parts: tuple[str, ...]
    used: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _SplitRow:
    """A row of a bundle's ``split.csv``; ``used``: for training or for choosing."""

    noisy: str
    part: str
    used: bool
    sha256: str


def find_held_out_rows(
    packages: Sequence[BundlePackage], rows: UsableRows, groups: Path | None, console: Console
) -> HeldOutRows:
    """Find the held-out rows of a sheet: those that the bundles were not trained on.

    A bundle lists its rows in ``split.csv`` with the SHA-256 of their images, which are found under any name. Rows are
    also found by path, if the sheet has the SHA-256 of the training sheet or, after it was edited, if a golden sample
    of the bundle is, pixel by pixel, the image of a row whose path is listed. Other images of the same names are not
    mistaken for them.

    Args:
        packages: the bundles.
        rows: the usable rows of the sheet.
        groups: file of groups, see ``read_groups_file``; None: those of a bundle that lists all rows, else the sheet's
            column, or found by similarity.
        console: shows progress.

    Raises:
        OutputError: a bundle is damaged.
        SheetError: no row is left, or the groups cannot be used.
    """
    known = [_known_rows(package, rows) for package in packages]
    used = [{index for index, matches in each.items() if any(row.used for row in matches)} for each in known]
    indices = [index for index in range(len(rows.sheet.rows)) if not any(index in each for each in used)]
    if not indices:
        names = " and ".join(package.name for package in packages)
        raise SheetError(
            f"{rows.sheet.path}: {names} {'was' if len(packages) == 1 else 'were'} trained on all of its rows; use a "
            "sheet with images of other parts"
        )
    held_out = replace(rows, sheet=replace(rows.sheet, rows=tuple(rows.sheet.rows[index] for index in indices)))
    parts = (
        None if groups else next((_listed_parts(each, indices) for each in known if each.keys() >= set(indices)), None)
    )
    return HeldOutRows(
        rows=held_out.sheet.rows,
        parts=parts or _detect_parts(held_out, groups, console),
        used=tuple(map(len, used)),
    )


def _listed_parts(known: dict[int, list[_SplitRow]], indices: Iterable[int]) -> tuple[str, ...]:
    return tuple(known[index][0].part for index in indices)


def _detect_parts(rows: UsableRows, groups: Path | None, console: Console) -> tuple[str, ...]:
    def detect() -> tuple[str, ...]:
        with show_progress(console, "Grouping images by part") as progress:
            return detect_row_groups(rows.sheet, rows.metadata, progress=progress).of_rows

    return resolve_row_parts(rows.sheet, groups, detect).of_rows


def _known_rows(package: BundlePackage, rows: UsableRows) -> dict[int, list[_SplitRow]]:
    """Find the split rows of the images that a bundle knows, by their indices in the sheet."""
    same_sheet = package.manifest["trained_on"]["sheet_sha256"] == rows.sheet.sha256
    if not same_sheet and _SPLIT_FILE not in package.names():
        return {}
    by_name, by_sha256 = defaultdict(list), defaultdict(list)
    for row in _read_split(package):
        by_name[PurePosixPath(row.noisy).name].append(row)
        by_sha256[row.sha256].append(row)
    copies = [by_sha256.get(sha256, []) for sha256 in rows.hashes()["noisy"]]
    by_path = {index: _rows_of_path(row.noisy, by_name) for index, row in enumerate(rows.sheet.rows)}
    by_path = {index: matches for index, matches in by_path.items() if matches}
    by_path = by_path if same_sheet or _shows_golden(package, rows, by_path) else {}
    known = {index: [*by_path.get(index, []), *matches] for index, matches in enumerate(copies)}
    return {index: matches for index, matches in known.items() if matches}


def _rows_of_path(path: str, by_name: dict[str, list[_SplitRow]]) -> list[_SplitRow]:
    """Find the split rows of a path or, since the sheet may have moved, of paths that end like it."""
    candidates = by_name.get(PurePosixPath(path).name, [])
    exact = [row for row in candidates if row.noisy == path]
    return exact or [
        row for row in candidates if f"/{row.noisy}".endswith(f"/{path}") or path.endswith(f"/{row.noisy}")
    ]


def _read_split(package: BundlePackage) -> list[_SplitRow]:
    try:
        lines = csv.DictReader(io.StringIO(package.read(_SPLIT_FILE).decode("utf-8"), newline=""))
        return [
            _SplitRow(
                noisy=restore_cell(line["noisy"]),
                part=restore_cell(line["part"]),
                used=Subset(line["split"]) is not Subset.TEST,
                sha256=line.get("sha256") or "unknown",  # bundles may lack this column
            )
            for line in lines
        ]
    except (KeyError, ValueError, csv.Error) as error:
        raise OutputError(f"{package.path}: {_SPLIT_FILE} cannot be read ({error}); recreate the bundle") from None


def _shows_golden(package: BundlePackage, rows: UsableRows, known: dict[int, list[_SplitRow]]) -> bool:
    """Check whether a golden sample of the bundle is the noisy image of a row that it was trained on by path."""
    trained = [index for index, matches in known.items() if any(row.used for row in matches)]
    if not trained or GOLDEN_FILE not in package.names():
        return False
    channels = Channels(package.manifest["trained_on"]["channels"])
    entries = read_golden_samples(package)
    golden = [imaging.decode_image(package.read(entry["file"]), channels, entry["file"]) for entry in entries]
    images = (imaging.load_image(rows.sheet.resolve(rows.sheet.rows[index].noisy), channels) for index in trained)
    return any(_is_crop(each, image) for image in images for each in golden)


def _is_crop(golden: ImageArray, image: ImageArray) -> bool:
    """Check whether a golden sample is the central crop of an image, or the whole of a small one."""
    height, width = golden.shape[:2]
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return min(top, left) >= 0 and np.array_equal(image[top : top + height, left : left + width], golden)
