"""Image comparison for group detection: prefilter, pose normalisation, candidate pairs, alignment and match score.

The prefilter removes impulse and periodic noise. ``normalise_pose`` transforms each image to the standard frame.
``find_candidate_pairs`` searches nearest neighbours among low-resolution details in eight orientations.
``align_roughly`` and ``compute_match_score`` register a pair (ECC) and compare it everywhere.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.core.decoding.image_info import ImageArray

DetailMap = NDArray[np.float32]
CandidatePairs = NDArray[np.int32]
AffineMatrix = NDArray[np.float32]

STANDARD_FRAME_SIDE = 160  # pixels; size of the standard frame
_ORIENTATIONS = 8

# Prefilter.
_FILTER_SIDE = 256  # pixels; noisy images are reduced to this, which averages Gaussian noise
_PEAK = 2.0  # height of a spectral peak over its neighbours (natural logarithm of the amplitude)
_MIN_FREQUENCY = 4  # periods per image; lower frequencies are the part itself
_NOTCH = 5  # frequencies; size of the square that is removed around a peak

# Pose normalisation.
_WORKING_SIDE = 256  # pixels; larger images are reduced first
_SPREAD = 0.22 * STANDARD_FRAME_SIDE  # standard deviation of contrast along either axis, in the standard frame
_BLUR = 0.5  # pixels of the standard frame; prevents aliasing of fine grooves, which differs between copies
_LOW, _HIGH = 60, 95  # percentiles of contrast: below is background, above is clipped

# Candidate pairs.
_NEIGHBOURS = 12  # per image and orientation
_DETAIL_SIDE = 32  # pixels; size of the compared images
_SMALL_DETAIL_SCALE = 6.0  # pixels; coarse, since the standard frames of copies differ by a few pixels
_COMPONENTS = 64  # principal components per image
_SAMPLE = 4000  # images used to compute the principal components
_MAX_DISTANCE = 1.4  # squared distance of unit vectors; 1.4 is a correlation of 0.3
_EXACT_UP_TO = 100  # images, for which the search is exhaustive
_TREES, _CHECKS = 4, 96  # of the index: higher is more exact and slower
_CHUNK = 4096  # images rotated at a time

# Alignment and match score.
_FINE_SCALE = 2.0  # pixels; scale of the high-pass filter for noise-free images
_COARSE_BAND = 2.0, 4.0  # pixels; scales of the band-pass filter for noisy images
_HALF, _HALF_DETAIL_SCALE = STANDARD_FRAME_SIDE // 2, 3.0  # pixels; size and detail scale for the alignment
_WINDOW, _COARSE_WINDOW = 3.0, 4.0  # pixels; standard deviation of the local windows
_TEXTURE = 3.0  # grey levels; areas with less local variation in both images are not compared
_PERCENTILE, _COARSE_PERCENTILE = 10, 20  # percentile of the local correlation: the images must match nearly everywhere
_COARSE_SCALE = 6  # maps scores of coarse detail, where copies exceed 0.983, to those of fine detail, 0.9
_MARGIN = 4  # pixels; ignored border
_RADIUS = 0.44 * STANDARD_FRAME_SIDE  # pixels from the centre of the frame; further out is background
_MIN_SHARE = 0.02  # of the frame that must be comparable
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 1e-3)  # of the alignment: steps, gain in correlation
_SMOOTHING = 3  # pixels, odd; smoothing in the alignment
_MAX_GROWTH = 2.0  # in area; the frames of copies differ by less

_ACROSS = np.arange(STANDARD_FRAME_SIDE) - (STANDARD_FRAME_SIDE - 1) / 2
_MIDDLE = np.hypot(_ACROSS[:, None], _ACROSS) < _RADIUS
_WHOLE = np.pad(np.ones((STANDARD_FRAME_SIDE - 2 * _MARGIN, STANDARD_FRAME_SIDE - 2 * _MARGIN), np.uint8), _MARGIN)


def prefilter_noise(grey: ImageArray) -> ImageArray:
    """Remove impulse and periodic noise: uint8, at most 256 pixels per side, from uint8 (height, width)."""
    filtered = cv2.medianBlur(grey, 3)
    scale = _FILTER_SIDE / max(filtered.shape)
    if scale < 1:
        filtered = cv2.resize(filtered, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return _remove_spectral_peaks(np.asarray(filtered, np.uint8))


def normalise_pose(grey: ImageArray) -> ImageArray:
    """Transform an image to the standard frame: uint8 (SIDE, SIDE), from uint8 (height, width)."""
    scale = _WORKING_SIDE / max(grey.shape)
    if scale < 1:
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    (x, spread_x), (y, spread_y) = _contrast_moments(grey.astype(np.float32))
    step_x, step_y = spread_x / _SPREAD, spread_y / _SPREAD  # pixels of the image per pixel of the frame
    soft = cv2.GaussianBlur(grey, (0, 0), _BLUR * step_x, sigmaY=_BLUR * step_y)
    middle = (STANDARD_FRAME_SIDE - 1) / 2
    matrix = np.array([[step_x, 0, x - step_x * middle], [0, step_y, y - step_y * middle]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(
            soft, matrix, (STANDARD_FRAME_SIDE, STANDARD_FRAME_SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE
        ),
        np.uint8,
    )


def compute_small_detail(image: ImageArray) -> DetailMap:
    """Compute the normalised detail of an image in the standard frame at low resolution: float32 (32, 32), norm 1."""
    small = cv2.resize(image, (_DETAIL_SIDE, _DETAIL_SIDE), interpolation=cv2.INTER_AREA)
    fine = _normalised_detail(np.asarray(small, np.uint8), _SMALL_DETAIL_SCALE)
    fine -= fine.mean()
    return np.asarray(fine / max(float(np.linalg.norm(fine)), 1e-6), np.float32)


def find_candidate_pairs(details: DetailMap, seed: int) -> CandidatePairs:
    """Find candidate pairs: triples (one, other, orientation), where ``one`` rotated so resembles ``other``.

    Each pair occurs once. There are some dozens per image, whatever the number of images.

    Args:
        details: float32 (images, 32, 32), from ``compute_small_detail``.
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
    for orientation in range(_ORIENTATIONS):
        count = min(_NEIGHBOURS, len(details))
        found, far = index.knnSearch(_project(details, basis, orientation), count, params={"checks": _CHECKS})
        one = np.repeat(np.arange(len(details), dtype=np.int32), count)
        rows.append(np.column_stack([one, found.ravel(), np.full(len(one), orientation, np.int32)]))
        distances.append(far.ravel())
    return _unique_pairs(np.concatenate(rows), np.concatenate(distances))


