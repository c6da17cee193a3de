"""Find the groups: read every picture, propose pairs, verify them, join what agrees."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from clearcast import imaging
from clearcast.data.groups.candidates import candidate_pairs, descriptor
from clearcast.data.groups.canonical import canonical
from clearcast.data.groups.verify import agreement
from clearcast.imaging import Channels, Picture
from clearcast.progress import Progress

SAME = 0.85  # agreement above which two pictures show one part
PATIENCE = 6  # comparisons that a picture may fail before it is taken to have no more copies


def find_groups(paths: Sequence[Path], *, seed: int = 0, progress: Progress | None = None) -> tuple[int, ...]:
    """Find which pictures show the same part, mirrored, turned by quarters, stretched, shifted or lit otherwise.

    Args:
        paths: readable picture files.
        seed: for the index of candidates.
        progress: called with (done, all) while pictures are read; comparing them comes after.

    Returns:
        the group of each picture, numbered from 0 in order of first appearance.

    Raises:
        PictureError: a picture cannot be used.
    """
    pictures = _read(paths, progress)
    if not pictures:
        return ()
    descriptors = np.stack([descriptor(picture) for picture in pictures])
    roots = list(range(len(paths)))
    failures = [0] * len(paths)
    for one, other, orientation in candidate_pairs(descriptors, seed):
        settled = _root(roots, one) == _root(roots, other)
        if settled or min(failures[one], failures[other]) >= PATIENCE:
            continue
        if agreement(pictures[one], pictures[other], orientation) > SAME:
            roots[_root(roots, other)] = _root(roots, one)
        else:
            failures[one] += 1
            failures[other] += 1
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(_root(roots, row), len(numbers)) for row in range(len(paths)))


def _read(paths: Sequence[Path], progress: Progress | None) -> list[Picture]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = []
        for picture in pool.map(lambda path: canonical(imaging.load(path, Channels.GREY)), paths):
            pictures.append(picture)
            if progress:
                progress(len(pictures), len(paths))
    return pictures


def _root(roots: list[int], row: int) -> int:
    while roots[row] != row:
        roots[row] = roots[roots[row]]
        row = roots[row]
    return row
