"""The noise itself: pure functions, whose only randomness is the generator that they are given.

An image here is a float32 array of shape (height, width, 3) or, for grey, (height, width), with values in 0..1.
Each function returns a new image of the same shape and range (clipped) and leaves the one it was given unchanged.
"""

import math

import numpy as np
from numpy.typing import NDArray

from clearcast import imaging
from clearcast.errors import PictureError, PictureFault
from clearcast.imaging import Channels, Picture
from clearcast.noise.levels import GaussianLevel, Level, PeriodicLevel, SaltPepperLevel, Wave, require

Image = NDArray[np.float32]


def add_noise(image: Image, level: Level, rng: np.random.Generator) -> Image:
    """Apply the noise that ``level`` describes.

    Raises:
        PictureError: the image is not float32, or has another shape than (height, width) or (height, width, 3).
    """
    match level:
        case GaussianLevel():
            return add_gaussian(image, level, rng)
        case SaltPepperLevel():
            return add_salt_and_pepper(image, level, rng)
        case PeriodicLevel():
            return add_periodic(image, level)


def add_gaussian(image: Image, level: GaussianLevel, rng: np.random.Generator) -> Image:
    """Add noise of mean zero and standard deviation ``level.sigma``, independent from pixel to pixel; then clip.

    Raises:
        PictureError: see ``add_noise``.
    """
    _require_image(image)
    shape = image.shape if level.per_channel else (*image.shape[:2], *(1,) * (image.ndim - 2))
    noise = rng.standard_normal(shape, np.float32)
    noise *= np.float32(level.sigma)
    return _clipped_sum(image, noise)


def add_salt_and_pepper(image: Image, level: SaltPepperLevel, rng: np.random.Generator) -> Image:
    """Turn each pixel white or black with the probabilities of ``level``; the others keep their values exactly.

    Raises:
        PictureError: see ``add_noise``.
    """
    _require_image(image)
    chance = rng.random(image.shape[:2])
    noisy = image.copy()
    noisy[chance < level.density] = 0
    noisy[chance < level.density * level.salt_share] = 1
    return noisy


def add_periodic(image: Image, level: PeriodicLevel) -> Image:
    """Add the waves of ``level``, which leave nothing to chance; then clip.

    Raises:
        PictureError: see ``add_noise``.
    """
    _require_image(image)
    field = wave_field(level.waves, *image.shape[:2])
    return _clipped_sum(image, field if image.ndim == 2 else field[:, :, None])


def wave_field(waves: tuple[Wave, ...], height: int, width: int) -> Image:
    """The sum of the waves, float32 of shape (height, width), not clipped: it may reach the sum of all amplitudes.

    By ``cos(a + b) = cos a cos b - sin a sin b`` with a along y and b along x, the sum over all waves is one product
    of a (height, 2 waves) and a (2 waves, width) matrix, in place of a cosine for every pixel of every wave.
    """
    table = np.array([(w.amplitude, 2 * math.pi / w.period, w.orientation, w.phase) for w in waves], np.float64)
    amplitude, per_pixel, orientation, phase = table.T
    angle = np.radians(orientation)
    down = np.outer(np.arange(height), per_pixel * np.sin(angle)) + np.radians(phase)  # (height, waves)
    across = np.outer(per_pixel * np.cos(angle), np.arange(width))  # (waves, width)
    left = np.hstack([amplitude * np.cos(down), -amplitude * np.sin(down)])
    right = np.vstack([np.cos(across), np.sin(across)])
    return left.astype(np.float32) @ right.astype(np.float32)


def corrupt(picture: Picture, level: Level, rng: np.random.Generator) -> Picture:
    """Apply noise to a uint8 picture (see ``imaging``) on the 0..1 scale, clip, and round to the nearest of 0..255.

    Raises:
        PictureError: the picture is not uint8, or has another shape than (height, width) or (height, width, 3).
    """
    _require_layout(picture, np.uint8)
    noisy = add_noise(picture * np.float32(1 / 255), level, rng)
    noisy *= np.float32(255)
    return np.rint(noisy, out=noisy).astype(np.uint8)


def after_jpeg(picture: Picture, quality: int) -> Picture:
    """The uint8 picture as it comes back from a JPEG file of ``quality`` 1..100; shape and range are kept.

    For noise made on the fly, as in training: the step that a file goes through, without a file.

    Raises:
        RecipeError: the quality is outside 1..100.
        PictureError: see ``corrupt``.
    """
    require_jpeg_quality(quality)
    _require_layout(picture, np.uint8)
    channels = Channels.RGB if picture.ndim == 3 else Channels.GREY
    return imaging.decode(imaging.encode(picture, ".jpeg", jpeg_quality=quality), channels)


def require_jpeg_quality(quality: int) -> None:
    """Refuse a JPEG quality outside 1..100 (``RecipeError``)."""
    require("jpeg_quality", quality, 1, 100, "100 keeps most, and 80 is common in cameras")


def _clipped_sum(image: Image, noise: Image) -> Image:
    total = image + noise
    return np.clip(total, 0, 1, out=total)


def _require_image(image: Image) -> None:
    _require_layout(image, np.float32)


def _require_layout(pixels: Image | Picture, dtype: type[np.generic]) -> None:
    """Guard against the common slip: 0..255 values given where 0..1 is meant would come back nearly all white."""
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != dtype or not fits:
        scale = "0..255" if dtype is np.uint8 else "0..1"
        raise PictureError(
            PictureFault.UNSUPPORTED,
            f"noise was asked for on an array of {pixels.dtype} and shape {pixels.shape}; needed is "
            f"{np.dtype(dtype)} on the {scale} scale, of shape (height, width) or (height, width, 3)",
        )
