"""Pairs of images that may show the same part, from an index of nearest neighbours rather than from all pairs."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.data.groups.canonical import ORIENTATIONS, Field, detail, oriented
from clearcast.imaging import Picture

NEIGHBOURS = 12  # looked at for each image and orientation
_SIDE = 32  # pixels a side of what is compared here
_SCALE = 6.0  # coarse, since frames of copies differ by a few pixels
_NUMBERS = 64  # principal components kept of each image
_SAMPLE = 4000  # images that the principal components are found from
_FARTHEST = 1.4  # squared distance of unit vectors: pairs that correlate less than by 0.3 are not looked at
_FEW = 100  # images, each of which is compared with all others
_TREES, _CHECKS = 4, 96  # of the index: more is more exact and slower
_CHUNK = 4096  # images turned at a time

Pairs = NDArray[np.int32]


def small_detail(image: Picture) -> Field:
    """A small image's detail of length 1: float32 (32, 32), from an image in the standard frame."""
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    fine = detail(np.asarray(small, np.uint8), _SCALE)
    fine -= fine.mean()
    return np.asarray(fine / max(float(np.linalg.norm(fine)), 1e-6), np.float32)


def candidate_pairs(details: Field, seed: int) -> Pairs:
    """Triples (one, other, orientation): ``one`` turned so looks like ``other``. Each pair comes once.

    There are some dozens for each image, whatever the number of images.

    Args:
        details: float32 (images, 32, 32), as ``small_detail`` gives them.
        seed: for the index, whose trees are random.

    Returns:
        int32 (pairs, 3), the nearest first.
    """
    if len(details) < 2:
        return np.empty((0, 3), np.int32)
    basis = _principal_components(details, seed)
    cv2.setRNGSeed(seed)
    # A forest may find fewer than are asked for where there are hardly more, and OpenCV then fails.
    kind = {"algorithm": 1, "trees": _TREES} if len(details) > _FEW else {"algorithm": 0}
    index = cv2.flann.Index(_numbers(details, basis, 0), kind)
    rows, distances = [], []
    for orientation in range(ORIENTATIONS):
        count = min(NEIGHBOURS, len(details))
        found, far = index.knnSearch(_numbers(details, basis, orientation), count, params={"checks": _CHECKS})
        one = np.repeat(np.arange(len(details), dtype=np.int32), count)
        rows.append(np.column_stack([one, found.ravel(), np.full(len(one), orientation, np.int32)]))
        distances.append(far.ravel())
    return _nearest_of_each_pair(np.concatenate(rows), np.concatenate(distances))


def _nearest_of_each_pair(rows: Pairs, distances: NDArray[np.float32]) -> Pairs:
    near = (rows[:, 0] != rows[:, 1]) & (distances < _FARTHEST)
    rows, distances = rows[near], distances[near]
    order = np.argsort(distances, kind="stable")
    pairs = np.sort(rows[order, :2], axis=1).astype(np.int64)
    _, first = np.unique(pairs[:, 0] << 32 | pairs[:, 1], return_index=True)
    return np.asarray(rows[order[np.sort(first)]], np.int32)


def _numbers(details: Field, basis: Field, orientation: int) -> Field:
    """The principal components of turned images: float32 (images, 64)."""
    chunks = range(0, len(details), _CHUNK)
    return np.concatenate([_turned(details[start : start + _CHUNK], orientation) @ basis for start in chunks])


def _turned(details: Field, orientation: int) -> Field:
    return np.stack([np.asarray(oriented(square, orientation), np.float32).ravel() for square in details])


def _principal_components(details: Field, seed: int) -> Field:
    """Directions in which images differ most, float32 (1024, at most 64), from some images in all orientations."""
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(details))[: _SAMPLE // ORIENTATIONS]
    turned = np.concatenate([_turned(details[some], orientation) for orientation in range(ORIENTATIONS)])
    _, _, directions = np.linalg.svd(turned - turned.mean(axis=0), full_matrices=False)
    return np.asarray(directions[:_NUMBERS].T, np.float32)
