"""Deal whole parts into bins of given shares, so that each bin is like the whole as far as whole parts allow."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from clearcast.errors import SheetError

Traits = Sequence[tuple[Hashable, ...]]
_Floats = NDArray[np.float64]
_TRIES = 20  # the best of so many orders of dealing is kept
_DEALT = 20_000  # parts dealt in all tries together, at least one: of many parts the first order is nearly even


def assign_parts(parts: Sequence[str], traits: Traits, *, shares: Sequence[float], seed: int) -> NDArray[np.int64]:
    """The bin of each row, the same for all rows of a part.

    Large parts are dealt first, each to the bin that then differs least from its share: of the rows and of the parts,
    of all, of each trait's value, and of each combination of traits (the greedy idea of scikit-learn's
    StratifiedGroupKFold, for bins of unequal shares).

    Args:
        parts: the part that each row shows.
        traits: what each row is, such as (label, noise type).
        shares: of each bin, above 0 and summing to 1.
        seed: for ties and for the order of parts of like size.

    Raises:
        SheetError: there are fewer parts than bins.
    """
    numbers = {part: number for number, part in enumerate(dict.fromkeys(parts))}
    if len(numbers) < len(shares):
        raise SheetError(
            f"{len(parts)} rows show {len(numbers)} part(s); needed are at least {len(shares)}, since no part may be "
            "on both sides: take images of more parts, or divide at random with --split random"
        )
    of_row = np.array([numbers[part] for part in parts])
    amounts = _amounts(of_row, traits)
    rng = np.random.default_rng(seed)
    tries = min(_TRIES, max(_DEALT // len(amounts), 1))
    tried = [_deal(amounts, np.array(shares), rng) for _ in range(tries)]
    best = min(tried, key=lambda bins: _unevenness(bins, amounts, np.array(shares)))
    return np.asarray(best[of_row], np.int64)


def _amounts(of_row: NDArray[np.int64], traits: Traits) -> _Floats:
    """How much each part has of each quantity, as a share of all there is: (parts, quantities)."""
    rows: dict[Hashable, int] = {}
    belongs = [
        [rows.setdefault(key, len(rows)) for key in ("all", ("combined", *own), *enumerate(own))] for own in traits
    ]
    counts = np.zeros((of_row.max() + 1, len(rows)))
    for part, keys in zip(of_row, belongs, strict=True):
        counts[part, keys] += 1
    amounts = np.concatenate([counts, counts > 0], axis=1)  # as rows, and as parts that have any
    return np.asarray(amounts / amounts.sum(axis=0), np.float64)


def _deal(amounts: _Floats, shares: _Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    sizes = amounts.sum(axis=1) * rng.uniform(0.8, 1.25, len(amounts))  # another order at each try
    held = np.zeros((len(shares), amounts.shape[1]))
    bins = np.zeros(len(amounts), np.int64)
    for left, part in zip(range(len(amounts), 0, -1), np.argsort(-sizes, kind="stable"), strict=True):
        own = amounts[part]
        added = ((2 * held + own) * own).sum(axis=1) / shares  # to each bin's squared distance from its share
        empty = ~held.any(axis=1)
        if empty.sum() >= left:  # the last parts are for bins that have none yet
            added[~empty] = np.inf
        bins[part] = int(added.argmin())
        held[bins[part]] += own
    return bins


def _unevenness(bins: NDArray[np.int64], amounts: _Floats, shares: _Floats) -> float:
    held = np.stack([amounts[bins == each].sum(axis=0) for each in range(len(shares))])
    return float(((held - shares[:, None]) ** 2 / shares[:, None]).sum())
