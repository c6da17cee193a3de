"""The rows of a sheet that bundles did not learn from: only these say what a bundle is worth."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from rich.console import Console

from clearcast import imaging
from clearcast.cells import restore_cell
from clearcast.data.groups import group_rows
from clearcast.data.groups.given import known_parts
from clearcast.data.sheet import Row
from clearcast.data.usable import Rows
from clearcast.domain import Subset
from clearcast.errors import OutputError, SheetError
from clearcast.imaging import Channels, Picture
from clearcast.progress import progress_bar
from clearcast.runtime.golden import GOLDEN, read_golden
from clearcast.runtime.package import Package

_SPLIT = "split.csv"


@dataclass(frozen=True, kw_only=True)
class Unlearned:
    """The rows to measure on.

    Attributes:
        rows: none of the bundles learned from them, or chose anything by them.
        parts: the part that each shows.
        learned: of each bundle, how many of the sheet's rows it learned from or chose by.
    """

    rows: tuple[Row, ...]
    parts: tuple[str, ...]
    learned: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """A line of a bundle's split."""

    noisy: str
    part: str
    taught: bool
    sha256: str


def unlearned(packages: Sequence[Package], rows: Rows, groups: Path | None, console: Console) -> Unlearned:
    """Leave out what bundles learned from.

    A bundle lists its rows in ``split.csv``, and knows their pictures, byte for byte, under any name. It knows a sheet
    by its SHA-256; and where that was saved anew, cut or joined with others, by its golden pictures, which it learned
    from: if one of them, pixel by pixel, is the picture of a row whose path it lists, all rows whose paths it lists are
    those it knows. Other pictures of the same names are not taken for them.

    Args:
        packages: the bundles.
        rows: those of a sheet that can be used.
        groups: see ``read_groups``; None: as a bundle lists them that knows all rows, else by the sheet's column, or
            found.
        console: shows progress.

    Raises:
        OutputError: a bundle is damaged.
        SheetError: no row is left, or the groups cannot be used.
    """
    known = [_known(package, rows) for package in packages]
    learned = [{place for place, lines in each.items() if any(line.taught for line in lines)} for each in known]
    places = [place for place in range(len(rows.sheet.rows)) if not any(place in each for each in learned)]
    if not places:
        names = " and ".join(package.name for package in packages)
        raise SheetError(
            f"{rows.sheet.path}: {names} learned from all of its rows, which says nothing of other parts; needed are "
            "pictures of others"
        )
    fresh = replace(rows, sheet=replace(rows.sheet, rows=tuple(rows.sheet.rows[place] for place in places)))
    parts = None if groups else next((_parts(each, places) for each in known if each.keys() >= set(places)), None)
    return Unlearned(
        rows=fresh.sheet.rows,
        parts=parts or _looked_for(fresh, groups, console),
        learned=tuple(map(len, learned)),
    )


def _parts(known: dict[int, list[_Listed]], places: Iterable[int]) -> tuple[str, ...]:
    return tuple(known[place][0].part for place in places)


def _looked_for(rows: Rows, groups: Path | None, console: Console) -> tuple[str, ...]:
    def find() -> tuple[str, ...]:
        with progress_bar(console, "Looking for pictures of one part") as progress:
            return group_rows(rows.sheet, rows.facts, progress=progress)

    return known_parts(rows.sheet, groups, find).of_rows


def _known(package: Package, rows: Rows) -> dict[int, list[_Listed]]:
    """What a bundle lists of the rows, by their places; nothing where these are other pictures."""
    same = package.manifest["trained_on"]["sheet_sha256"] == rows.sheet.sha256
    if not same and _SPLIT not in package.names():
        return {}
    named, hashed = defaultdict(list), defaultdict(list)
    for line in _listed(package):
        named[PurePosixPath(line.noisy).name].append(line)
        hashed[line.sha256].append(line)
    copies = [hashed.get(sha256, []) for sha256 in rows.hashes()["noisy"]]
    by_path = {place: _of_path(row.noisy, named) for place, row in enumerate(rows.sheet.rows)}
    by_path = {place: lines for place, lines in by_path.items() if lines}
    by_path = by_path if same or _shows_golden(package, rows, by_path) else {}
    known = {place: [*by_path.get(place, []), *lines] for place, lines in enumerate(copies)}
    return {place: lines for place, lines in known.items() if lines}


def _of_path(path: str, named: dict[str, list[_Listed]]) -> list[_Listed]:
    """The lines of a picture: of its path or, as the sheet may lie elsewhere now, of one that ends so."""
    near = named.get(PurePosixPath(path).name, [])
    exact = [line for line in near if line.noisy == path]
    return exact or [line for line in near if f"/{line.noisy}".endswith(f"/{path}") or path.endswith(f"/{line.noisy}")]


def _listed(package: Package) -> list[_Listed]:
    try:
        lines = csv.DictReader(io.StringIO(package.read(_SPLIT).decode("utf-8"), newline=""))
        return [
            _Listed(
                noisy=restore_cell(line["noisy"]),
                part=restore_cell(line["part"]),
                taught=Subset(line["split"]) is not Subset.TEST,
                sha256=line.get("sha256") or "of no picture",  # bundles of before did not say
            )
            for line in lines
        ]
    except (KeyError, ValueError, csv.Error) as error:
        raise OutputError(f"{package.path}: its {_SPLIT} cannot be read ({error}); make the bundle again") from None


def _shows_golden(package: Package, rows: Rows, known: dict[int, list[_Listed]]) -> bool:
    """Whether a golden picture of the bundle is the noisy picture of a row that it learned from, if paths are right."""
    taught = [place for place, lines in known.items() if any(line.taught for line in lines)]
    if not taught or GOLDEN not in package.names():
        return False
    channels = Channels(package.manifest["trained_on"]["channels"])
    entries = read_golden(package)
    golden = [imaging.decode(package.read(entry["file"]), channels, entry["file"]) for entry in entries]
    pictures = (imaging.load(rows.sheet.resolve(rows.sheet.rows[place].noisy), channels) for place in taught)
    return any(_is_middle(each, picture) for picture in pictures for each in golden)


def _is_middle(golden: Picture, picture: Picture) -> bool:
    """Whether the middle of a picture is a golden one; that is the whole, but for large pictures."""
    height, width = golden.shape[:2]
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return min(top, left) >= 0 and np.array_equal(picture[top : top + height, left : left + width], golden)
