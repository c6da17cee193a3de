"""Find the groups: read every image, propose pairs, align them roughly, compare the likeliest, join what agrees."""

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

SAME = 0.9  # agreement above which two images show one part
SURE, NEAR = 0.95, 0.85  # joins below the one are doubtful, and so are refusals above the other
_CHUNK = 256  # pairs that a thread aligns before it tells
_TURNS = 2  # of proposing and comparing: all images, then a few of each group
_REPRESENTATIVES = 2  # of a group in the second turn
_PHASES = 1 + 2 * _TURNS  # reading, then aligning and comparing in turns: each counts as much in the progress told


def find_groups(
    paths: Sequence[Path], *, noisy: Sequence[bool] = (), seed: int = 0, progress: Progress | None = None
) -> Joined:
    """Find which images show the same part, mirrored, turned by quarters, stretched, shifted or lit otherwise.

    Time grows with the number of images, not with its square. Each takes some 7 KB of memory and 26 KB of a temporary
    file.

    Args:
        paths: readable image files.
        noisy: which of them are noisy; without it, none is. They are cleaned first and judged by softer detail, which
            misses many copies.
        seed: for the index of candidates.
        progress: called with (done, all) while images are read and compared; ``all`` is not a number of images.

    Raises:
        PictureError: an image cannot be used.
    """
    if not paths:
        return Joined(())
    with tempfile.TemporaryFile() as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        images = np.memmap(file, np.uint8, mode="w+", shape=(len(paths), SIDE, SIDE))
        spoilt = np.array(noisy or [False] * len(paths), np.bool_)
        details = _read(paths, spoilt, images, pool, _phase(progress, 0, len(paths)))
        joined = Joined(tuple(range(len(paths))))
        for turn in range(_TURNS):
            # Many copies of one part leave no room for others among their nearest; a few of each group do.
            some = np.arange(len(paths)) if turn == 0 else _representatives(joined.groups)
            pairs = candidate_pairs(details[some], seed)
            pairs[:, :2] = some[pairs[:, :2]]
            likeness, starts = _align(details, pairs, pool, _phase(progress, 1 + 2 * turn, len(paths)))
            order = np.argsort(-likeness, kind="stable")
            compare = partial(_compare, images, spoilt, pairs[order], starts[order])
            told = _phase(progress, 2 + 2 * turn, len(paths))
            joined = join(joined, pairs[order], compare, same=SAME, pool=pool, progress=told)
        return joined


def _compare(images: NDArray[np.uint8], spoilt: NDArray[np.bool_], pairs: Pairs, starts: Matrix, place: int) -> float:
    one, other, orientation = pairs[place]
    either = bool(spoilt[one] or spoilt[other])
    return agreement(images[one], images[other], int(orientation), starts[place], noisy=either)


def _representatives(groups: Sequence[int]) -> NDArray[np.int64]:
    """The places of the first few images of each group."""
    seen: Counter[int] = Counter()
    chosen = []
    for place, group in enumerate(groups):
        seen[group] += 1
        if seen[group] <= _REPRESENTATIVES:
            chosen.append(place)
    return np.array(chosen)


def _phase(progress: Progress | None, phase: int, count: int) -> Progress:
    """Tells the progress of one phase as a share of all."""

    def told(done: int, everything: int) -> None:
        if progress:
            progress(phase * count + (count * done // everything if everything else count), _PHASES * count)

    return told


def _read(
    paths: Sequence[Path],
    noisy: NDArray[np.bool_],
    images: NDArray[np.uint8],
    pool: Executor,
    progress: Progress,
) -> Field:
    """Put every image in the standard frame into ``images``, and return their details when small."""

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
    """How alike the images of each pair are once roughly aligned, float32 (pairs,), and the matrices that do it."""
    likeness, matrices = np.empty(len(pairs), np.float32), np.empty((len(pairs), 2, 3), np.float32)

    def align(start: int) -> None:
        for place in range(start, min(start + _CHUNK, len(pairs))):
            one, other, orientation = pairs[place]
            likeness[place], matrices[place] = rough_alignment(details[one], details[other], int(orientation))

    for done, _ in enumerate(pool.map(align, range(0, len(pairs), _CHUNK)), 1):
        progress(min(done * _CHUNK, len(pairs)), len(pairs))
    return likeness, matrices
