"""The words of the field as closed sets, and the record of one inspection."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from clearcast.noise.registry import NoiseType as NoiseType


class Label(StrEnum):
    """What is true of a part. ``DEFECT`` is the positive class in every metric."""

    OK = "ok"
    DEFECT = "defect"


class Subset(StrEnum):
    """What a row is used for. ``VALIDATION`` rows choose (when to stop, which threshold); they are not reported on."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Verdict(StrEnum):
    """What is said of a picture. ``RETAKE``: too uncertain to say; photograph the part again or look at it."""

    OK = "ok"
    DEFECT = "defect"
    RETAKE = "retake"


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How a picture looks; what drifts when a camera, its light or its focus do.

    Attributes:
        brightness: mean grey level of the picture as it came, 0..255.
        sharpness: variance of the Laplacian of the restored picture, in squared grey levels; None where the bundle does
            not need to restore pictures.
        sigma: standard deviation of grain on the 0..1 scale; None where the bundle does not tell.
        density: share of pixels struck by impulses, 0..1; None where the bundle does not tell.
    """

    brightness: float
    sharpness: float | None
    sigma: float | None
    density: float | None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a bundle says of one picture; a row of the results.

    Where ``error`` is not empty the picture could not be inspected, and everything that depends on its pixels is None.

    Attributes:
        path: as the source names the picture.
        sha256: of the file's bytes, in hexadecimal; None where they could not be read, and for frames of a video.
        verdict: None also where the bundle judges nothing. A bundle gives ``retake`` where its manifest says how near
            to the threshold (``clearcast tune``).
        p_defect: calibrated probability of defect, 0..1.
        threshold: the probability above which the verdict is defect, 0..1, unless it is retake.
        noise_type: the likeliest.
        noise_level: in words, such as "standard deviation 25 grey levels"; "" where there is none to tell.
        p_noise: probability of ``noise_type``, 0..1.
        ms: milliseconds of inference, of a picture in a batch its share.
        model: the bundle's name and the first characters of its fingerprint.
        error: what is wrong with the picture; "" where nothing is.
        restored: the picture without noise, uint8 of the input's height and width; only where it was asked for.
        evidence: float32 (h, w), log-odds of defect by place; only where it was asked for and the bundle has it.
        picture: the picture as it came, uint8; only where evidence was asked for, and the restored one is not made.
        shape: (height, width) of the picture in pixels.
        looks: what tells whether pictures drift.
        size: of the file that was inspected, in bytes; None where there was no file.
        modified: when that file was last written, UTC, to the nanosecond; None where nobody knows.
        denoised: path of the restored picture that was written; None where none was.
        heatmap: path of the heat map that was written; None where none was.
        pixels: a hash of the picture's pixels and shape, whatever its file is like; None where it has none.
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
    looks: Looks | None = field(default=None, repr=False, compare=False)
    size: int | None = field(default=None, compare=False)
    modified: str | None = field(default=None, compare=False)
    denoised: str | None = field(default=None, compare=False)
    heatmap: str | None = field(default=None, compare=False)
    pixels: str | None = field(default=None, repr=False, compare=False)
