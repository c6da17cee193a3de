"""Group detection in images: union-find clustering of the pairs that match, the most likely pairs first."""

import os
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearcast.core import imaging
from clearcast.core.console import ProgressCallback
from clearcast.core.decoding.image_info import Channels
from clearcast.data.groups.alignment import (
    STANDARD_FRAME_SIDE,
    AffineMatrix,
    CandidatePairs,
    DetailMap,
    align_roughly,
    compute_match_score,
    compute_small_detail,
    find_candidate_pairs,
    normalise_pose,
    prefilter_noise,
)

MATCH_THRESHOLD = 0.9  # match score above which two images show the same part
SURE_MATCH_SCORE, NEAR_MATCH_SCORE = 0.95, 0.85  # matches below SURE are doubtful, and so are non-matches above NEAR
MAX_IMAGE_FAILURES = 8  # failed comparisons after which an image is assumed to have no more copies
_MAX_GROUP_FAILURES = 2  # failed comparisons after which two groups are assumed to be different parts
_BATCH = 64  # pairs compared at a time; fixed, since the result depends on it
_CHUNK = 256  # pairs that a thread aligns between progress reports
_ROUNDS = 2  # of proposing and comparing: all images, then representatives of each group
_REPRESENTATIVES = 2  # per group, in the second round
_PHASES = 1 + 2 * _ROUNDS  # reading, then aligning and comparing per round, with equal weight in the progress


@dataclass(frozen=True)
class PairScore:
    """A compared pair of images, by their indices, and their match score, at most 1."""

    one: int
    other: int
    match_score: float


@dataclass(frozen=True)
class Clustering:
    """Clustering of images.

    Attributes:
        groups: group of each image, numbered from 0 in order of first appearance.
        matches: compared pairs that connect each group, one fewer than it has images.
        non_matches: compared pairs that do not match.
    """

    groups: tuple[int, ...]
    matches: tuple[PairScore, ...] = ()
    non_matches: tuple[PairScore, ...] = ()


def detect_groups(
    paths: Sequence[Path], *, noisy: Sequence[bool] = (), seed: int = 0, progress: ProgressCallback | None = None
) -> Clustering:
    """Find images of the same part: mirrored, rotated by quarter turns, stretched, shifted or lit differently.

    The time is linear in the number of images. Each takes some 7 KB of memory and 26 KB of a temporary file.

    Args:
        paths: readable image files.
        noisy: whether each image is noisy; empty if none is. Noisy images are prefiltered and compared by coarser
            detail, which misses many copies.
        seed: seed of the nearest-neighbour index.
        progress: called with (done, total) in units of work, not images.

    Raises:
        PictureError: an image cannot be used.
    """
    if not paths:
        return Clustering(())
    with tempfile.TemporaryFile() as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        images = np.memmap(file, np.uint8, mode="w+", shape=(len(paths), STANDARD_FRAME_SIDE, STANDARD_FRAME_SIDE))
        is_noisy = np.array(noisy or [False] * len(paths), np.bool_)
        details = _read(paths, is_noisy, images, pool, _phase_progress(progress, 0, len(paths)))
        clustering = Clustering(tuple(range(len(paths))))
        for number in range(_ROUNDS):
            # Many copies of one part can fill the nearest neighbours; with representatives, other parts appear too.
            chosen = np.arange(len(paths)) if number == 0 else _representatives(clustering.groups)
            pairs = find_candidate_pairs(details[chosen], seed)
            pairs[:, :2] = chosen[pairs[:, :2]]
            aligning = _phase_progress(progress, 1 + 2 * number, len(paths))
            correlations, starts = _align(details, pairs, pool, aligning)
            order = np.argsort(-correlations, kind="stable")
            compare = partial(_compare, images, is_noisy, pairs[order], starts[order])
            comparing = _phase_progress(progress, 2 + 2 * number, len(paths))
            clustering = merge_matching_pairs(
                clustering, pairs[order], compare, threshold=MATCH_THRESHOLD, pool=pool, progress=comparing
            )
        return clustering


def _read(
    paths: Sequence[Path],
    noisy: NDArray[np.bool_],
    images: NDArray[np.uint8],
    pool: Executor,
    progress: ProgressCallback,
) -> DetailMap:
    """Read every image, store it in the standard frame in ``images``, and return the low-resolution details."""

    def read(index: int) -> DetailMap:
        grey = imaging.load_image(paths[index], Channels.GREY)
        images[index] = normalise_pose(prefilter_noise(grey) if noisy[index] else grey)
        return compute_small_detail(images[index])

    details = []
    for found in pool.map(read, range(len(paths))):
        details.append(found)
        progress(len(details), len(paths))
    return np.stack(details)


