"""Frames that show nothing: of one colour, of nothing but noise and soft shading, or of which a part did not arrive.

What is told here without a bundle's reference holds for all parts, so it must be certain: of 1,934 noisy pictures of
castings and of magnetic tiles, none is taken for empty. Strong noise and a fine texture, as of leather or of a blasted
surface, look alike, so that only faint noise is told then. What a bundle's own pictures show at least tells more.
"""

from collections.abc import Iterator
from operator import itemgetter
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.imaging import Picture

FAR: Final = 3.0  # a contrast lower by this factor than the least of the bundle's pictures is far outside of them
_UNIFORM = 1.0  # grey levels of contrast
_LEAST_SIDE = 64  # pixels; cells of smaller pictures have too few to tell a part from noise
_CELLS = 16  # a side of the grid whose cells are averaged
_DEGREE = 4  # of the polynomial that takes out soft shading, such as a lens makes of an even background
_ENCODING = 0.4, 1.5  # grey levels that encoding adds to the spread of cells, and to the one farthest off
_NOISE = (
    0.9,
    3.5,
)  # the same two in units of ``_noise``: frames of white noise reach 0.7 and 1.7, tiles have 1.1 and 3.9
_MOST_NOISE = 4.0  # grey levels: what may hide behind more, as in small or very noisy pictures, nobody can tell
_MOST_GRAIN = 5.2  # grey levels that white noise of 12 keeps after the median; more may be the texture of a part
_APART = 4, 7  # pixels
_LINES = 48  # so many lines tell how strong noise is
_BAND = 0.2  # share of the height or width by which a blank band must exceed those of the bundle's own pictures
_BLANK = 4  # grey levels within which a line has one colour
_STEP = 16  # grey levels by which the picture differs beside a blank band, ...
_ABRUPT = 0.8  # ... along so much of the line


def contrast(picture: Picture) -> float:
    """How much a picture shows: the standard deviation of its 16 x 16 copy, in grey levels, beyond shading and noise.

    Args:
        picture: uint8 (height, width) or (height, width, 3) in RGB order, as it came.
    """
    calm = _calm(_grey(picture))
    return _beyond_noise(float(_cells(calm).std()), _noise(_grain(calm), calm.size))


def blank_band(picture: Picture) -> float:
    """The share of a picture's height or width, 0..1, that has one colour from an edge on, next to something abrupt.

    It is 0 where bands on both sides frame a picture.

    Args:
        picture: uint8 (height, width) or (height, width, 3) in RGB order, as it came.
    """
    return max(share for _, share in _blank_bands(_grey(picture)))


def missing_content(picture: Picture, least: float | None = None, widest: float | None = None) -> str:
    """Why a picture shows nothing to inspect, and what to look at; "" if it may show something.

    Args:
        picture: uint8 (height, width) or (height, width, 3) in RGB order, as it came.
        least: the least contrast of the pictures that the bundle was measured on; None if not known. If it is next to
            nothing, the parts are uniform, and pictures of them are told only from those of one colour.
        widest: the largest blank band of those pictures, 0..1; only far wider ones are taken for a frame that did not
            arrive whole. None if not known, and then no band is.
    """
    if colour := _only_colour(picture):
        return f"all pixels have one colour ({colour} of 255); look at the camera's cap, its cable and the lamp"
    grey = _grey(picture)
    if widest is not None and (reason := _missing_lines(grey, widest)):
        return reason
    if min(grey.shape) < _LEAST_SIDE or (least is not None and least < _UNIFORM):
        return ""
    calm = _calm(grey)
    cells, grain = _cells(calm), _grain(calm)
    noise = _noise(grain, calm.size)
    textured = least is None and grain > _MOST_GRAIN
    if (
        not textured
        and _is_empty(cells, noise)
        and (picture.ndim == 2 or all(map(_channel_is_empty, cv2.split(picture))))
    ):
        return (
            f"nothing but noise around grey level {grey.mean():.0f} of 255; look at the camera's cap and the lamp, and "
            "whether there is a part in view"
        )
    found = _beyond_noise(float(cells.std()), noise)
    if least is not None and found < least / FAR:
        return (
            f"the contrast is {found:.1f} grey levels, in pictures that the model was measured on at least "
            f"{least:.1f}; is there a part in view, and is there light?"
        )
    return ""


