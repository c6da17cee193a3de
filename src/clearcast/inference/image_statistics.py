"""Image statistics: brightness, sharpness and contrast, and the detection of images without content.

Brightness and sharpness change with camera, light and focus; contrast and blank bands show whether there is a part.
"""

from collections.abc import Iterator
from operator import itemgetter

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.core.decoding.image_info import ImageArray

_LOW_CONTRAST_FACTOR = 3.0  # a contrast lower by this factor than the lowest of the bundle's images is too low
_UNIFORM_CONTRAST = 1.0  # grey levels of contrast
_MIN_SIDE = 64  # pixels; cells of smaller images have too few pixels to separate a part from noise
_GRID_SIDE = 16  # side of the grid of averaged cells
_SHADING_DEGREE = 4  # of the polynomial that removes soft shading, such as vignetting
# Limits of cells without content: their standard deviation, and their largest deviation.
_ENCODING_NOISE = 0.4, 1.5  # grey levels that encoding adds
_CELL_NOISE_FACTORS = 0.9, 3.5  # units of ``_cell_noise``: frames of white noise reach 0.7 and 1.7, tiles 1.1 and 3.9
_MAX_CELL_NOISE = 4.0  # grey levels; more noise, as in small or very noisy images, may hide anything
_MAX_PIXEL_NOISE = 5.2  # grey levels that white noise of 12 keeps after the median; more may be the texture of a part
_PIXEL_DISTANCES = 4, 7  # between pixels whose differences measure the noise
_NOISE_LINES = 48  # number of lines that noise is measured on
_MIN_EXTRA_BAND = 0.2  # share of the height or width by which a blank band must exceed those of the bundle's images
_BLANK_RANGE = 4  # grey levels within which a line has one colour
_EDGE_STEP = 16  # grey levels by which the image differs next to a blank band, ...
_MIN_EDGE_SHARE = 0.8  # ... along this share of the line


def measure_brightness(image: ImageArray) -> float:
    """Return the mean grey level, 0..255, of a noisy image, uint8 (height, width) or RGB (height, width, 3)."""
    return float(cv2.mean(_grey(image))[0])


def measure_sharpness(denoised: ImageArray) -> float:
    """Return the variance of the Laplacian of a denoised image, in squared grey levels (Pech-Pacheco et al. 2000).

    The image is uint8 (height, width) or (height, width, 3) in RGB order; it is denoised because noise would hide a
    loss of focus.
    """
    _, deviation = cv2.meanStdDev(cv2.Laplacian(_grey(denoised), cv2.CV_16S))
    return float(np.square(deviation).item())


def measure_contrast(image: ImageArray) -> float:
    """Return the contrast: standard deviation of the 16 x 16 image without shading and noise, in grey levels.

    Args:
        image: uint8 (height, width) or (height, width, 3) in RGB order, noisy.
    """
    smooth = _median(_grey(image))
    return _beyond_noise(float(_cells(smooth).std()), _cell_noise(_pixel_noise(smooth), smooth.size))


def measure_blank_band(image: ImageArray) -> float:
    """Return the share of the height or width, 0..1, that has one colour from an edge up to an abrupt change.

    It is 0 if bands on opposite sides frame the image.

    Args:
        image: uint8 (height, width) or (height, width, 3) in RGB order, noisy.
    """
    return max(share for _, share in _blank_bands(_grey(image)))


def find_missing_content(
    image: ImageArray, min_contrast: float | None = None, max_blank_band: float | None = None
) -> str:
    """Return why an image has no content to inspect, and what to check; "" if it may have some.

    Args:
        image: uint8 (height, width) or (height, width, 3) in RGB order, noisy.
        min_contrast: lowest contrast of the images that the bundle was measured on; None: unknown. If it is below 1
            grey level, the parts are uniform, and only images of one colour are detected.
        max_blank_band: widest blank band of those images, 0..1; only a far wider one is an incomplete frame. None:
            unknown, and then no incomplete frame is detected.
    """
    if colour := _single_colour(image):
        return f"all pixels have one colour ({colour} of 255); check the lens cap, the camera cable and the lamp"
    grey = _grey(image)
    if max_blank_band is not None and (reason := _missing_lines(grey, max_blank_band)):
        return reason
    if min(grey.shape) < _MIN_SIDE or (min_contrast is not None and min_contrast < _UNIFORM_CONTRAST):
        return ""
    smooth = _median(grey)
    cells, pixel_noise = _cells(smooth), _pixel_noise(smooth)
    noise = _cell_noise(pixel_noise, smooth.size)
    textured = min_contrast is None and pixel_noise > _MAX_PIXEL_NOISE
    if not textured and _is_empty(cells, noise) and (image.ndim == 2 or all(map(_channel_is_empty, cv2.split(image)))):
        return (
            f"nothing but noise around grey level {grey.mean():.0f} of 255; check the lens cap, the lamp, and whether "
            "there is a part in view"
        )
    contrast = _beyond_noise(float(cells.std()), noise)
    if min_contrast is not None and contrast < min_contrast / _LOW_CONTRAST_FACTOR:
        return (
            f"the contrast is {contrast:.1f} grey levels, that of the images that the model was measured on at least "
            f"{min_contrast:.1f}; check whether there is a part in view, and the lamp"
        )
    return ""


