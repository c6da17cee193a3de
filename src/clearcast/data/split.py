"""Which rows train, which choose and which test: one split for all stages, saved and reusable."""

import csv
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from clearcast.data.sheet import Row
from clearcast.errors import SheetError
from clearcast.files import replace_file


class Subset(StrEnum):
    """What a row is used for. ``VALIDATION`` rows stop training early; they are neither trained on nor reported."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, kw_only=True)
class Split:
    """The subset of each row, in the order of the sheet, and how it was made, in one sentence."""

    subsets: tuple[Subset, ...]
    description: str

    def rows(self, subset: Subset) -> list[int]:
        """The indices of a subset's rows, ascending."""
        return [index for index, member in enumerate(self.subsets) if member is subset]


def random_split(strata: Sequence[Hashable], *, test_share: float, validation_share: float, seed: int) -> Split:
    """Divide rows at random, each stratum in the same proportion as far as whole rows allow.

    Copies of one part may land on both sides: that is how the published figures were made, and why they flatter.

    Args:
        strata: one value a row, such as (label, noise type).
        test_share: share of all rows that test, in 0..1; the number of rows is rounded.
        validation_share: share of the other rows that choose, in 0..1.
        seed: the same seed and strata give the same split.

    Raises:
        SheetError: there are too few rows to train and to test.
    """
    rng = np.random.default_rng(seed)
    everything = np.arange(len(strata))
    test = _draw(everything, strata, round(len(strata) * test_share), rng)
    rest = np.setdiff1d(everything, test)
    validation = _draw(rest, strata, round(len(rest) * validation_share), rng)
    if not len(test) or len(rest) == len(validation):
        raise SheetError(f"{len(strata)} rows are too few to divide; needed is at least one to train and one to test")
    testing, choosing = set(test.tolist()), set(validation.tolist())
    subsets = tuple(
        Subset.TEST if row in testing else Subset.VALIDATION if row in choosing else Subset.TRAIN
        for row in range(len(strata))
    )
    kept = f", of the others {validation_share:.0%} to choose by" if validation_share else ""
    return Split(
        subsets=subsets,
        description=f"random, {test_share:.0%} to test{kept}, stratified by label and noise type, seed {seed}",
    )


def save_split(split: Split, rows: Sequence[Row], path: Path) -> None:
    """Write ``row, noisy, split``: one line a row, with the spreadsheet's row number."""
    with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "noisy", "split"])
        writer.writerows((row.number, row.noisy, subset.value) for row, subset in zip(rows, split.subsets, strict=True))


def load_split(path: Path, rows: Sequence[Row], description: str) -> Split:
    """Read what ``save_split`` wrote.

    Raises:
        SheetError: the file cannot be read as a split, or lists other pictures than ``rows``.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            listed = [(line["noisy"], Subset(line["split"])) for line in csv.DictReader(file)]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise SheetError(f"{path}: cannot be read as a split ({error}); start a new run") from None
    if [noisy for noisy, _ in listed] != [row.noisy for row in rows]:
        raise SheetError(f"{path}: the split lists other pictures than the sheet; start a new run")
    return Split(subsets=tuple(subset for _, subset in listed), description=description)


def _draw(rows: np.ndarray, strata: Sequence[Hashable], count: int, rng: np.random.Generator) -> np.ndarray:
    """Take ``count`` of the rows evenly from a shuffled list sorted by stratum: each gives its share, to within one."""
    order = rng.permutation(rows)
    keys = [repr(strata[row]) for row in order]
    order = order[np.argsort(keys, kind="stable")]
    places = np.floor((np.arange(count) + rng.random()) * len(order) / max(count, 1)).astype(int)
    return np.sort(order[places])