def _representatives(groups: Sequence[int]) -> NDArray[np.int64]:
    """Return the indices of the first images of each group."""
    counts: Counter[int] = Counter()
    chosen = []
    for index, group in enumerate(groups):
        counts[group] += 1
        if counts[group] <= _REPRESENTATIVES:
            chosen.append(index)
    return np.array(chosen)


def _align(
    details: DetailMap, pairs: CandidatePairs, pool: Executor, progress: ProgressCallback
) -> tuple[NDArray[np.float32], AffineMatrix]:
    """Align each pair roughly; return the correlations, float32 (pairs,), and the affine matrices."""
    correlations, matrices = np.empty(len(pairs), np.float32), np.empty((len(pairs), 2, 3), np.float32)

    def align(start: int) -> None:
        for index in range(start, min(start + _CHUNK, len(pairs))):
            one, other, orientation = pairs[index]
            correlations[index], matrices[index] = align_roughly(details[one], details[other], int(orientation))

    for done, _ in enumerate(pool.map(align, range(0, len(pairs), _CHUNK)), 1):
        progress(min(done * _CHUNK, len(pairs)), len(pairs))
    return correlations, matrices


def _compare(
    images: NDArray[np.uint8], is_noisy: NDArray[np.bool_], pairs: CandidatePairs, starts: AffineMatrix, index: int
) -> float:
    one, other, orientation = pairs[index]
    either = bool(is_noisy[one] or is_noisy[other])
    return compute_match_score(images[one], images[other], int(orientation), starts[index], noisy=either)


def _phase_progress(progress: ProgressCallback | None, phase: int, count: int) -> ProgressCallback:
    """Return a callback that reports the progress of one phase as a share of all phases."""

    def report(done: int, total: int) -> None:
        if progress:
            progress(phase * count + (count * done // total if total else count), _PHASES * count)

    return report


def merge_matching_pairs(
    known: Clustering,
    pairs: NDArray[np.int32],
    compare: Callable[[int], float],
    *,
    threshold: float,
    pool: Executor,
    progress: ProgressCallback,
) -> Clustering:
    """Merge the groups of matching images, with as few comparisons as possible.

    A pair is skipped if its images are in one group already, or if both images, or their two groups, have failed too
    many comparisons.

    Args:
        known: the clustering so far; the counts of failures start at 0.
        pairs: int (pairs, 2 or more), the indices of two images each, the most likely first.
        compare: returns the match score of the pair with this index.
        threshold: match score above which two images are merged.
        pool: compares pairs in parallel.
        progress: called with (decided pairs, all pairs).
    """
    count = len(known.groups)
    roots, failures, refusals = _roots(known.groups), [0] * count, Counter[tuple[int, int]]()
    matches, non_matches = list(known.matches), list(known.non_matches)
    for batch, decided in _batches(pairs, roots, failures, refusals):
        for index, score in zip(batch, pool.map(compare, batch), strict=True):
            one, other = int(pairs[index, 0]), int(pairs[index, 1])
            if score <= threshold:
                failures[one] += 1
                failures[other] += 1
                refusals[_ends(roots, one, other)] += 1
                non_matches.append(PairScore(one, other, score))
            elif _root(roots, one) != _root(roots, other):  # else another pair of this batch has merged them
                roots[_root(roots, other)] = _root(roots, one)
                matches.append(PairScore(one, other, score))
        progress(decided, len(pairs))
    progress(len(pairs), len(pairs))
    numbers: dict[int, int] = {}
    groups = tuple(numbers.setdefault(_root(roots, index), len(numbers)) for index in range(count))
    return Clustering(groups, tuple(matches), tuple(non_matches))


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
            index = waiting.popleft()
            one, other = int(pairs[index, 0]), int(pairs[index, 1])
            ends = _ends(roots, one, other)
            given_up = (
                min(failures[one], failures[other]) >= MAX_IMAGE_FAILURES or refusals[ends] >= _MAX_GROUP_FAILURES
            )
            if ends[0] == ends[1] or given_up:
                continue
            (later if ends in taken else batch).append(index)
            taken.add(ends)
        waiting.extendleft(reversed(later))
        yield batch, len(pairs) - len(waiting) - len(batch)


def _roots(groups: tuple[int, ...]) -> list[int]:
    """Return the first image of each image's group."""
    first: dict[int, int] = {}
    return [first.setdefault(group, index) for index, group in enumerate(groups)]


def _ends(roots: list[int], one: int, other: int) -> tuple[int, int]:
    """Return the groups of two images, sorted."""
    ends = _root(roots, one), _root(roots, other)
    return min(ends), max(ends)


def _root(roots: list[int], index: int) -> int:
    while roots[index] != index:
        roots[index] = roots[roots[index]]
        index = roots[index]
    return index
