"""Prefilter for noisy images before group detection: removes impulse and periodic noise, keeps Gaussian noise."""

import cv2
import numpy as np

from clearcast.imaging import Picture

_SIDE = 256  # pixels; noisy images are reduced to this, which averages Gaussian noise
_PEAK = 2.0  # height of a spectral peak over its neighbours (natural logarithm of the amplitude)
_MIN_FREQUENCY = 4  # periods per image; lower frequencies are the part itself
_NOTCH = 5  # frequencies; size of the square that is removed around a peak


def clean(grey: Picture) -> Picture:
    """Remove impulse and periodic noise: uint8, at most 256 pixels per side, from uint8 (height, width)."""
    filtered = cv2.medianBlur(grey, 3)
    scale = _SIDE / max(filtered.shape)
    if scale < 1:
        filtered = cv2.resize(filtered, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return _remove_spectral_peaks(np.asarray(filtered, np.uint8))


def _remove_spectral_peaks(grey: Picture) -> Picture:
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
