"""Student networks: features, noise and prediction of a noisy image in one pass, without denoising it.

The student encoder is the backbone with fewer blocks, on a small image. It is distilled to extract from a noisy image
the features that the teacher, the whole backbone, extracts from the noise-free one (Hinton et al. 2015, "Distilling the
Knowledge in a Neural Network"; by features, as in Romero et al. 2015, "FitNets"). So a prediction needs no denoised
image, and the classifier gets the same kind of features. Downsampling hides noise, so statistics of windows at full
resolution are a second input.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.nn.backbone import Backbone, BackboneFeatures
from clearcast.nn.blocks import to_luma
from clearcast.nn.defect_classifier import DefectHead, DefectHeadOutput
from clearcast.nn.noise_heads import NOISE_STATISTICS, conditioning_size, noise_statistics, quadrant_windows
from clearcast.nn.weights import accept_renamed_weights
from clearcast.noise import noise_types_with_level
from clearcast.noise.registry import NoiseType

WAVE_NUMBERS = ("rms", "cycles", "cosine", "sine")  # outputs for periodic noise; see ``StudentOutput.raw_levels``
RAW_LEVELS = len(noise_types_with_level()) + len(WAVE_NUMBERS)  # noise level outputs; see ``StudentOutput.raw_levels``
STUDENT_LEVEL_UNIT, CYCLES_UNIT, TURN_UNIT = 0.2, 4.0, 0.5  # scale the outputs to about 1
STUDENT_BLOCKS = (1, 2, 2, 2, 2, 1)  # of each stage; all blocks of the backbone are no more accurate and a third slower

_MULTIPLE = 32  # pixels; sides are multiples of it
_WINDOW = 64  # pixels a side of the windows for statistics
_HIDDEN = 96  # width of the noise head's hidden layer
_MAX_CYCLES = 10.0  # logarithm to base 2; more cycles than any image has


class StudentOutput(NamedTuple):
    """Output of the student encoder.

    Attributes:
        features: an estimate of the ``Backbone`` features of the noise-free image.
        scores: float (batch, types), of the noise types, in the order of the network's classes.
        raw_levels: float (batch, levels + 4), noise levels in the order of ``noise_types_with_level``, such as the
            standard deviation of Gaussian noise and the density of impulses, then the root mean square of periodic
            noise, on the 0..1 scale and in ``STUDENT_LEVEL_UNIT``; of the strongest wave the logarithm to base 2 of its
            cycles a side in ``CYCLES_UNIT``, and cosine and sine of its doubled orientation in ``TURN_UNIT``.
    """

    features: BackboneFeatures
    scores: Tensor
    raw_levels: Tensor

    @property
    def levels(self) -> Tensor:
        """Noise levels in the order of ``noise_types_with_level``, float (batch, levels), 0..1."""
        return (self.raw_levels[:, : -len(WAVE_NUMBERS)] * STUDENT_LEVEL_UNIT).clamp(0, 1)

    @property
    def wave(self) -> Tensor:
        """The strongest wave, float (batch, 3): amplitude 0..1, vertical cycles and horizontal cycles an image.

        Horizontal cycles are not negative. The amplitude is that of one wave with the power of all waves.
        """
        rms, cycles, cosine, sine = self.raw_levels[:, -len(WAVE_NUMBERS) :].unbind(dim=1)
        amplitude = 2**0.5 * (rms * STUDENT_LEVEL_UNIT).clamp(0, 1)
        cycles = torch.exp2((CYCLES_UNIT * cycles).clamp(max=_MAX_CYCLES))
        cosine = cosine / (cosine.square() + sine.square()).sqrt().clamp(min=1e-6)
        across, down = (((1 + sign * cosine) / 2).clamp(min=0).sqrt() for sign in (1, -1))  # of half the angle
        return torch.stack([amplitude, cycles * torch.where(sine < 0, -down, down), cycles * across], dim=1)


class StudentEncoder(nn.Module):
    """Student encoder: a shortened backbone with a noise head.

    Args:
        backbone: gives the initial weights; it is not changed.
        noise_types: the classes of noise, in the order of the outputs.
    """

    def __init__(self, backbone: Backbone, noise_types: Sequence[NoiseType] = tuple(NoiseType)) -> None:
        super().__init__()
        self.noise_types = tuple(noise_types)
        self.backbone = backbone.shortened(STUDENT_BLOCKS).requires_grad_(True)
        inputs = self.backbone.level_channels + NOISE_STATISTICS
        self.noise_head = nn.Sequential(
            nn.LayerNorm(inputs),
            nn.Linear(inputs, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, conditioning_size(noise_types) + len(WAVE_NUMBERS)),
        )
        accept_renamed_weights(self, {"noise": "noise_head"})

    def forward(self, small: Tensor, noise_statistics: Tensor) -> StudentOutput:
        """Encode noisy images.

        Args:
            small: float (batch, 1 or 3, height, width) in 0..1, images resized by ``resize_linear``.
            noise_statistics: float (batch, ``NOISE_STATISTICS``); see ``noise_statistics_of``.
        """
        levels = self.backbone.levels(small)
        # Pooling, not the mean of two axes, for which ONNX Runtime would convert the layout first.
        means = [functional.avg_pool2d(level, level.shape[-2:]).flatten(1) for level in levels]  # (batch, channels)
        noise = self.noise_head(torch.cat([*means, noise_statistics], dim=1))
        features = BackboneFeatures(fine=levels[-2], coarse=levels[-1])
        types = len(self.noise_types)
        return StudentOutput(features, noise[:, :types], noise[:, types:])


class StudentPrediction(NamedTuple):
    """Output of a ``StudentClassifier``: ``classification`` of its defect head, ``encoding`` of its student encoder."""

    classification: DefectHeadOutput
    encoding: StudentOutput


class StudentClassifier(nn.Module):
    """Student classifier: student encoder and defect head as one network, from noisy images to predictions.

    Args:
        encoder, head: fitted.
        shape: (height, width) in pixels that images are resized to.
    """

    def __init__(self, encoder: StudentEncoder, head: DefectHead, shape: tuple[int, int]) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.shape = shape
        accept_renamed_weights(self, {"glance": "encoder", "judge": "head"})

    def forward(self, images: Tensor) -> StudentPrediction:
        """Classify uint8 images (batch, 1 or 3, height, width) of any size."""
        encoded = self.encoder(resize_linear(images.float(), self.shape) / 255, noise_statistics_of(images))
        return StudentPrediction(DefectHeadOutput(*self.head(encoded.features)), encoded)


def resize_linear(images: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize linearly with antialiasing: float (batch, depth, h, w) to (batch, depth, *shape)."""
    return functional.interpolate(images, size=shape, mode="bilinear", antialias=True, align_corners=False)


def noise_statistics_of(images: Tensor) -> Tensor:
    """Compute noise statistics: (batch, 1 or 3, h, w) in 0..255 to float (batch, ``NOISE_STATISTICS``)."""
    return noise_statistics(to_luma(quadrant_windows(images, _WINDOW).float() / 255))


def student_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Choose (height, width) in pixels that images of a shape are encoded at: in proportion, and hardly ever larger.

    Args:
        shape: of the images.
        side: pixels of the longer side, if the image has as many.

    >>> student_shape((512, 512), 160), student_shape((300, 1024), 160), student_shape((100, 100), 160)
    ((160, 160), (64, 160), (96, 96))
    """
    scale = min(1.0, side / max(shape))
    height, width = (max(2, round(scale * side / _MULTIPLE)) * _MULTIPLE for side in shape)
    return height, width
