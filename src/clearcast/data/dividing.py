"""Ways to divide a sheet's rows into subsets: at random as published, by whole parts, or as the sheet says."""

from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearcast.data.balance import Traits, assign_parts
from clearcast.data.sheet import Row
from clearcast.data.split import Split, load_split
from clearcast.domain import Subset
from clearcast.errors import SheetError

Rows = NDArray[np.int64]


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
    kept = f", of the others {validation_share:.0%} to choose by" if validation_share else ""
    return Split(
        subsets=_subsets(len(strata), validation, test),
        description=f"random, {test_share:.0%} to test{kept}, stratified by label and noise type, seed {seed}",
    )


def grouped_split(
    parts: Sequence[str], traits: Traits, *, test_share: float, validation_share: float, seed: int
) -> Split:
    """Divide whole parts, so that no part is in two subsets; stratified as far as whole parts allow.

    Args:
        parts: the part that each row shows.
        traits: what each row is, such as (label, noise type); all of it and each of it is spread evenly.
        test_share: share of all rows that test, in 0..1; reached as nearly as whole parts allow.
        validation_share: share of the other rows that choose, in 0..1.
        seed: the same seed, parts and traits give the same split.

    Raises:
        SheetError: there are too few parts.
    """
    bins = assign_parts(parts, traits, shares=(1 - test_share, test_share), seed=seed)
    return _by_whole_parts(
        parts, traits, np.flatnonzero(bins == 1), validation_share=validation_share, seed=seed, how="by whole parts"
    )


def fold_split(
    parts: Sequence[str], traits: Traits, *, folds: int, fold: int, validation_share: float, seed: int
) -> Split:
    """One of several splits, in which each row tests once; the arguments are those of ``grouped_split``.

    Args:
        parts: the part that each row shows.
        traits: what each row is.
        folds: how many splits there are, at least 2.
        fold: which of them, from 1.
        validation_share: share of the rows that do not test.
        seed: one for all folds.

    Raises:
        SheetError: there are too few parts.
    """
    if len(set(parts)) < folds:
        raise SheetError(f"{folds} folds need as many parts; {len(parts)} rows show {len(set(parts))}: fewer --folds")
    bins = assign_parts(parts, traits, shares=(1 / folds,) * folds, seed=seed)
    how = f"fold {fold} of {folds}, by whole parts"
    return _by_whole_parts(
        parts, traits, np.flatnonzero(bins == fold - 1), validation_share=validation_share, seed=seed, how=how
    )


def column_split(rows: Sequence[Row], column: str) -> Split:
    """Divide as the sheet's own column says.

    Raises:
        SheetError: no row trains or none tests.
    """
    subsets = tuple(row.subset for row in rows if row.subset)
    _refuse_one_sided(subsets, f"the column {column!r}")
    return Split(subsets=subsets, description=f"as the sheet's column {column!r} says")


def saved_split(path: Path, rows: Sequence[Row]) -> Split:
    """Divide as the ``split.csv`` of a run lists it.

    Raises:
        SheetError: see ``load_split``; or no row trains or none tests.
    """
    split, _ = load_split(path, rows)
    _refuse_one_sided(split.subsets, str(path))
    return split


def _refuse_one_sided(subsets: Sequence[Subset], where: str) -> None:
    for needed in (Subset.TRAIN, Subset.TEST):
        if needed not in subsets:
            raise SheetError(f"no row has {needed} in {where}; needed are rows to train and to test")


def _by_whole_parts(
    parts: Sequence[str], traits: Traits, test: Rows, *, validation_share: float, seed: int, how: str
) -> Split:
    rest = np.setdiff1d(np.arange(len(parts)), test)
    validation = rest[:0]
    if validation_share:
        if len({parts[row] for row in rest}) == 1:
            raise SheetError(
                f"of {len(set(parts))} parts one is left to train and to choose by, which takes two: take images of "
                "more parts, or choose by none with --validation-share 0"
            )
        shares = (1 - validation_share, validation_share)
        bins = assign_parts([parts[row] for row in rest], [traits[row] for row in rest], shares=shares, seed=seed)
        validation = rest[bins == 1]
    kept = f" and {len({parts[row] for row in validation})} to choose by" if len(validation) else ""
    testing = len({parts[row] for row in test})
    return Split(
        subsets=_subsets(len(parts), validation, test),
        description=f"{how}, of {len(set(parts))} parts {testing} to test{kept}, stratified by label and noise type as "
        f"far as whole parts allow, seed {seed}",
    )


def _subsets(count: int, validation: Rows, test: Rows) -> tuple[Subset, ...]:
    subsets = [Subset.TRAIN] * count
    for rows, subset in ((validation, Subset.VALIDATION), (test, Subset.TEST)):
        for row in rows:
            subsets[row] = subset
    return tuple(subsets)


def _draw(rows: Rows, strata: Sequence[Hashable], count: int, rng: np.random.Generator) -> Rows:
    """Take ``count`` of the rows evenly from a shuffled list sorted by stratum: each gives its share, to within one."""
    order = rng.permutation(rows)
    keys = [repr(strata[row]) for row in order]
    order = order[np.argsort(keys, kind="stable")]
    places = np.floor((np.arange(count) + rng.random()) * len(order) / max(count, 1)).astype(int)
    return np.sort(order[places])
