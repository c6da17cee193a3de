"""Train/validation/test splits: random, by whole parts (group split), by fold, by column or saved; with leakage.

The stratified group split assigns whole parts to bins of given shares, as balanced as whole parts allow.
"""

import csv
import io
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearcast.core.errors import SheetError
from clearcast.core.files import replace_file
from clearcast.core.spreadsheets import protect_cell, restore_cell
from clearcast.data.sheet import SheetRow
from clearcast.types import Subset

StratumTuples = Sequence[tuple[Hashable, ...]]
_Floats = NDArray[np.float64]
_RowIndices = NDArray[np.int64]

_TRIALS = 20  # random orders of assignment, of which the best is kept
_MAX_ASSIGNED = 20_000  # parts assigned in all trials together; with many parts, one trial is nearly balanced


@dataclass(frozen=True, kw_only=True)
class Split:
    """Train/validation/test split: the subset of each row, in the order of the sheet, and a description."""

    subsets: tuple[Subset, ...]
    description: str

    def rows(self, subset: Subset) -> list[int]:
        """Return the indices of a subset's rows, ascending."""
        return [index for index, member in enumerate(self.subsets) if member is subset]

    def leaked(self, *keys: Sequence[Hashable], into: Subset, known: Subset = Subset.TRAIN) -> list[int]:
        """Find leaked rows: those of subset ``into`` that share a key with a row of subset ``known``.

        Args:
            keys: sequences with one key per row, which copies share: the part, or the hash of an image.
            into: the subset that must be independent.
            known: the subset used for training.
        """
        known_keys = {each[row] for row in self.rows(known) for each in keys}
        return [row for row in self.rows(into) if any(each[row] in known_keys for each in keys)]


def make_random_split(strata: Sequence[Hashable], *, test_share: float, validation_share: float, seed: int) -> Split:
    """Split rows at random, stratified as far as whole rows allow.

    Images of one part can be in several subsets (leakage), so the metrics are too optimistic. The published figures use
    such a split.

    Args:
        strata: one value per row, such as (label, noise type).
        test_share: share of all rows in the test subset, 0..1; the number of rows is rounded.
        validation_share: share of the other rows in the validation subset, 0..1.
        seed: the same seed and strata give the same split.

    Raises:
        SheetError: there are too few rows for a training and a test subset.
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(len(strata))
    test = _draw_stratified(rows, strata, round(len(strata) * test_share), rng)
    rest = np.setdiff1d(rows, test)
    validation = _draw_stratified(rest, strata, round(len(rest) * validation_share), rng)
    if not len(test) or len(rest) == len(validation):
        raise SheetError(f"{len(strata)} rows are too few to split; expected at least one to train and one to test")
    validated = f", of the others {validation_share:.0%} to validate" if validation_share else ""
    return Split(
        subsets=_to_subsets(len(strata), validation, test),
        description=f"random, {test_share:.0%} to test{validated}, stratified by label and noise type, seed {seed}",
    )


def make_grouped_split(
    parts: Sequence[str], strata: StratumTuples, *, test_share: float, validation_share: float, seed: int
) -> Split:
    """Split by whole parts, so that no part is in two subsets; stratified as far as whole parts allow.

    Args:
        parts: the part of each row.
        strata: the stratification values of each row, such as (label, noise type), balanced jointly and separately.
        test_share: share of all rows in the test subset, 0..1, as nearly as whole parts allow.
        validation_share: share of the other rows in the validation subset, 0..1.
        seed: the same seed, parts and strata give the same split.

    Raises:
        SheetError: there are too few parts.
    """
    bins = assign_groups(parts, strata, shares=(1 - test_share, test_share), seed=seed)
    return _make_grouped_split(
        parts, strata, np.flatnonzero(bins == 1), validation_share=validation_share, seed=seed, method="by whole parts"
    )


def make_fold_split(
    parts: Sequence[str], strata: StratumTuples, *, folds: int, fold: int, validation_share: float, seed: int
) -> Split:
    """Return one fold of a cross-validation by whole parts: each row is in the test subset of exactly one fold.

    Args:
        parts: the part of each row.
        strata: the stratification values of each row; see ``make_grouped_split``.
        folds: number of folds, at least 2.
        fold: number of this fold, from 1.
        validation_share: share of the rows outside the test subset that go into the validation subset.
        seed: the same for all folds.

    Raises:
        SheetError: there are too few parts.
    """
    if len(set(parts)) < folds:
        raise SheetError(f"{folds} folds require {folds} parts, got {len(set(parts))}; use fewer --folds")
    bins = assign_groups(parts, strata, shares=(1 / folds,) * folds, seed=seed)
    method = f"fold {fold} of {folds}, by whole parts"
    return _make_grouped_split(
        parts, strata, np.flatnonzero(bins == fold - 1), validation_share=validation_share, seed=seed, method=method
    )


def make_column_split(rows: Sequence[SheetRow], column: str) -> Split:
    """Split by a column of the sheet.

    Raises:
        SheetError: there is no row for training or none for testing.
    """
    subsets = tuple(row.subset for row in rows if row.subset)
    _require_train_and_test(subsets, f"the column {column!r}")
    return Split(subsets=subsets, description=f"as the sheet's column {column!r} says")


def reuse_saved_split(path: Path, rows: Sequence[SheetRow]) -> Split:
    """Split by the ``split.csv`` of a run.

    Raises:
        SheetError: see ``load_split``; or there is no row for training or none for testing.
    """
    split, _ = load_split(path, rows)
    _require_train_and_test(split.subsets, str(path))
    return split


def save_split(
    split: Split, rows: Sequence[SheetRow], parts: Sequence[str], path: Path, *, hashes: Sequence[str] | None = None
) -> None:
    """Write a split as CSV: ``row, noisy, part, split``, with the spreadsheet's row number and protected cells.

    ``hashes``, the SHA-256 of each row's noisy image, are written to a column ``sha256``, which identifies copies under
    other names.
    """
    with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "noisy", "part", "split", *(["sha256"] if hashes else [])])
        for index, (row, part, subset) in enumerate(zip(rows, parts, split.subsets, strict=True)):
            texts = [protect_cell(text) for text in (row.noisy, part)]
            writer.writerow([row.number, *texts, subset.value, *([hashes[index]] if hashes else [])])


def load_split(path: Path, rows: Sequence[SheetRow]) -> tuple[Split, tuple[str, ...]]:
    """Read a split that ``save_split`` wrote, and the part of each row.

    Raises:
        SheetError: the file cannot be read as a split, or lists other images than ``rows``.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise _unreadable_split_error(path, error) from None
    return _parse_split_file(text, rows, path)


