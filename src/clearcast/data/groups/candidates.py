"""Candidate pairs of images of the same part, from an approximate nearest-neighbour index."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.data.groups.canonical import ORIENTATIONS, Field, detail, oriented
from clearcast.imaging import Picture

NEIGHBOURS = 12  # per image and orientation
_SIDE = 32  # pixels; size of the compared images
_SCALE = 6.0  # pixels; coarse, since the standard frames of copies differ by a few pixels
_COMPONENTS = 64  # principal components per image
_SAMPLE = 4000  # images used to compute the principal components
_MAX_DISTANCE = 1.4  # squared distance of unit vectors; 1.4 is a correlation of 0.3
_EXACT_UP_TO = 100  # images, for which the search is exhaustive
_TREES, _CHECKS = 4, 96  # of the index: higher is more exact and slower
_CHUNK = 4096  # images rotated at a time

Pairs = NDArray[np.int32]


def small_detail(image: Picture) -> Field:
    """Compute the normalised detail of an image in the standard frame at low resolution: float32 (32, 32), norm 1."""
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    fine = detail(np.asarray(small, np.uint8), _SCALE)
    fine -= fine.mean()
    return np.asarray(fine / max(float(np.linalg.norm(fine)), 1e-6), np.float32)


def candidate_pairs(details: Field, seed: int) -> Pairs:
    """Find candidate pairs: triples (one, other, orientation), where ``one`` rotated so resembles ``other``.

    Each pair occurs once. There are some dozens per image, whatever the number of images.

    Args:
        details: float32 (images, 32, 32), from ``small_detail``.
        seed: seed of the index, whose trees are random.

    Returns:
        int32 (pairs, 3), the nearest first.
    """
    if len(details) < 2:
        return np.empty((0, 3), np.int32)
    basis = _principal_components(details, seed)
    cv2.setRNGSeed(seed)
    # If there are hardly more images than neighbours, a forest can find too few, and OpenCV fails.
    kind = {"algorithm": 1, "trees": _TREES} if len(details) > _EXACT_UP_TO else {"algorithm": 0}
    index = cv2.flann.Index(_project(details, basis, 0), kind)
    rows, distances = [], []
    for orientation in range(ORIENTATIONS):
        count = min(NEIGHBOURS, len(details))
        found, far = index.knnSearch(_project(details, basis, orientation), count, params={"checks": _CHECKS})
        one = np.repeat(np.arange(len(details), dtype=np.int32), count)
        rows.append(np.column_stack([one, found.ravel(), np.full(len(one), orientation, np.int32)]))
        distances.append(far.ravel())
    return _unique_pairs(np.concatenate(rows), np.concatenate(distances))


def _unique_pairs(rows: Pairs, distances: NDArray[np.float32]) -> Pairs:
    near = (rows[:, 0] != rows[:, 1]) & (distances < _MAX_DISTANCE)
    rows, distances = rows[near], distances[near]
    order = np.argsort(distances, kind="stable")
    pairs = np.sort(rows[order, :2], axis=1).astype(np.int64)
    _, first = np.unique(pairs[:, 0] << 32 | pairs[:, 1], return_index=True)
    return np.asarray(rows[order[np.sort(first)]], np.int32)


def _project(details: Field, basis: Field, orientation: int) -> Field:
    """Project rotated images on the principal components: float32 (images, 64)."""
    chunks = range(0, len(details), _CHUNK)
    return np.concatenate([_rotated(details[start : start + _CHUNK], orientation) @ basis for start in chunks])


def _rotated(details: Field, orientation: int) -> Field:
    return np.stack([np.asarray(oriented(square, orientation), np.float32).ravel() for square in details])


def _principal_components(details: Field, seed: int) -> Field:
    """Compute principal components, float32 (1024, at most 64), of a sample of images in all orientations."""
    rng = np.random.default_rng(seed)
    sample = rng.permutation(len(details))[: _SAMPLE // ORIENTATIONS]
    rotated = np.concatenate([_rotated(details[sample], orientation) for orientation in range(ORIENTATIONS)])
    _, _, components = np.linalg.svd(rotated - rotated.mean(axis=0), full_matrices=False)
    return np.asarray(components[:_COMPONENTS].T, np.float32)