def align_roughly(one: DetailMap, other: DetailMap, orientation: int) -> tuple[float, AffineMatrix]:
    """Align low-resolution images, which is cheap, to select the pairs that are compared in full.

    Args:
        one: float32 (side, side), detail of an image, which is rotated by ``orientation`` and aligned.
        other: float32 (side, side), detail of the other image.
        orientation: see ``_apply_orientation``.

    Returns:
        The correlation after alignment, at most 1, and the affine matrix (2, 3) in pixels of the standard frame.
    """
    start = np.eye(2, 3, dtype=np.float32)
    correlation, matrix = _align(np.asarray(_apply_orientation(one, orientation), np.float32), other, start)
    return correlation, _scale_matrix(matrix, STANDARD_FRAME_SIDE / len(one))


def compute_match_score(
    one: ImageArray, other: ImageArray, orientation: int, start: AffineMatrix, *, noisy: bool = False
) -> float:
    """Compute the match score of two images: a low percentile of their local correlation after alignment.

    Args:
        one: uint8 (SIDE, SIDE), an image in the standard frame, which is rotated by ``orientation`` and aligned.
        other: uint8 (SIDE, SIDE), the other image.
        orientation: see ``_apply_orientation``.
        start: initial alignment, from ``align_roughly``.
        noisy: compare coarser detail, since noise hides the finest; the score is mapped to the same scale.

    Returns:
        The score, at most 1, and about 0 for unrelated images.
    """
    rotated = np.asarray(_apply_orientation(one, orientation), np.uint8)
    _, matrix = _align(_half_detail(rotated), _half_detail(other), _scale_matrix(start, _HALF / STANDARD_FRAME_SIDE))
    matrix = _scale_matrix(matrix, STANDARD_FRAME_SIDE / _HALF)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        rotated.astype(np.float32),
        matrix,
        (STANDARD_FRAME_SIDE, STANDARD_FRAME_SIDE),
        flags=flags,
        borderMode=cv2.BORDER_REPLICATE,
    )
    covered = cv2.warpAffine(_WHOLE, matrix, (STANDARD_FRAME_SIDE, STANDARD_FRAME_SIDE), flags=flags) > 0
    score = _coarse_match_score if noisy else _fine_match_score
    return score(np.asarray(warped, np.float32), other.astype(np.float32), covered & _MIDDLE)


