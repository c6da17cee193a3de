"""From a field of waves to the one wave that says most of it, in units a person understands."""

import math

import numpy as np
from numpy.typing import NDArray

from clearcast.noise.levels import Wave

_PADDED = 4  # times the field's side: so finely frequencies are told apart
_LEAST = 1e-6  # root mean square below which there are no waves


def strongest_wave(field: NDArray[np.float32], height: int, width: int) -> Wave | None:
    """The strongest wave of a field that stands for a picture of (height, width) pixels.

    Its frequency is where the spectrum is highest (with a Hann window, zero-padded). Its amplitude is that of one wave
    with the power of the whole field: of stripes their own, of a cloud what stripes as disturbing would have.

    Args:
        field: float32 (rows, columns) on the 0..1 scale, of the whole picture, at any size; its mean does not matter.
        height: of the picture, in pixels.
        width: likewise.

    Returns:
        The wave, with period and orientation in the picture's pixels, and phase 0, which is not estimated; None where
        the field is flat.
    """
    found = strongest_cycles(field)
    return wave_of_cycles(*found, height, width) if found else None


def strongest_cycles(field: NDArray[np.float32]) -> tuple[float, float, float] | None:
    """Amplitude, cycles down and cycles across of a field's strongest wave; see ``strongest_wave``."""
    level = field - field.mean(dtype=np.float64)
    power = float(np.mean(np.square(level)))
    if math.sqrt(power) < _LEAST:
        return None
    rows, columns = field.shape
    window = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1])
    spectrum = np.abs(np.fft.rfft2(level * window, s=(_PADDED * rows, _PADDED * columns)))
    row, column = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
    down = float(np.fft.fftfreq(_PADDED * rows)[row]) * rows
    return math.sqrt(2 * power), down, float(column) / _PADDED


def wave_of_cycles(amplitude: float, down: float, across: float, height: int, width: int) -> Wave | None:
    """The wave that makes so many cycles down and across a picture of (height, width) pixels; None where it makes none.

    Args:
        amplitude: on the 0..1 scale, where it is clipped.
        down, across: of both signs; what changes both is the same wave.
        height, width: in pixels.
    """
    frequency = math.hypot(down / height, across / width)  # cycles a pixel
    if not frequency:
        return None
    return Wave(
        amplitude=min(amplitude, 1.0),
        period=max(1 / frequency, 2.0),
        orientation=math.degrees(math.atan2(down / height, across / width)) % 180,
    )
