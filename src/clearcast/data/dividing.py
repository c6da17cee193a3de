"""Splitting methods: random (as published), grouped by part, cross-validation folds, sheet column, saved split."""

from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearcast.data.balance import Traits, assign_parts
from clearcast.data.sheet import Row
from clearcast.data.split import Split, load_split
from clearcast.domain import Subset
from clearcast.errors import SheetError

_RowIndices = NDArray[np.int64]


def random_split(strata: Sequence[Hashable], *, test_share: float, validation_share: float, seed: int) -> Split:
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
    everything = np.arange(len(strata))
    test = _draw_stratified(everything, strata, round(len(strata) * test_share), rng)
    rest = np.setdiff1d(everything, test)
    validation = _draw_stratified(rest, strata, round(len(rest) * validation_share), rng)
    if not len(test) or len(rest) == len(validation):
        raise SheetError(f"{len(strata)} rows are too few to split; expected at least one to train and one to test")
    kept = f", of the others {validation_share:.0%} to choose by" if validation_share else ""
    return Split(
        subsets=_subsets(len(strata), validation, test),
        description=f"random, {test_share:.0%} to test{kept}, stratified by label and noise type, seed {seed}",
    )


def grouped_split(
    parts: Sequence[str], traits: Traits, *, test_share: float, validation_share: float, seed: int
) -> Split:
    """Split by whole parts, so that no part is in two subsets; stratified as far as whole parts allow.

    Args:
        parts: the part of each row.
        traits: the stratification values of each row, such as (label, noise type), balanced jointly and separately.
        test_share: share of all rows in the test subset, 0..1, as nearly as whole parts allow.
        validation_share: share of the other rows in the validation subset, 0..1.
        seed: the same seed, parts and traits give the same split.

    Raises:
        SheetError: there are too few parts.
    """
    bins = assign_parts(parts, traits, shares=(1 - test_share, test_share), seed=seed)
    return _grouped(
        parts, traits, np.flatnonzero(bins == 1), validation_share=validation_share, seed=seed, how="by whole parts"
    )


def fold_split(
    parts: Sequence[str], traits: Traits, *, folds: int, fold: int, validation_share: float, seed: int
) -> Split:
    """Return one fold of a cross-validation by whole parts: each row is in the test subset of exactly one fold.

    Args:
        parts: the part of each row.
        traits: the stratification values of each row; see ``grouped_split``.
        folds: number of folds, at least 2.
        fold: number of this fold, from 1.
        validation_share: share of the rows outside the test subset that go into the validation subset.
        seed: the same for all folds.

    Raises:
        SheetError: there are too few parts.
    """
    if len(set(parts)) < folds:
        raise SheetError(f"{folds} folds require {folds} parts, got {len(set(parts))}; use fewer --folds")
    bins = assign_parts(parts, traits, shares=(1 / folds,) * folds, seed=seed)
    how = f"fold {fold} of {folds}, by whole parts"
    return _grouped(
        parts, traits, np.flatnonzero(bins == fold - 1), validation_share=validation_share, seed=seed, how=how
    )


def column_split(rows: Sequence[Row], column: str) -> Split:
    """Split by a column of the sheet.

    Raises:
        SheetError: there is no row for training or none for testing.
    """
    subsets = tuple(row.subset for row in rows if row.subset)
    _require_train_and_test(subsets, f"the column {column!r}")
    return Split(subsets=subsets, description=f"as the sheet's column {column!r} says")


def saved_split(path: Path, rows: Sequence[Row]) -> Split:
    """Split by the ``split.csv`` of a run.

    Raises:
        SheetError: see ``load_split``; or there is no row for training or none for testing.
    """
    split, _ = load_split(path, rows)
    _require_train_and_test(split.subsets, str(path))
    return split


def _require_train_and_test(subsets: Sequence[Subset], where: str) -> None:
    for required in (Subset.TRAIN, Subset.TEST):
        if required not in subsets:
            raise SheetError(f"no row has {required} in {where}; expected rows for training and for testing")


def _grouped(
    parts: Sequence[str], traits: Traits, test: _RowIndices, *, validation_share: float, seed: int, how: str
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
        bins = assign_parts([parts[row] for row in rest], [traits[row] for row in rest], shares=shares, seed=seed)
        validation = rest[bins == 1]
    kept = f" and {len({parts[row] for row in validation})} to choose by" if len(validation) else ""
    testing = len({parts[row] for row in test})
    return Split(
        subsets=_subsets(len(parts), validation, test),
        description=f"{how}, of {len(set(parts))} parts {testing} to test{kept}, stratified by label and noise type as "
        f"far as whole parts allow, seed {seed}",
    )


def _subsets(count: int, validation: _RowIndices, test: _RowIndices) -> tuple[Subset, ...]:
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
