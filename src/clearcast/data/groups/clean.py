"""A noisy image as far cleaned as its framing and comparing need it: impulses and waves go, grain stays."""

import cv2
import numpy as np

from clearcast.imaging import Picture

_SIDE = 256  # pixels: noisy images are reduced to this, which averages grain
_STEEP = 2.0  # a wave stands out from its neighbours in the spectrum by this (natural logarithm of the amplitude)
_SLOWEST = 4  # waves an image: slower ones are the part itself
_WIDTH = 5  # frequencies a side that are taken out with a wave


def clean(grey: Picture) -> Picture:
    """The image without impulses and without waves: uint8, at most 256 pixels a side, from uint8 (height, width)."""
    calm = cv2.medianBlur(grey, 3)
    scale = _SIDE / max(calm.shape)
    if scale < 1:
        calm = cv2.resize(calm, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return _without_waves(np.asarray(calm, np.uint8))


def _without_waves(grey: Picture) -> Picture:
    """Take out what stands alone in the spectrum: parts spread over it, waves are points."""
    field = grey.astype(np.float32)
    height, width = field.shape
    mean = float(field.mean())
    window = np.outer(np.hanning(height), np.hanning(width))
    strength = np.log(np.abs(np.fft.fftshift(np.fft.fft2((field - mean) * window))) + 1).astype(np.float32)
    alone = strength - cv2.medianBlur(strength, 5) > _STEEP
    fast = np.hypot(np.arange(height)[:, None] - height // 2, np.arange(width) - width // 2) > _SLOWEST
    waves = cv2.dilate((alone & fast).astype(np.uint8), np.ones((_WIDTH, _WIDTH), np.uint8)) > 0
    spectrum = np.fft.fftshift(np.fft.fft2(field - mean))
    spectrum[waves] = 0
    return np.clip(np.fft.ifft2(np.fft.ifftshift(spectrum)).real + mean, 0, 255).astype(np.uint8)
