"""Union-find clustering of matching images: compares the most likely pairs first, and as few as possible."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.progress import Progress

PATIENCE = 8  # failed comparisons after which an image is assumed to have no more copies
TRIES = 2  # failed comparisons after which two groups are assumed to be different parts
_BATCH = 64  # pairs compared at a time; fixed, since the result depends on it


@dataclass(frozen=True)
class Compared:
    """A compared pair of images, by their indices, and their match score, at most 1."""

    one: int
    other: int
    agreement: float


@dataclass(frozen=True)
class Joined:
    """Clustering of images.

    Attributes:
        groups: group of each image, numbered from 0 in order of first appearance.
        joins: matches that connect each group, one fewer than it has images.
        refused: compared pairs that do not match.
    """

    groups: tuple[int, ...]
    joins: tuple[Compared, ...] = ()
    refused: tuple[Compared, ...] = ()


def join(
    known: Joined,
    pairs: NDArray[np.int32],
    compare: Callable[[int], float],
    *,
    same: float,
    pool: Executor,
    progress: Progress,
) -> Joined:
    """Merge the groups of matching images, with as few comparisons as possible.

    A pair is skipped if its images are in one group already, or if both images, or their two groups, have failed too
    many comparisons.

    Args:
        known: the clustering so far; the counts of failures start at 0.
        pairs: int (pairs, 2 or more), the indices of two images each, the most likely first.
        compare: returns the match score of the pair with this index.
        same: match score above which two images are merged.
        pool: compares pairs in parallel.
        progress: called with (decided pairs, all pairs).
    """
    count = len(known.groups)
    roots, failures, refusals = _roots(known.groups), [0] * count, Counter[tuple[int, int]]()
    joins, refused = list(known.joins), list(known.refused)
    for batch, decided in _batches(pairs, roots, failures, refusals):
        for place, agreement in zip(batch, pool.map(compare, batch), strict=True):
            one, other = int(pairs[place, 0]), int(pairs[place, 1])
            if agreement <= same:
                failures[one] += 1
                failures[other] += 1
                refusals[_ends(roots, one, other)] += 1
                refused.append(Compared(one, other, agreement))
            elif _root(roots, one) != _root(roots, other):  # else another pair of this batch has merged them
                roots[_root(roots, other)] = _root(roots, one)
                joins.append(Compared(one, other, agreement))
        progress(decided, len(pairs))
    progress(len(pairs), len(pairs))
    numbers: dict[int, int] = {}
    groups = tuple(numbers.setdefault(_root(roots, place), len(numbers)) for place in range(count))
    return Joined(groups, tuple(joins), tuple(refused))


def _batches(
    pairs: NDArray[np.int32], roots: list[int], failures: list[int], refusals: Counter[tuple[int, int]]
) -> Iterator[tuple[list[int], int]]:
    """Iterate over batches of pair indices, all between different groups, and the number of pairs decided before."""
    waiting = deque(range(len(pairs)))
    while waiting:
        batch: list[int] = []
        later: list[int] = []
        taken: set[tuple[int, int]] = set()
        while waiting and len(batch) < _BATCH and len(later) < _BATCH:
            place = waiting.popleft()
            one, other = int(pairs[place, 0]), int(pairs[place, 1])
            ends = _ends(roots, one, other)
            given_up = min(failures[one], failures[other]) >= PATIENCE or refusals[ends] >= TRIES
            if ends[0] == ends[1] or given_up:
                continue
            (later if ends in taken else batch).append(place)
            taken.add(ends)
        waiting.extendleft(reversed(later))
        yield batch, len(pairs) - len(waiting) - len(batch)


def _roots(groups: tuple[int, ...]) -> list[int]:
    """Return the first image of each image's group."""
    first: dict[int, int] = {}
    return [first.setdefault(group, place) for place, group in enumerate(groups)]


def _ends(roots: list[int], one: int, other: int) -> tuple[int, int]:
    """Return the groups of two images, sorted."""
    ends = _root(roots, one), _root(roots, other)
    return min(ends), max(ends)


def _root(roots: list[int], place: int) -> int:
    while roots[place] != place:
        roots[place] = roots[roots[place]]
        place = roots[place]
    return place