def align_images(one: ImageArray, other: ImageArray) -> tuple[ImageArray, ImageArray]:
    """Align ``one`` with ``other``, in the best of eight orientations.

    Args:
        one: grey image, uint8 (height, width).
        other: another grey image, of any size.

    Returns:
        Both images, uint8 (SIDE, SIDE).
    """
    frames = normalise_pose(one), normalise_pose(other)
    small_one, small_other = map(compute_small_detail, frames)
    found = [(*align_roughly(small_one, small_other, each), each) for each in range(_ORIENTATIONS)]
    _, matrix, orientation = max(found, key=lambda alignment: alignment[0])
    rotated = np.asarray(_apply_orientation(frames[0], orientation), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(rotated, matrix, (STANDARD_FRAME_SIDE, STANDARD_FRAME_SIDE), flags=flags), np.uint8
    ), frames[1]


def _remove_spectral_peaks(grey: ImageArray) -> ImageArray:
    """Apply a notch filter to peaks in the spectrum: periodic noise has peaks, parts have broad spectra."""
    field = grey.astype(np.float32)
    height, width = field.shape
    mean = float(field.mean())
    window = np.outer(np.hanning(height), np.hanning(width))
    strength = np.log(np.abs(np.fft.fftshift(np.fft.fft2((field - mean) * window))) + 1).astype(np.float32)
    peaks = strength - cv2.medianBlur(strength, 5) > _PEAK
    high = np.hypot(np.arange(height)[:, None] - height // 2, np.arange(width) - width // 2) > _MIN_FREQUENCY
    removed = cv2.dilate((peaks & high).astype(np.uint8), np.ones((_NOTCH, _NOTCH), np.uint8)) > 0
    spectrum = np.fft.fftshift(np.fft.fft2(field - mean))
    spectrum[removed] = 0
    return np.clip(np.fft.ifft2(np.fft.ifftshift(spectrum)).real + mean, 0, 255).astype(np.uint8)


def _contrast_moments(field: DetailMap) -> tuple[tuple[float, float], tuple[float, float]]:
    """Compute mean and standard deviation of the contrast along x and along y, in pixels."""
    soft = cv2.GaussianBlur(field, (0, 0), 4)
    contrast = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))
    low, high = np.percentile(contrast, (_LOW, _HIGH))
    weight = np.clip(contrast, low, high) - low
    return _moments(weight.sum(axis=0)), _moments(weight.sum(axis=1))


def _moments(weights: DetailMap) -> tuple[float, float]:
    places = np.arange(len(weights))
    if not weights.any():  # a uniform image
        weights = np.ones_like(weights)
    share = weights / weights.sum()
    mean = float((share * places).sum())
    return mean, max(float(np.sqrt((share * (places - mean) ** 2).sum())), 1.0)


def _apply_orientation(image: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Apply one of eight orientations: rotate by ``orientation // 2`` quarter turns, then mirror if it is odd."""
    rotated = np.rot90(image, orientation // 2)
    return np.ascontiguousarray(rotated[:, ::-1] if orientation % 2 else rotated)


def _normalised_detail(image: ImageArray | DetailMap, scale: float) -> DetailMap:
    """High-pass filter with local contrast normalisation: detail finer than ``scale`` pixels, without lighting."""
    field = image.astype(np.float32)
    fine = field - cv2.GaussianBlur(field, (0, 0), scale)
    strength = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 2 * scale) + 4)  # 4: ignores noise of two grey levels
    return np.asarray(fine / strength, np.float32)


def _unique_pairs(rows: CandidatePairs, distances: NDArray[np.float32]) -> CandidatePairs:
    near = (rows[:, 0] != rows[:, 1]) & (distances < _MAX_DISTANCE)
    rows, distances = rows[near], distances[near]
    order = np.argsort(distances, kind="stable")
    pairs = np.sort(rows[order, :2], axis=1).astype(np.int64)
    _, first = np.unique(pairs[:, 0] << 32 | pairs[:, 1], return_index=True)
    return np.asarray(rows[order[np.sort(first)]], np.int32)


