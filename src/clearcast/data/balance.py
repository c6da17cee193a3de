"""Stratified group split: assign whole parts to bins of given shares, each stratified as far as whole parts allow."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from clearcast.errors import SheetError

Traits = Sequence[tuple[Hashable, ...]]
_Floats = NDArray[np.float64]
_TRIALS = 20  # random orders of assignment, of which the best is kept
_MAX_ASSIGNED = 20_000  # parts assigned in all trials together; with many parts, one trial is nearly balanced


def assign_parts(parts: Sequence[str], traits: Traits, *, shares: Sequence[float], seed: int) -> NDArray[np.int64]:
    """Assign each row to a bin, all rows of a part to the same one.

    Large parts are assigned first, each to the bin that then differs least from its share of the rows and of the parts:
    in total, for each stratification value, and for each combination of values. This is the greedy algorithm of
    scikit-learn's StratifiedGroupKFold, for bins of unequal shares.

    Args:
        parts: the part of each row.
        traits: the stratification values of each row, such as (label, noise type).
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
    amounts = _amounts(part_of_row, traits)
    rng = np.random.default_rng(seed)
    trials = min(_TRIALS, max(_MAX_ASSIGNED // len(amounts), 1))
    candidates = [_assign(amounts, np.array(shares), rng) for _ in range(trials)]
    best = min(candidates, key=lambda bins: _imbalance(bins, amounts, np.array(shares)))
    return np.asarray(best[part_of_row], np.int64)


def _amounts(part_of_row: NDArray[np.int64], traits: Traits) -> _Floats:
    """Compute each part's share of each quantity: float64 (parts, quantities)."""
    columns: dict[Hashable, int] = {}
    quantities = [
        [columns.setdefault(key, len(columns)) for key in ("all", ("combined", *row), *enumerate(row))]
        for row in traits
    ]
    counts = np.zeros((part_of_row.max() + 1, len(columns)))
    for part, own_columns in zip(part_of_row, quantities, strict=True):
        counts[part, own_columns] += 1
    amounts = np.concatenate([counts, counts > 0], axis=1)  # number of rows, and of parts with any such row
    return np.asarray(amounts / amounts.sum(axis=0), np.float64)


def _assign(amounts: _Floats, shares: _Floats, rng: np.random.Generator) -> NDArray[np.int64]:
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
