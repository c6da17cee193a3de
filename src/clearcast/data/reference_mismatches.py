"""Detection of mismatched references: they show another part, or are rotated by quarter turns or mirrored.

Thumbnails are compared by their partially whitened spectrum, so that the few frequencies of periodic noise have little
weight, however strong the noise is. Another reference or orientation is accepted only if it fits far better than noise
explains. So similar parts and symmetric parts cause no false positives.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.data.images import COMPARISON_THUMBNAIL_SIDE, ImageMetadata
from clearcast.data.sheet import SheetRow

SpectrumVectors = NDArray[np.float32]

_MAX_FREQUENCY = 12.0  # periods per image; above, noise dominates thumbnails
_WHITENING = 0.75  # amplitudes are divided by this power of themselves: 0 changes nothing, 1 keeps only the phases
_SIGNIFICANCE = 4.0  # standard deviations; correct pairs of castings reach 1.1, of magnetic tiles 3.1
_MIN_CORRELATION = 0.4  # of an alternative with the noisy image; noise alone reaches 0.3
_INDEPENDENT_SHARE = 1 / 1.5**2  # share of independent frequencies: a Hann window has a noise bandwidth of 1.5 per axis
_MIN_GAIN = 0.05  # in correlation; smaller differences can be caused by encoding or focus
_OWN_BONUS = 0.01  # in correlation; prefers the named reference, rotated, to another one that fits hardly better
_ORIENTATIONS = 8
_MAX_COMPARISONS = 5 * 10**8  # of vectors; some 25 seconds on one core
_SAMPLE = 256  # references used to select the rows to compare, if there are too many for a full search
_CHUNK = 512  # references compared at a time

_ORIENTATION_NAMES = (
    "",
    "mirrored left to right",
    "rotated by 90 degrees counterclockwise",
    "rotated by 90 degrees counterclockwise and mirrored left to right",
    "rotated by 180 degrees",
    "mirrored top to bottom",
    "rotated by 90 degrees clockwise",
    "rotated by 90 degrees clockwise and mirrored left to right",
)

_WINDOW = np.outer(
    np.hanning(COMPARISON_THUMBNAIL_SIDE + 2)[1:-1], np.hanning(COMPARISON_THUMBNAIL_SIDE + 2)[1:-1]
).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ReferenceMismatch:
    """A row whose reference does not match its noisy image, and the reference that matches.

    Attributes:
        row: the row.
        reference: path of the matching reference: the row's own, or another one of the sheet.
        orientation: its orientation in the noisy image: rotated counterclockwise by ``orientation // 2`` quarter turns,
            then mirrored left to right if odd.
    """

    row: SheetRow
    reference: str
    orientation: int

    @property
    def message(self) -> str:
        """Description for messages."""
        orientation = _ORIENTATION_NAMES[self.orientation]
        if self.reference == self.row.reference:
            return f"the noisy image shows its reference {self.reference} {orientation}; rotate or mirror one of them"
        return (
            f"the noisy image does not match its reference {self.row.reference}; {self.reference}"
            f"{f', {orientation},' if orientation else ''} matches: correct the row"
        )


def find_reference_mismatches(
    rows: Sequence[SheetRow], metadata: Mapping[str, ImageMetadata]
) -> list[ReferenceMismatch]:
    """Find the rows whose reference does not match while another one of the sheet does, in one of eight orientations.

    Each row is compared with its own reference, rotated and mirrored. In sheets of more than some 7,900 rows, only the
    most suspicious rows are compared with all references. Rows without a reference are skipped.
    """
    thumbnails = {path: entry.thumbnail for path, entry in metadata.items() if entry.thumbnail is not None}
    paired = [row for row in rows if row.noisy in thumbnails and row.reference in thumbnails]
    if not paired:
        return []
    names = list(dict.fromkeys(row.reference for row in paired))
    indices = {name: index for index, name in enumerate(names)}
    named = np.array([indices[row.reference] for row in paired])
    noisy = _vectors(np.stack([thumbnails[row.noisy] for row in paired]))
    references = np.stack([thumbnails[name] for name in names])
    best = _BestMatches(noisy, _vectors(references[named]))
    for orientation in range(1, _ORIENTATIONS):
        best.try_own(_vectors(_oriented(references[named], orientation)), named, orientation)
    best.search(references, _suspicious_rows(noisy, references, named))
    return [
        ReferenceMismatch(
            row=paired[number], reference=names[best.reference[number]], orientation=int(best.orientation[number])
        )
        for number in np.flatnonzero(best.reference >= 0)
    ]


class _BestMatches:
    """The best alternative to each row's own reference found so far; ``reference`` is -1 if there is none.

    Args:
        noisy: vectors of the noisy images, shape (rows, frequencies).
        own: vectors of their references, same shape.
    """

    def __init__(self, noisy: SpectrumVectors, own: SpectrumVectors) -> None:
        self._noisy, self._own = noisy, own
        self._own_fit = _row_products(noisy, own)
        self._score = np.zeros(len(noisy), np.float32)
        self.reference = np.full(len(noisy), -1)
        self.orientation = np.zeros(len(noisy), np.int64)

    def try_own(self, rotated: SpectrumVectors, named: NDArray[np.int64], orientation: int) -> None:
        """Try each row's own reference in another orientation."""
        fit, similarity = _row_products(self._noisy, rotated), _row_products(self._own, rotated)
        accepted = _is_better(fit, self._own_fit, similarity, self._noisy.shape[1])
        self._keep_better(np.arange(len(fit)), np.where(accepted, fit + _OWN_BONUS, 0), named, orientation)

    def search(self, references: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        """Try all references in all orientations for some rows."""
        for orientation, start, vectors in _all_vectors(references):
            fit, similarity = self._noisy[rows] @ vectors.T, self._own[rows] @ vectors.T
            accepted = _is_better(fit, self._own_fit[rows, None], similarity, self._noisy.shape[1])
            score = np.where(accepted, fit, 0)
            found = score.argmax(axis=1)
            self._keep_better(rows, score[np.arange(len(rows)), found], found + start, orientation)

    def _keep_better(
        self, rows: NDArray[np.int64], score: SpectrumVectors, reference: NDArray[np.int64], orientation: int
    ) -> None:
        better = score > self._score[rows]
        self._score[rows[better]] = score[better]
        self.reference[rows[better]] = reference[better]
        self.orientation[rows[better]] = orientation


def _is_better(
    fit: SpectrumVectors, own_fit: SpectrumVectors, similarity: SpectrumVectors, count: int
) -> NDArray[np.bool_]:
    """Whether an alternative fits significantly better than the row's own reference.

    The noise in the difference of both correlations has a standard deviation of the distance between both references
    times that of the noise in one of ``count`` frequencies, of which the window makes neighbours dependent.
    """
    gain = fit - own_fit
    distance = np.sqrt(np.maximum(2 - 2 * similarity, 1e-6))
    noise = np.sqrt((1 - np.square(np.clip(fit, 0, 1))) / (count * _INDEPENDENT_SHARE))
    better: NDArray[np.bool_] = (
        (fit > _MIN_CORRELATION) & (gain > _MIN_GAIN) & (gain > _SIGNIFICANCE * distance * noise)
    )
    return better


def _suspicious_rows(
    noisy: SpectrumVectors, references: NDArray[np.uint8], named: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Select the rows to compare with all references: all, or of too many those that other references fit best."""
    most = _MAX_COMPARISONS // (_ORIENTATIONS * len(references))
    if len(noisy) <= most:
        return np.arange(len(noisy))
    sample = np.random.default_rng(0).choice(len(references), min(_SAMPLE, len(references)), replace=False)
    others = noisy @ _vectors(references[sample]).T
    gain = others.max(axis=1) - _row_products(noisy, _vectors(references[named]))
    return np.argsort(-gain, kind="stable")[:most]


def _all_vectors(references: NDArray[np.uint8]) -> Iterator[tuple[int, int, SpectrumVectors]]:
    """Iterate over chunks of references: their orientation, the index of the first one, and their vectors."""
    for orientation in range(_ORIENTATIONS):
        for start in range(0, len(references), _CHUNK):
            yield orientation, start, _vectors(_oriented(references[start : start + _CHUNK], orientation))


def _oriented(thumbnails: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    rotated = np.rot90(thumbnails, orientation // 2, axes=(1, 2))
    return rotated[:, :, ::-1] if orientation % 2 else rotated


def _vectors(thumbnails: NDArray[np.uint8]) -> SpectrumVectors:
    """Compute the whitened spectrum of each thumbnail as a unit vector; a zero vector for a uniform image.

    Args:
        thumbnails: uint8 (images, SIDE, SIDE).

    Returns:
        float32 (images, frequencies).
    """
    return np.concatenate(
        [_chunk_vectors(thumbnails[start : start + _CHUNK]) for start in range(0, len(thumbnails), _CHUNK)]
    )


def _chunk_vectors(thumbnails: NDArray[np.uint8]) -> SpectrumVectors:
    field = thumbnails.astype(np.float32)
    field = (field - field.mean(axis=(1, 2), keepdims=True)) * _WINDOW  # edges would look like stripes
    field -= field.mean(axis=(1, 2), keepdims=True)
    spectrum = np.fft.rfft2(field)[:, _FREQUENCIES]
    spectrum /= np.abs(spectrum) ** _WHITENING + 1e-3
    parts = np.concatenate([spectrum.real, spectrum.imag], axis=1).astype(np.float32)
    length = np.linalg.norm(parts, axis=1, keepdims=True)
    return np.asarray(np.divide(parts, length, out=np.zeros_like(parts), where=length > 1e-3), np.float32)


def _row_products(one: SpectrumVectors, other: SpectrumVectors) -> SpectrumVectors:
    products: SpectrumVectors = np.einsum("ij,ij->i", one, other)
    return products


def _frequencies() -> NDArray[np.bool_]:
    """Return a mask of the values of ``rfft2`` to compare: each low frequency once, without the mean."""
    down, across = (
        np.fft.fftfreq(COMPARISON_THUMBNAIL_SIDE)[:, None] * COMPARISON_THUMBNAIL_SIDE,
        np.fft.rfftfreq(COMPARISON_THUMBNAIL_SIDE)[None] * COMPARISON_THUMBNAIL_SIDE,
    )
    distance = np.hypot(down, across)
    counted: NDArray[np.bool_] = (distance > 0) & (distance <= _MAX_FREQUENCY) & ((across > 0) | (down > 0))
    return counted


_FREQUENCIES = _frequencies()