def _project(details: DetailMap, basis: DetailMap, orientation: int) -> DetailMap:
    """Project rotated images on the principal components: float32 (images, 64)."""
    chunks = range(0, len(details), _CHUNK)
    return np.concatenate([_rotated(details[start : start + _CHUNK], orientation) @ basis for start in chunks])


def _rotated(details: DetailMap, orientation: int) -> DetailMap:
    return np.stack([np.asarray(_apply_orientation(square, orientation), np.float32).ravel() for square in details])


def _principal_components(details: DetailMap, seed: int) -> DetailMap:
    """Compute principal components, float32 (1024, at most 64), of a sample of images in all orientations."""
    rng = np.random.default_rng(seed)
    sample = rng.permutation(len(details))[: _SAMPLE // _ORIENTATIONS]
    rotated = np.concatenate([_rotated(details[sample], orientation) for orientation in range(_ORIENTATIONS)])
    _, _, components = np.linalg.svd(rotated - rotated.mean(axis=0), full_matrices=False)
    return np.asarray(components[:_COMPONENTS].T, np.float32)


def _half_detail(image: ImageArray) -> DetailMap:
    half = cv2.resize(image, (_HALF, _HALF), interpolation=cv2.INTER_AREA)
    return _normalised_detail(np.asarray(half, np.uint8), _HALF_DETAIL_SCALE)


def _align(one: DetailMap, other: DetailMap, start: AffineMatrix) -> tuple[float, AffineMatrix]:
    """Register two images by the enhanced correlation coefficient (ECC; Evangelidis and Psarakis, 2008)."""
    initial = start.copy()  # OpenCV overwrites it
    try:
        correlation, matrix = cv2.findTransformECC(other, one, initial, cv2.MOTION_AFFINE, _STOP, None, _SMOOTHING)
    except cv2.error:  # raised if the iteration does not converge
        return 0.0, start
    if not 1 / _MAX_GROWTH < float(np.linalg.det(matrix[:, :2])) < _MAX_GROWTH:  # diverged to a featureless corner
        return 0.0, start
    return float(correlation), np.asarray(matrix, np.float32)


def _scale_matrix(matrix: AffineMatrix, scale: float) -> AffineMatrix:
    """Convert an alignment to images ``scale`` times as large, with pixel centres at half-integers."""
    linear, shift = matrix[:, :2], matrix[:, 2]
    middle = 0.5 / scale - 0.5  # position of the large image's first pixel in the small one
    return np.column_stack([linear, scale * (linear @ np.full(2, middle) + shift + 0.5) - 0.5]).astype(np.float32)


def _fine_match_score(one: DetailMap, other: DetailMap, compared: NDArray[np.bool_]) -> float:
    """Compute a low percentile of the local correlation of fine detail."""
    a, b = (field - cv2.GaussianBlur(field, (0, 0), _FINE_SCALE) for field in (one, other))
    both, of_a, of_b = _products(a, b, _WINDOW)
    textured = compared & (np.minimum(of_a, of_b) > _TEXTURE**2)
    if textured.mean() < _MIN_SHARE:
        return 0.0
    return float(np.percentile(both[textured] / np.sqrt(of_a[textured] * of_b[textured] + 4), _PERCENTILE))


def _coarse_match_score(one: DetailMap, other: DetailMap, compared: NDArray[np.bool_]) -> float:
    """Compute the same for coarser detail, also in areas without texture, since noise is texture everywhere."""
    if compared.mean() < _MIN_SHARE:
        return 0.0
    fine_scale, coarse_scale = _COARSE_BAND
    a, b = (cv2.GaussianBlur(f, (0, 0), fine_scale) - cv2.GaussianBlur(f, (0, 0), coarse_scale) for f in (one, other))
    both, of_a, of_b = _products(a, b, _COARSE_WINDOW)
    correlation = both[compared] / np.sqrt(of_a[compared] * of_b[compared] + 0.5)
    return 1 - _COARSE_SCALE * (1 - float(np.percentile(correlation, _COARSE_PERCENTILE)))


def _products(a: DetailMap, b: DetailMap, window: float) -> tuple[DetailMap, DetailMap, DetailMap]:
    """Compute local means of ``a * b``, ``a * a`` and ``b * b``."""
    both, of_a, of_b = (cv2.GaussianBlur(product, (0, 0), window) for product in (a * b, a * a, b * b))
    return both, of_a, of_b
