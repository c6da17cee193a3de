"""Rows whose reference is not what the noisy image shows: of another part, turned by quarters, or mirrored.

Images are compared as small copies by their spectrum, in which every frequency counts nearly the same. So the few
frequencies of periodic noise decide nothing, however strong it is. Another reference, or another orientation, is
believed only if it fits better by far more than what noise explains: parts that look alike, and parts that look the
same when turned, raise no alarm.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.data.facts import PictureFacts
from clearcast.data.sheet import Row
from clearcast.data.thumbnails import SIDE

Vectors = NDArray[np.float32]

_FASTEST = 12.0  # periods an image: beyond, noise rules in small copies
_EVENNESS = 0.75  # amplitudes are divided by this power of themselves: 0 leaves them as they are, 1 keeps phases alone
_BEYOND_NOISE = 4.0  # standard deviations; correct pairs of castings reach 1.1 and of magnetic tiles 3.1
_LEAST_FIT = 0.4  # correlation from which an alternative is like the image at all; noise alone reaches 0.3
_INDEPENDENT = 1 / 1.5**2  # of the frequencies: the noise bandwidth of a Hann window is 1.5 along each axis
_MARGIN = 0.05  # of correlation: finer differences may come from encoding or focus
_SIMPLER = 0.01  # of correlation: the named reference, turned, is preferred to another that fits so little better
_ORIENTATIONS = 8
_PRODUCTS = 5 * 10**8  # pairs of vectors that are compared at most: some 25 seconds of a core
_SAMPLE = 256  # references that tell which rows are looked at more closely if there are too many for all
_CHUNK = 512  # references compared at a time


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """A row whose reference does not fit, and what fits.

    Attributes:
        row: the row.
        reference: the path of the reference that fits: the row's own, or another of the sheet.
        orientation: how the noisy image shows it: turned counterclockwise by ``orientation // 2`` quarters, then
            mirrored left to right if odd.
    """

    row: Row
    reference: str
    orientation: int

    @property
    def message(self) -> str:
        """What is wrong, as a sentence."""
        shown = _ORIENTATION_NAMES[self.orientation]
        if self.reference == self.row.reference:
            return f"the noisy image shows its reference {self.reference} {shown}; turn or mirror one of the two"
        return (
            f"the noisy image does not show its reference {self.row.reference}; {self.reference}"
            f"{f', {shown},' if shown else ''} fits: correct the row"
        )


_ORIENTATION_NAMES = (
    "",
    "mirrored left to right",
    "turned by 90 degrees counterclockwise",
    "turned by 90 degrees counterclockwise and mirrored left to right",
    "turned by 180 degrees",
    "mirrored top to bottom",
    "turned by 90 degrees clockwise",
    "turned by 90 degrees clockwise and mirrored left to right",
)


def find_mismatches(rows: Sequence[Row], facts: Mapping[str, PictureFacts]) -> list[Mismatch]:
    """Find the rows whose reference does not fit while another of the sheet does, in one of eight orientations.

    Rows of large sheets, of more than some 7,900 rows, are compared with all references only if they are among those
    most in doubt; with their own, turned and mirrored, in any case. Rows without a reference are passed over.
    """
    small = {path: fact.thumbnail for path, fact in facts.items() if fact.thumbnail is not None}
    paired = [row for row in rows if row.noisy in small and row.reference in small]
    if not paired:
        return []
    names = list(dict.fromkeys(row.reference for row in paired))
    place = {name: number for number, name in enumerate(names)}
    named = np.array([place[row.reference] for row in paired])
    noisy = _vectors(np.stack([small[row.noisy] for row in paired]))
    references = np.stack([small[name] for name in names])
    best = _Best(noisy, _vectors(references[named]))
    for orientation in range(1, _ORIENTATIONS):
        best.try_own(_vectors(_oriented(references[named], orientation)), named, orientation)
    best.search(references, _in_doubt(noisy, references, named))
    return [
        Mismatch(row=paired[number], reference=names[best.reference[number]], orientation=int(best.orientation[number]))
        for number in np.flatnonzero(best.reference >= 0)
    ]


class _Best:
    """The best alternative to each row's own reference that is found so far; ``reference`` is -1 where there is none.

    Args:
        noisy: of the noisy images, shape (rows, frequencies).
        own: of their references, likewise.
    """

    def __init__(self, noisy: Vectors, own: Vectors) -> None:
        self._noisy, self._own = noisy, own
        self._own_fit = _row_products(noisy, own)
        self._score = np.zeros(len(noisy), np.float32)
        self.reference = np.full(len(noisy), -1)
        self.orientation = np.zeros(len(noisy), np.int64)

    def try_own(self, turned: Vectors, named: NDArray[np.int64], orientation: int) -> None:
        """Try each row's own reference in another orientation."""
        fit, alike = _row_products(self._noisy, turned), _row_products(self._own, turned)
        accepted = _is_better(fit, self._own_fit, alike, self._noisy.shape[1])
        self._keep(np.arange(len(fit)), np.where(accepted, fit + _SIMPLER, 0), named, orientation)

    def search(self, references: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        """Try all references in all orientations for some rows."""
        for orientation, start, vectors in _all_vectors(references):
            fit, alike = self._noisy[rows] @ vectors.T, self._own[rows] @ vectors.T
            accepted = _is_better(fit, self._own_fit[rows, None], alike, self._noisy.shape[1])
            score = np.where(accepted, fit, 0)
            found = score.argmax(axis=1)
            self._keep(rows, score[np.arange(len(rows)), found], found + start, orientation)

    def _keep(self, rows: NDArray[np.int64], score: Vectors, reference: NDArray[np.int64], orientation: int) -> None:
        better = score > self._score[rows]
        self._score[rows[better]] = score[better]
        self.reference[rows[better]] = reference[better]
        self.orientation[rows[better]] = orientation


def _is_better(fit: Vectors, own_fit: Vectors, alike: Vectors, count: int) -> NDArray[np.bool_]:
    """Whether an alternative fits better than the own reference beyond what noise explains.

    What noise adds to the difference of both fits has a standard deviation of the distance between both references
    times that of the noise in one of ``count`` frequencies, of which neighbours are alike by the window.
    """
    gain = fit - own_fit
    distance = np.sqrt(np.maximum(2 - 2 * alike, 1e-6))
    noise = np.sqrt((1 - np.square(np.clip(fit, 0, 1))) / (count * _INDEPENDENT))
    better: NDArray[np.bool_] = (fit > _LEAST_FIT) & (gain > _MARGIN) & (gain > _BEYOND_NOISE * distance * noise)
    return better


def _in_doubt(noisy: Vectors, references: NDArray[np.uint8], named: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows to compare with all references: all, or if they are too many, those that others fit best."""
    most = _PRODUCTS // (_ORIENTATIONS * len(references))
    if len(noisy) <= most:
        return np.arange(len(noisy))
    sample = np.random.default_rng(0).choice(len(references), min(_SAMPLE, len(references)), replace=False)
    others = noisy @ _vectors(references[sample]).T
    gain = others.max(axis=1) - _row_products(noisy, _vectors(references[named]))
    return np.argsort(-gain, kind="stable")[:most]


def _all_vectors(references: NDArray[np.uint8]) -> Iterator[tuple[int, int, Vectors]]:
    """Orientation, place of the first reference, and the vectors of some references, one after the other."""
    for orientation in range(_ORIENTATIONS):
        for start in range(0, len(references), _CHUNK):
            yield orientation, start, _vectors(_oriented(references[start : start + _CHUNK], orientation))


def _oriented(thumbnails: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    turned = np.rot90(thumbnails, orientation // 2, axes=(1, 2))
    return turned[:, :, ::-1] if orientation % 2 else turned


def _vectors(thumbnails: NDArray[np.uint8]) -> Vectors:
    """The evened spectrum of each small copy, as a vector of length 1, or of 0 where there is nothing to see.

    Args:
        thumbnails: shape (images, SIDE, SIDE).

    Returns:
        shape (images, frequencies).
    """
    return np.concatenate(
        [_some_vectors(thumbnails[start : start + _CHUNK]) for start in range(0, len(thumbnails), _CHUNK)]
    )


def _some_vectors(thumbnails: NDArray[np.uint8]) -> Vectors:
    field = thumbnails.astype(np.float32)
    field = (field - field.mean(axis=(1, 2), keepdims=True)) * _WINDOW  # no edges, which would look like stripes
    field -= field.mean(axis=(1, 2), keepdims=True)
    spectrum = np.fft.rfft2(field)[:, _FREQUENCIES]
    spectrum /= np.abs(spectrum) ** _EVENNESS + 1e-3
    parts = np.concatenate([spectrum.real, spectrum.imag], axis=1).astype(np.float32)
    length = np.linalg.norm(parts, axis=1, keepdims=True)
    return np.asarray(np.divide(parts, length, out=np.zeros_like(parts), where=length > 1e-3), np.float32)


def _row_products(one: Vectors, other: Vectors) -> Vectors:
    products: Vectors = np.einsum("ij,ij->i", one, other)
    return products


def _frequencies() -> NDArray[np.bool_]:
    """Which values of ``rfft2`` count: each slow frequency once, and not the mean."""
    down, across = np.fft.fftfreq(SIDE)[:, None] * SIDE, np.fft.rfftfreq(SIDE)[None] * SIDE
    distance = np.hypot(down, across)
    counted: NDArray[np.bool_] = (distance > 0) & (distance <= _FASTEST) & ((across > 0) | (down > 0))
    return counted


_WINDOW = np.outer(np.hanning(SIDE + 2)[1:-1], np.hanning(SIDE + 2)[1:-1]).astype(np.float32)
_FREQUENCIES = _frequencies()
