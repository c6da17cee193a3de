"""Leakage check: the rows of a sheet that bundles were not trained on; only these measure a bundle fairly."""

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

_SPLIT = "split.csv"


@dataclass(frozen=True, kw_only=True)
class HeldOutRows:
    """Held-out rows.

    Attributes:
        rows: no bundle was trained on them, or used them to choose anything.
        parts: the part that each row shows.
        learned: how many rows of the sheet each bundle used for training or for choosing.
    """

    rows: tuple[SheetRow, ...]
    parts: tuple[str, ...]
    learned: tuple[int, ...]


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
    """Return the held-out rows of a sheet, without those that the bundles were trained on.

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
    learned = [{place for place, lines in each.items() if any(line.used for line in lines)} for each in known]
    places = [place for place in range(len(rows.sheet.rows)) if not any(place in each for each in learned)]
    if not places:
        names = " and ".join(package.name for package in packages)
        raise SheetError(
            f"{rows.sheet.path}: {names} {'was' if len(packages) == 1 else 'were'} trained on all of its rows; use a "
            "sheet with images of other parts"
        )
    fresh = replace(rows, sheet=replace(rows.sheet, rows=tuple(rows.sheet.rows[place] for place in places)))
    parts = None if groups else next((_parts(each, places) for each in known if each.keys() >= set(places)), None)
    return HeldOutRows(
        rows=fresh.sheet.rows,
        parts=parts or _find_parts(fresh, groups, console),
        learned=tuple(map(len, learned)),
    )


def _parts(known: dict[int, list[_SplitRow]], places: Iterable[int]) -> tuple[str, ...]:
    return tuple(known[place][0].part for place in places)


def _find_parts(rows: UsableRows, groups: Path | None, console: Console) -> tuple[str, ...]:
    def find() -> tuple[str, ...]:
        with show_progress(console, "Grouping images by part") as progress:
            return detect_row_groups(rows.sheet, rows.metadata, progress=progress).of_rows

    return resolve_row_parts(rows.sheet, groups, find).of_rows


def _known_rows(package: BundlePackage, rows: UsableRows) -> dict[int, list[_SplitRow]]:
    """Return the split rows of the images that a bundle knows, by their places in the sheet."""
    same = package.manifest["trained_on"]["sheet_sha256"] == rows.sheet.sha256
    if not same and _SPLIT not in package.names():
        return {}
    named, hashed = defaultdict(list), defaultdict(list)
    for line in _read_split(package):
        named[PurePosixPath(line.noisy).name].append(line)
        hashed[line.sha256].append(line)
    copies = [hashed.get(sha256, []) for sha256 in rows.hashes()["noisy"]]
    by_path = {place: _of_path(row.noisy, named) for place, row in enumerate(rows.sheet.rows)}
    by_path = {place: lines for place, lines in by_path.items() if lines}
    by_path = by_path if same or _shows_golden(package, rows, by_path) else {}
    known = {place: [*by_path.get(place, []), *lines] for place, lines in enumerate(copies)}
    return {place: lines for place, lines in known.items() if lines}


def _of_path(path: str, named: dict[str, list[_SplitRow]]) -> list[_SplitRow]:
    """Return the split rows of a path or, since the sheet may have moved, of paths that end like it."""
    near = named.get(PurePosixPath(path).name, [])
    exact = [line for line in near if line.noisy == path]
    return exact or [line for line in near if f"/{line.noisy}".endswith(f"/{path}") or path.endswith(f"/{line.noisy}")]


def _read_split(package: BundlePackage) -> list[_SplitRow]:
    try:
        lines = csv.DictReader(io.StringIO(package.read(_SPLIT).decode("utf-8"), newline=""))
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
        raise OutputError(f"{package.path}: {_SPLIT} cannot be read ({error}); recreate the bundle") from None


def _shows_golden(package: BundlePackage, rows: UsableRows, known: dict[int, list[_SplitRow]]) -> bool:
    """Return whether a golden sample of the bundle is the noisy image of a row that it was trained on by path."""
    trained = [place for place, lines in known.items() if any(line.used for line in lines)]
    if not trained or GOLDEN_FILE not in package.names():
        return False
    channels = Channels(package.manifest["trained_on"]["channels"])
    entries = read_golden_samples(package)
    golden = [imaging.decode_image(package.read(entry["file"]), channels, entry["file"]) for entry in entries]
    images = (imaging.load_image(rows.sheet.resolve(rows.sheet.rows[place].noisy), channels) for place in trained)
    return any(_is_crop(each, image) for image in images for each in golden)


def _is_crop(golden: ImageArray, image: ImageArray) -> bool:
    """Return whether a golden sample is the central crop of an image, or the whole of a small one."""
    height, width = golden.shape[:2]
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return min(top, left) >= 0 and np.array_equal(image[top : top + height, left : left + width], golden)
