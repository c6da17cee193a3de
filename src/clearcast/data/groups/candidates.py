"""Pairs of pictures that may show the same part, from an index of nearest neighbours rather than from all pairs."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.data.groups.canonical import ORIENTATIONS, detail, oriented
from clearcast.imaging import Picture

NEIGHBOURS = 8  # looked at for each picture and orientation
_SIDE = 32  # pixels a side of what is compared here
_SCALE = 3.0
_NUMBERS = 64  # principal components kept of each picture
_SAMPLE = 4000  # pictures that the principal components are found from
_FARTHEST = 1.4  # squared distance of unit vectors: pairs that correlate less than by 0.3 are not looked at
_TREES, _CHECKS = 4, 96  # of the index: more is more exact and slower


def descriptor(picture: Picture) -> NDArray[np.float32]:
    """A small picture's detail of length 1: float32 (1024,), from a picture in the standard frame."""
    small = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    fine = detail(np.asarray(small, np.uint8), _SCALE).ravel()
    fine -= fine.mean()
    return np.asarray(fine / max(float(np.linalg.norm(fine)), 1e-6), np.float32)


def candidate_pairs(descriptors: NDArray[np.float32], seed: int) -> list[tuple[int, int, int]]:
    """Triples (one, other, orientation), the likeliest first: ``one`` turned so looks like ``other``.

    There are some dozens for each picture, whatever the number of pictures.

    Args:
        descriptors: float32 (pictures, 1024), as ``descriptor`` gives them.
        seed: for the index, whose trees are random.
    """
    if len(descriptors) < 2:
        return []
    basis = _principal_components(descriptors, seed)
    cv2.setRNGSeed(seed)
    index = cv2.flann.Index(np.ascontiguousarray(descriptors @ basis), {"algorithm": 1, "trees": _TREES})
    best: dict[tuple[int, int], tuple[float, int, int, int]] = {}
    for orientation in range(ORIENTATIONS):
        for one, other, distance in _neighbours(index, descriptors, basis, orientation):
            pair = (min(one, other), max(one, other))
            if one != other and (pair not in best or distance < best[pair][0]):
                best[pair] = (distance, one, other, orientation)
    return [
        (one, other, orientation) for distance, one, other, orientation in sorted(best.values()) if distance < _FARTHEST
    ]


def _neighbours(
    index: cv2.flann.Index, descriptors: NDArray[np.float32], basis: NDArray[np.float32], orientation: int
) -> Iterator[tuple[int, int, float]]:
    turned = _turned(descriptors, orientation)
    count = min(NEIGHBOURS, len(descriptors))
    found, distances = index.knnSearch(np.ascontiguousarray(turned @ basis), count, params={"checks": _CHECKS})
    for one, (others, far) in enumerate(zip(found, distances, strict=True)):
        yield from ((one, int(other), float(distance)) for other, distance in zip(others, far, strict=True))


def _turned(descriptors: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    squares = descriptors.reshape(-1, _SIDE, _SIDE)
    return np.stack([np.asarray(oriented(square, orientation), np.float32).ravel() for square in squares])


def _principal_components(descriptors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Directions in which pictures differ most, float32 (1024, at most 64), from some pictures in all orientations."""
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(descriptors))[: _SAMPLE // ORIENTATIONS]
    turned = np.concatenate([_turned(descriptors[some], orientation) for orientation in range(ORIENTATIONS)])
    _, _, directions = np.linalg.svd(turned - turned.mean(axis=0), full_matrices=False)
    return np.asarray(directions[:_NUMBERS].T, np.float32)