def _parse_split_file(text: str, rows: Sequence[SheetRow], path: Path) -> tuple[Split, tuple[str, ...]]:
    """Parse a split from the content of its file; ``path`` is used in messages."""
    try:
        lines = csv.DictReader(io.StringIO(text, newline=""))
        listed = [(restore_cell(line["noisy"]), restore_cell(line["part"]), Subset(line["split"])) for line in lines]
    except (KeyError, ValueError, csv.Error) as error:
        raise _unreadable_split_error(path, error) from None
    if [noisy for noisy, _, _ in listed] != [row.noisy for row in rows]:
        raise SheetError(f"{path}: the split lists other images than the sheet; start a new run with another split")
    split = Split(subsets=tuple(subset for _, _, subset in listed), description=f"as {path.name} lists it")
    return split, tuple(part for _, part, _ in listed)


def _unreadable_split_error(path: Path, error: Exception) -> SheetError:
    return SheetError(
        f"{path}: cannot be read as a split ({error}); expected the split.csv of a run, with the columns row, noisy, "
        "part, split; or start a new run"
    )


def assign_groups(
    parts: Sequence[str], strata: StratumTuples, *, shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Assign each row to a bin, all rows of a part to the same one.

    Large parts are assigned first, each to the bin that then differs least from its share of the rows and of the parts:
    in total, for each stratification value, and for each combination of values. This is the greedy algorithm of
    scikit-learn's StratifiedGroupKFold, for bins of unequal shares.

    Args:
        parts: the part of each row.
        strata: the stratification values of each row, such as (label, noise type).
        shares: the share of each bin, above 0 and summing to 1.
        seed: seed of the order of parts of similar size.

    Returns:
        int64 (rows,), indices into ``shares``.

    Raises:
        SheetError: there are fewer parts than bins.
    """
    numbers = {part: number for number, part in enumerate(dict.fromkeys(parts))}
    if len(numbers) < len(shares):
        raise SheetError(
            f"{len(parts)} rows show {len(numbers)} part(s); expected at least {len(shares)}, since no part may be in "
            "two subsets: take images of more parts, or split at random with --split random"
        )
    part_of_row = np.array([numbers[part] for part in parts])
    amounts = _part_amounts(part_of_row, strata)
    rng = np.random.default_rng(seed)
    trials = min(_TRIALS, max(_MAX_ASSIGNED // len(amounts), 1))
    candidates = [_assign_parts(amounts, np.array(shares), rng) for _ in range(trials)]
    best = min(candidates, key=lambda bins: _imbalance(bins, amounts, np.array(shares)))
    return np.asarray(best[part_of_row], np.int64)


def _part_amounts(part_of_row: NDArray[np.int64], strata: StratumTuples) -> _Floats:
    """Compute each part's share of each quantity: float64 (parts, quantities)."""
    columns: dict[Hashable, int] = {}
    quantities = [
        [columns.setdefault(key, len(columns)) for key in ("all", ("combined", *row), *enumerate(row))]
        for row in strata
    ]
    counts = np.zeros((part_of_row.max() + 1, len(columns)))
    for part, own_columns in zip(part_of_row, quantities, strict=True):
        counts[part, own_columns] += 1
    amounts = np.concatenate([counts, counts > 0], axis=1)  # number of rows, and of parts with any such row
    return np.asarray(amounts / amounts.sum(axis=0), np.float64)


def _assign_parts(amounts: _Floats, shares: _Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    sizes = amounts.sum(axis=1) * rng.uniform(0.8, 1.25, len(amounts))  # another order in each trial
    held = np.zeros((len(shares), amounts.shape[1]))
    bins = np.zeros(len(amounts), np.int64)
    for remaining, part in zip(range(len(amounts), 0, -1), np.argsort(-sizes, kind="stable"), strict=True):
        own = amounts[part]
        added = ((2 * held + own) * own).sum(axis=1) / shares  # increase of each bin's squared distance from its share
        empty = ~held.any(axis=1)
        if empty.sum() >= remaining:  # the last parts go to bins that are still empty
            added[~empty] = np.inf
        bins[part] = int(added.argmin())
        held[bins[part]] += own
    return bins


def _imbalance(bins: NDArray[np.int64], amounts: _Floats, shares: _Floats) -> float:
    held = np.stack([amounts[bins == each].sum(axis=0) for each in range(len(shares))])
    return float(((held - shares[:, None]) ** 2 / shares[:, None]).sum())


def _require_train_and_test(subsets: Sequence[Subset], where: str) -> None:
    for required in (Subset.TRAIN, Subset.TEST):
        if required not in subsets:
            raise SheetError(f"no row has {required} in {where}; expected rows for training and for testing")


def _make_grouped_split(
    parts: Sequence[str], strata: StratumTuples, test: _RowIndices, *, validation_share: float, seed: int, method: str
) -> Split:
    rest = np.setdiff1d(np.arange(len(parts)), test)
    validation = rest[:0]
    if validation_share:
        if len({parts[row] for row in rest}) == 1:
            raise SheetError(
                f"of {len(set(parts))} parts, only one is left to train and validate, which requires two; take images "
                "of more parts, or use no validation subset with --validation-share 0"
            )
        shares = (1 - validation_share, validation_share)
        bins = assign_groups([parts[row] for row in rest], [strata[row] for row in rest], shares=shares, seed=seed)
        validation = rest[bins == 1]
    validated = f" and {len({parts[row] for row in validation})} to validate" if len(validation) else ""
    testing = len({parts[row] for row in test})
    return Split(
        subsets=_to_subsets(len(parts), validation, test),
        description=f"{method}, of {len(set(parts))} parts {testing} to test{validated}, stratified by label and noise "
        f"type as far as whole parts allow, seed {seed}",
    )


def _to_subsets(count: int, validation: _RowIndices, test: _RowIndices) -> tuple[Subset, ...]:
    subsets = [Subset.TRAIN] * count
    for rows, subset in ((validation, Subset.VALIDATION), (test, Subset.TEST)):
        for row in rows:
            subsets[row] = subset
    return tuple(subsets)


def _draw_stratified(
    rows: _RowIndices, strata: Sequence[Hashable], count: int, rng: np.random.Generator
) -> _RowIndices:
    """Draw ``count`` rows evenly from a shuffled list sorted by stratum, so that each has its share to within one."""
    order = rng.permutation(rows)
    keys = [repr(strata[row]) for row in order]
    order = order[np.argsort(keys, kind="stable")]
    places = np.floor((np.arange(count) + rng.random()) * len(order) / max(count, 1)).astype(int)
    return np.sort(order[places])
