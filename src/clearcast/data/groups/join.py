"""Compare the likeliest pairs first and join what agrees, until every image has its copies or has given up."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.progress import Progress

PATIENCE = 8  # comparisons that an image may fail before it is taken to have no more copies
TRIES = 2  # comparisons that two groups may fail before they are taken for two parts
_BATCH = 64  # pairs compared at a time: the same on every machine, since the result depends on it


@dataclass(frozen=True)
class Compared:
    """Two images, by their places in what was given, and how well they agree: at most 1."""

    one: int
    other: int
    agreement: float


@dataclass(frozen=True)
class Joined:
    """The group of each image, numbered from 0 in order of first appearance, and the comparisons behind it.

    ``joins`` hold the groups together, one fewer in each than it has images; ``refused`` pairs did not agree.
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
    """Join images that agree, comparing as few pairs as will do.

    A pair is left out where its images are of one group by now, where both have failed too often, or where their
    groups have.

    Args:
        known: what is joined already; refusals are remembered, patience is new.
        pairs: int (pairs, 2 or more), each the places of two images, the likeliest first.
        compare: the agreement of the pair in this place.
        same: the agreement above which two images are joined.
        pool: compares several pairs at a time.
        progress: called with how many pairs are settled, and all of them.
    """
    count = len(known.groups)
    roots, failures, refusals = _roots(known.groups), [0] * count, Counter[tuple[int, int]]()
    joins, refused = list(known.joins), list(known.refused)
    for batch, settled in _batches(pairs, roots, failures, refusals):
        for place, agreement in zip(batch, pool.map(compare, batch), strict=True):
            one, other = int(pairs[place, 0]), int(pairs[place, 1])
            if agreement <= same:
                failures[one] += 1
                failures[other] += 1
                refusals[_ends(roots, one, other)] += 1
                refused.append(Compared(one, other, agreement))
            elif _root(roots, one) != _root(roots, other):  # else another pair of this batch has joined them
                roots[_root(roots, other)] = _root(roots, one)
                joins.append(Compared(one, other, agreement))
        progress(settled, len(pairs))
    progress(len(pairs), len(pairs))
    numbers: dict[int, int] = {}
    groups = tuple(numbers.setdefault(_root(roots, place), len(numbers)) for place in range(count))
    return Joined(groups, tuple(joins), tuple(refused))


def _batches(
    pairs: NDArray[np.int32], roots: list[int], failures: list[int], refusals: Counter[tuple[int, int]]
) -> Iterator[tuple[list[int], int]]:
    """Places of pairs to compare, all of different groups, and how many are settled before them."""
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
    """The first image of each image's group."""
    first: dict[int, int] = {}
    return [first.setdefault(group, place) for place, group in enumerate(groups)]


def _ends(roots: list[int], one: int, other: int) -> tuple[int, int]:
    """The groups of two images, in one order."""
    ends = _root(roots, one), _root(roots, other)
    return min(ends), max(ends)


def _root(roots: list[int], place: int) -> int:
    while roots[place] != place:
        roots[place] = roots[roots[place]]
        place = roots[place]
    return place
