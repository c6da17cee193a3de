"""Domain types: labels, noise types, subsets and verdicts as enumerations, and the inspection record."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from clearcast.noise.registry import NoiseType


class Label(StrEnum):
    """True label of a part. ``DEFECT`` is the positive class in every metric."""

    OK = "ok"
    DEFECT = "defect"


class Subset(StrEnum):
    """Use of a row. ``VALIDATION`` rows choose when to stop and which threshold; figures are not reported on them."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Verdict(StrEnum):
    """Decision on an image. ``RETAKE``: too uncertain; photograph the part again, or inspect it by eye."""

    OK = "ok"
    DEFECT = "defect"
    RETAKE = "retake"


@dataclass(frozen=True, kw_only=True)
class ImageStats:
    """Image statistics, which drift with camera, light and focus.

    Attributes:
        brightness: mean grey level of the noisy image, 0..255.
        sharpness: variance of the Laplacian of the denoised image, in squared grey levels; None if the bundle does not
            denoise every image.
        sigma: standard deviation of Gaussian noise on the 0..1 scale; None if the bundle does not estimate it.
        density: share of pixels hit by impulses, 0..1; None if the bundle does not estimate it.
    """

    brightness: float
    sharpness: float | None
    sigma: float | None
    density: float | None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Result of inspecting one image with a bundle; a row of the results.

    If ``error`` is not empty, the image could not be inspected, and everything that depends on its pixels is None.

    Attributes:
        path: name of the image, as the source gives it.
        sha256: of the file's bytes, in hexadecimal; None if they could not be read, and for frames of a video.
        verdict: ok, defect or retake; None if the bundle gives no verdicts. A bundle gives ``retake`` if its manifest
            has a retake distance (``clearcast tune``).
        p_defect: calibrated probability of defect, 0..1.
        threshold: the probability above which the verdict is defect, 0..1, unless it is retake.
        noise_type: the most probable one.
        noise_level: as text, such as "standard deviation 25 grey levels"; "" if there is none.
        p_noise: probability of ``noise_type``, 0..1.
        ms: milliseconds of inference.
        model: the bundle's name and the first characters of its fingerprint.
        error: why the image could not be inspected; "" if it could.
        restored: the denoised image, uint8 of the input's shape; only if it was requested.
        evidence: float32 (h, w), log-odds of defect by place; only if it was requested and the bundle has it.
        picture: the noisy image, uint8; only if evidence was requested and the denoised image was not made.
        shape: (height, width) of the image in pixels.
        looks: image statistics for drift monitoring.
        size: of the inspected file, in bytes; None if there was no file.
        modified: when the file was last written, UTC, to the nanosecond; None if unknown.
        denoised: path of the denoised image that was written; None if none was.
        heatmap: path of the heat map that was written; None if none was.
        pixels: hash of the image's pixels and shape, whatever its file format; None without pixels.
    """

    path: str
    sha256: str | None
    verdict: Verdict | None
    p_defect: float | None
    threshold: float | None
    noise_type: NoiseType | None
    noise_level: str
    p_noise: float | None
    ms: float | None
    model: str
    error: str
    restored: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    evidence: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    picture: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    shape: tuple[int, int] | None = field(default=None, repr=False, compare=False)
    looks: ImageStats | None = field(default=None, repr=False, compare=False)
    size: int | None = field(default=None, compare=False)
    modified: str | None = field(default=None, compare=False)
    denoised: str | None = field(default=None, compare=False)
    heatmap: str | None = field(default=None, compare=False)
    pixels: str | None = field(default=None, repr=False, compare=False)