def _grey(picture: Picture) -> Picture:
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _calm(grey: Picture) -> Picture:
    """Without impulses and hot pixels."""
    return np.asarray(cv2.medianBlur(grey, 3), np.uint8)


def _cells(calm: Picture) -> NDArray[np.float64]:
    """Means of the grid's cells without soft shading, shape (cells,)."""
    means = cv2.resize(calm.astype(np.float32), (_CELLS, _CELLS), interpolation=cv2.INTER_AREA).ravel()
    rest: NDArray[np.float64] = means - _SHADING @ (_SHADING.T @ means)
    return rest


def _grain(calm: Picture) -> float:
    """The standard deviation of noise in pixels, in grey levels.

    It is taken from pixels some apart, which the median and encoding leave independent. Noise differs as much in any
    direction and over any distance; waves and parts do not, so the least difference counts.
    """
    across = calm[:: max(calm.shape[0] // _LINES, 1)].astype(np.int16)
    down = np.ascontiguousarray(calm[:, :: max(calm.shape[1] // _LINES, 1)].T).astype(np.int16)
    least = min((lines[:, apart:] - lines[:, :-apart]).std() for lines in (across, down) for apart in _APART)
    return float(least / np.sqrt(2))


def _noise(grain: float, pixels: int) -> float:
    """The standard deviation that white noise gives the means of cells, at most.

    Neighbours are alike, so that a cell has no more independent pixels than a ninth of all.
    """
    return float(min(3 * grain / np.sqrt(pixels / _CELLS**2), _MOST_NOISE))


def _beyond_noise(spread: float, noise: float) -> float:
    return float(np.sqrt(max(spread**2 - noise**2, 0.0)))


def _is_empty(cells: NDArray[np.float64], noise: float) -> bool:
    measured = float(cells.std()), float(np.abs(cells).max())
    return all(
        each <= encoding + share * noise for each, encoding, share in zip(measured, _ENCODING, _NOISE, strict=True)
    )


def _channel_is_empty(channel: Picture) -> bool:
    calm = _calm(channel)
    return _is_empty(_cells(calm), _noise(_grain(calm), calm.size))


def _only_colour(picture: Picture) -> str:
    """The colour that all pixels have; "" if there are several."""
    first = picture[0, 0]
    if (picture[0] != first).any() or (picture != first).any():  # the first line nearly always tells
        return ""
    return ", ".join(map(str, np.atleast_1d(first)))


def _missing_lines(grey: Picture, widest: float) -> str:
    """What to say of a frame that did not arrive whole; "" if it did."""
    side, share = max(_blank_bands(grey), key=itemgetter(1))
    if share < widest + _BAND:
        return ""
    return f"the {side} {share:.0%} have one colour; the frame did not arrive whole: look at the cable"


def _blank_bands(grey: Picture) -> Iterator[tuple[str, float]]:
    """Each side's name and the share of its blank band; 0 for bands on both sides, which frame a picture."""
    for lines, (first, last) in ((grey, ("upper", "lower")), (grey.T, ("left", "right"))):
        begin, end = _band_share(lines), _band_share(lines[::-1])
        framed = min(begin, end) >= _BAND
        yield first, 0.0 if framed else begin
        yield last, 0.0 if framed else end


def _band_share(lines: Picture) -> float:
    """The share of lines from the first on that have one colour, the same; 0 where the picture begins softly."""
    colour = int(lines[0, 0])
    if np.abs(lines[0].astype(np.int16) - colour).max() > _BLANK:  # nearly always, and quickly seen
        return 0.0
    off = np.abs(lines.astype(np.int16) - colour)
    shown = np.flatnonzero(off.max(axis=1) > _BLANK)
    if not len(shown):
        return 0.0
    begin = int(shown[0])
    beside = off[begin : begin + _CELLS].max(axis=0)  # within what encoding may blur
    return begin / len(lines) if (beside > _STEP).mean() >= _ABRUPT else 0.0


def _shading() -> NDArray[np.float64]:
    """Polynomials of two variables up to ``_DEGREE`` on the grid: orthonormal columns, shape (cells, terms)."""
    along = np.linspace(-1, 1, _CELLS)
    down, across = np.meshgrid(along, along, indexing="ij")
    terms = [down**i * across**j for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]
    basis: NDArray[np.float64] = np.linalg.qr(np.stack(terms, axis=-1).reshape(_CELLS**2, -1))[0]
    return basis


_SHADING = _shading()