def _grey(image: ImageArray) -> ImageArray:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _median(grey: ImageArray) -> ImageArray:
    """Return the image without impulses and hot pixels."""
    return np.asarray(cv2.medianBlur(grey, 3), np.uint8)


def _cells(smooth: ImageArray) -> NDArray[np.float64]:
    """Return the means of the grid's cells without soft shading, shape (cells,)."""
    means = cv2.resize(smooth.astype(np.float32), (_GRID_SIDE, _GRID_SIDE), interpolation=cv2.INTER_AREA).ravel()
    unshaded: NDArray[np.float64] = means - _SHADING @ (_SHADING.T @ means)
    return unshaded


def _pixel_noise(smooth: ImageArray) -> float:
    """Return the standard deviation of pixel noise, in grey levels.

    It is measured between pixels that are far enough apart to be independent after median and encoding. Noise has the
    same differences in all directions and over all distances; waves and parts do not, so the smallest one counts.
    """
    across = smooth[:: max(smooth.shape[0] // _NOISE_LINES, 1)].astype(np.int16)
    down = np.ascontiguousarray(smooth[:, :: max(smooth.shape[1] // _NOISE_LINES, 1)].T).astype(np.int16)
    smallest = min(
        (lines[:, distance:] - lines[:, :-distance]).std() for lines in (across, down) for distance in _PIXEL_DISTANCES
    )
    return float(smallest / np.sqrt(2))


def _cell_noise(pixel_noise: float, pixels: int) -> float:
    """Return the largest standard deviation that white noise gives the cell means.

    The median correlates neighbours, so at most a ninth of a cell's pixels are independent.
    """
    return float(min(3 * pixel_noise / np.sqrt(pixels / _GRID_SIDE**2), _MAX_CELL_NOISE))


def _beyond_noise(spread: float, noise: float) -> float:
    return float(np.sqrt(max(spread**2 - noise**2, 0.0)))


def _is_empty(cells: NDArray[np.float64], noise: float) -> bool:
    measured = float(cells.std()), float(np.abs(cells).max())
    return all(
        each <= encoding + share * noise
        for each, encoding, share in zip(measured, _ENCODING_NOISE, _CELL_NOISE_FACTORS, strict=True)
    )


def _channel_is_empty(channel: ImageArray) -> bool:
    smooth = _median(channel)
    return _is_empty(_cells(smooth), _cell_noise(_pixel_noise(smooth), smooth.size))


def _single_colour(image: ImageArray) -> str:
    """Return the colour of all pixels as text; "" if there are several."""
    first = image[0, 0]
    if (image[0] != first).any() or (image != first).any():  # the first line nearly always decides
        return ""
    return ", ".join(map(str, np.atleast_1d(first)))


def _missing_lines(grey: ImageArray, max_blank_band: float) -> str:
    """Return the reason for an incomplete frame; "" if it is complete."""
    side, share = max(_blank_bands(grey), key=itemgetter(1))
    if share < max_blank_band + _MIN_EXTRA_BAND:
        return ""
    return f"the {side} {share:.0%} have one colour; the frame is incomplete: check the camera cable"


def _blank_bands(grey: ImageArray) -> Iterator[tuple[str, float]]:
    """Yield each side's name and the share of its blank band; 0 for bands on opposite sides, which frame the image."""
    for lines, (first, last) in ((grey, ("upper", "lower")), (grey.T, ("left", "right"))):
        begin, end = _band_share(lines), _band_share(lines[::-1])
        framed = min(begin, end) >= _MIN_EXTRA_BAND
        yield first, 0.0 if framed else begin
        yield last, 0.0 if framed else end


def _band_share(lines: ImageArray) -> float:
    """Return the share of leading lines that have the same single colour; 0 if the image begins gradually."""
    colour = int(lines[0, 0])
    if np.abs(lines[0].astype(np.int16) - colour).max() > _BLANK_RANGE:  # nearly always, and cheap to check
        return 0.0
    deviation = np.abs(lines.astype(np.int16) - colour)
    content = np.flatnonzero(deviation.max(axis=1) > _BLANK_RANGE)
    if not len(content):
        return 0.0
    begin = int(content[0])
    beside = deviation[begin : begin + _GRID_SIDE].max(axis=0)  # within the reach of encoding blur
    return begin / len(lines) if (beside > _EDGE_STEP).mean() >= _MIN_EDGE_SHARE else 0.0


def _shading() -> NDArray[np.float64]:
    """Return the polynomials up to ``_SHADING_DEGREE`` on the grid: orthonormal columns, (cells, terms)."""
    along = np.linspace(-1, 1, _GRID_SIDE)
    down, across = np.meshgrid(along, along, indexing="ij")
    terms = [down**i * across**j for i in range(_SHADING_DEGREE + 1) for j in range(_SHADING_DEGREE + 1 - i)]
    basis: NDArray[np.float64] = np.linalg.qr(np.stack(terms, axis=-1).reshape(_GRID_SIDE**2, -1))[0]
    return basis


_SHADING = _shading()
