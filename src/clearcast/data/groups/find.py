"""Group detection pipeline: read images, propose candidate pairs, align and compare them, merge matching images."""

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearcast import imaging
from clearcast.data.groups.candidates import Pairs, candidate_pairs, small_detail
from clearcast.data.groups.canonical import SIDE, Field, canonical
from clearcast.data.groups.clean import clean
from clearcast.data.groups.join import Joined, join
from clearcast.data.groups.verify import Matrix, agreement, rough_alignment
from clearcast.imaging import Channels
from clearcast.progress import Progress

SAME = 0.9  # match score above which two images show the same part
SURE, NEAR = 0.95, 0.85  # matches below SURE are doubtful, and so are non-matches above NEAR
_CHUNK = 256  # pairs that a thread aligns between progress reports
_ROUNDS = 2  # of proposing and comparing: all images, then representatives of each group
_REPRESENTATIVES = 2  # per group, in the second round
_PHASES = 1 + 2 * _ROUNDS  # reading, then aligning and comparing per round, with equal weight in the progress


def find_groups(
    paths: Sequence[Path], *, noisy: Sequence[bool] = (), seed: int = 0, progress: Progress | None = None
) -> Joined:
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
        return Joined(())
    with tempfile.TemporaryFile() as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        images = np.memmap(file, np.uint8, mode="w+", shape=(len(paths), SIDE, SIDE))
        is_noisy = np.array(noisy or [False] * len(paths), np.bool_)
        details = _read(paths, is_noisy, images, pool, _phase_progress(progress, 0, len(paths)))
        joined = Joined(tuple(range(len(paths))))
        for number in range(_ROUNDS):
            # Many copies of one part can fill the nearest neighbours; with representatives, other parts appear too.
            chosen = np.arange(len(paths)) if number == 0 else _representatives(joined.groups)
            pairs = candidate_pairs(details[chosen], seed)
            pairs[:, :2] = chosen[pairs[:, :2]]
            aligning = _phase_progress(progress, 1 + 2 * number, len(paths))
            correlations, starts = _align(details, pairs, pool, aligning)
            order = np.argsort(-correlations, kind="stable")
            compare = partial(_compare, images, is_noisy, pairs[order], starts[order])
            comparing = _phase_progress(progress, 2 + 2 * number, len(paths))
            joined = join(joined, pairs[order], compare, same=SAME, pool=pool, progress=comparing)
        return joined


def _compare(images: NDArray[np.uint8], is_noisy: NDArray[np.bool_], pairs: Pairs, starts: Matrix, place: int) -> float:
    one, other, orientation = pairs[place]
    either = bool(is_noisy[one] or is_noisy[other])
    return agreement(images[one], images[other], int(orientation), starts[place], noisy=either)


def _representatives(groups: Sequence[int]) -> NDArray[np.int64]:
    """Return the indices of the first images of each group."""
    counts: Counter[int] = Counter()
    chosen = []
    for place, group in enumerate(groups):
        counts[group] += 1
        if counts[group] <= _REPRESENTATIVES:
            chosen.append(place)
    return np.array(chosen)


def _phase_progress(progress: Progress | None, phase: int, count: int) -> Progress:
    """Return a callback that reports the progress of one phase as a share of all phases."""

    def report(done: int, total: int) -> None:
        if progress:
            progress(phase * count + (count * done // total if total else count), _PHASES * count)

    return report


def _read(
    paths: Sequence[Path],
    noisy: NDArray[np.bool_],
    images: NDArray[np.uint8],
    pool: Executor,
    progress: Progress,
) -> Field:
    """Read every image, store it in the standard frame in ``images``, and return the low-resolution details."""

    def read(place: int) -> Field:
        grey = imaging.load(paths[place], Channels.GREY)
        images[place] = canonical(clean(grey) if noisy[place] else grey)
        return small_detail(images[place])

    details = []
    for found in pool.map(read, range(len(paths))):
        details.append(found)
        progress(len(details), len(paths))
    return np.stack(details)


def _align(details: Field, pairs: Pairs, pool: Executor, progress: Progress) -> tuple[NDArray[np.float32], Matrix]:
    """Align each pair roughly; return the correlations, float32 (pairs,), and the affine matrices."""
    correlations, matrices = np.empty(len(pairs), np.float32), np.empty((len(pairs), 2, 3), np.float32)

    def align(start: int) -> None:
        for place in range(start, min(start + _CHUNK, len(pairs))):
            one, other, orientation = pairs[place]
            correlations[place], matrices[place] = rough_alignment(details[one], details[other], int(orientation))

    for done, _ in enumerate(pool.map(align, range(0, len(pairs), _CHUNK)), 1):
        progress(min(done * _CHUNK, len(pairs)), len(pairs))
    return correlations, matrices
